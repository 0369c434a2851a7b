//! The math extension: `math.greatest math.least`, rounding, signs, bits.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, int, needs, number};
use crate::expr::functions::lists::best;
use crate::expr::limits::Budget;
use crate::expr::operators::as_double;
use crate::expr::value::{Cel, Items};
use std::cmp::Ordering;

/// The family.
pub const TABLE: &[Function] = &[
    Function::plain("math.greatest", 1..=32, greatest),
    Function::plain("math.least", 1..=32, least),
    Function::plain("math.ceil", 1..=1, |args, _| rounded(args, f64::ceil)),
    Function::plain("math.floor", 1..=1, |args, _| rounded(args, f64::floor)),
    Function::plain("math.round", 1..=1, |args, _| rounded(args, f64::round)),
    Function::plain("math.trunc", 1..=1, |args, _| rounded(args, f64::trunc)),
    Function::plain("math.sqrt", 1..=1, |args, _| number(args, 0).map(f64::sqrt).map(Cel::Double)),
    Function::plain("math.abs", 1..=1, abs),
    Function::plain("math.sign", 1..=1, sign),
    Function::plain("math.isNaN", 1..=1, |args, _| number(args, 0).map(f64::is_nan).map(Cel::Bool)),
    Function::plain("math.isInf", 1..=1, |args, _| number(args, 0).map(f64::is_infinite).map(Cel::Bool)),
    Function::plain("math.isFinite", 1..=1, |args, _| number(args, 0).map(f64::is_finite).map(Cel::Bool)),
    Function::plain("math.bitAnd", 2..=2, |args, _| bits(args, |a, b| a & b)),
    Function::plain("math.bitOr", 2..=2, |args, _| bits(args, |a, b| a | b)),
    Function::plain("math.bitXor", 2..=2, |args, _| bits(args, |a, b| a ^ b)),
    Function::plain("math.bitNot", 1..=1, bit_not),
    Function::plain("math.bitShiftLeft", 2..=2, shift_left),
    Function::plain("math.bitShiftRight", 2..=2, shift_right),
];

fn greatest<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    of_numbers(args, Ordering::Greater, budget)
}

fn least<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    of_numbers(args, Ordering::Less, budget)
}

/// Of the arguments, or of the one list among them.
fn of_numbers<'a>(args: &[Cel<'a>], wanted: Ordering, budget: &mut Budget) -> Answer<'a> {
    let items = match args {
        [one] => one.items().unwrap_or(Items::Cel(args)),
        _ => Items::Cel(args),
    };
    budget.step(items.len())?;
    if let Some(other) = items.iter().find(|item| as_double(item).is_none()) {
        return Err(needs("numbers", Some(&other)));
    }
    best(items, wanted, budget)
}

/// An integer is whole already and stays as it is: users do not care how JSON spelled it.
fn rounded<'a>(args: &[Cel<'a>], how: fn(f64) -> f64) -> Answer<'a> {
    match &args[0] {
        Cel::Double(value) => Ok(Cel::Double(how(*value))),
        Cel::Int(_) | Cel::Uint(_) => Ok(args[0].clone()),
        other => Err(needs("a number", Some(other))),
    }
}

fn abs<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Cel::Int(value) => {
            value.checked_abs().map(Cel::Int).ok_or_else(|| Failure::fault("the result does not fit 64 bits"))
        }
        Cel::Uint(value) => Ok(Cel::Uint(*value)),
        Cel::Double(value) => Ok(Cel::Double(value.abs())),
        other => Err(needs("a number", Some(other))),
    }
}

fn sign<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Cel::Int(value) => Ok(Cel::Int(value.signum())),
        Cel::Uint(value) => Ok(Cel::Uint(u64::from(*value > 0))),
        Cel::Double(value) if *value == 0.0 || value.is_nan() => Ok(Cel::Double(*value)),
        Cel::Double(value) => Ok(Cel::Double(value.signum())),
        other => Err(needs("a number", Some(other))),
    }
}

/// Two ints give an int, two uints a uint; the bits are the same.
fn bits<'a>(args: &[Cel<'a>], how: fn(u64, u64) -> u64) -> Answer<'a> {
    match (&args[0], &args[1]) {
        (Cel::Int(a), Cel::Int(b)) => Ok(Cel::Int(how(a.cast_unsigned(), b.cast_unsigned()).cast_signed())),
        (Cel::Uint(a), Cel::Uint(b)) => Ok(Cel::Uint(how(*a, *b))),
        (_, other) => Err(needs("two integers of one type", Some(other))),
    }
}

fn bit_not<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Cel::Int(value) => Ok(Cel::Int(!value)),
        Cel::Uint(value) => Ok(Cel::Uint(!value)),
        other => Err(needs("an integer", Some(other))),
    }
}

fn shift_left<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    shifted(args, |value, by| value.checked_shl(by).unwrap_or(0))
}

fn shift_right<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    shifted(args, |value, by| value.checked_shr(by).unwrap_or(0))
}

fn shifted<'a>(args: &[Cel<'a>], how: fn(u64, u32) -> u64) -> Answer<'a> {
    let by = int(args, 1)?;
    if by < 0 {
        return Err(Failure::fault("cannot shift by a negative number"));
    }
    let by = u32::try_from(by).unwrap_or(u32::MAX);
    match &args[0] {
        Cel::Int(value) => Ok(Cel::Int(how(value.cast_unsigned(), by).cast_signed())),
        Cel::Uint(value) => Ok(Cel::Uint(how(*value, by))),
        other => Err(needs("an integer", Some(other))),
    }
}
