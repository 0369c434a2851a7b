//! `size`, and from type to type: `int uint double string bool bytes dyn type`.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, needs};
use crate::expr::limits::Budget;
use crate::expr::value::Cel;
use std::sync::Arc;

/// The family.
pub const TABLE: &[Function] = &[
    Function::either("size", 1..=1, size),
    Function::plain("int", 1..=1, int),
    Function::plain("uint", 1..=1, uint),
    Function::plain("double", 1..=1, double),
    Function::plain("string", 1..=1, string),
    Function::plain("bool", 1..=1, bool),
    Function::plain("bytes", 1..=1, bytes),
    Function::plain("dyn", 1..=1, dynamic),
    Function::plain("type", 1..=1, type_of),
];

/// Characters of text (EL-4), bytes, entries.
fn size<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let value = &args[0];
    let size = match value {
        Cel::String(text) => {
            budget.touch(text.len())?;
            text.chars().count()
        }
        Cel::Bytes(bytes) => bytes.len(),
        _ => value
            .items()
            .map(|items| items.len())
            .or_else(|| value.entries().map(|entries| entries.len()))
            .ok_or_else(|| needs("a string, a list, an object or bytes", Some(value)))?,
    };
    Ok(Cel::Int(size as i64))
}

fn int<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    let value = match &args[0] {
        Cel::Int(value) => Some(*value),
        Cel::Uint(value) => i64::try_from(*value).ok(),
        // Both bounds are doubles that an int cannot hold exactly: excluded, as the language asks.
        Cel::Double(value) => (*value > i64::MIN as f64 && *value < i64::MAX as f64).then_some(*value as i64),
        Cel::String(text) => text.parse().ok(),
        Cel::Time(time) => Some(time.timestamp()),
        other => return Err(needs("a number, a string or a timestamp", Some(other))),
    };
    value.map(Cel::Int).ok_or_else(|| no("an integer of 64 bits", &args[0]))
}

fn uint<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    let value = match &args[0] {
        Cel::Int(value) => u64::try_from(*value).ok(),
        Cel::Uint(value) => Some(*value),
        Cel::Double(value) => (*value > -1.0 && *value < u64::MAX as f64).then_some(*value as u64),
        Cel::String(text) => text.parse().ok(),
        other => return Err(needs("a number or a string", Some(other))),
    };
    value.map(Cel::Uint).ok_or_else(|| no("an unsigned integer of 64 bits", &args[0]))
}

fn double<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Cel::Int(value) => Ok(Cel::Double(*value as f64)),
        Cel::Uint(value) => Ok(Cel::Double(*value as f64)),
        Cel::Double(value) => Ok(Cel::Double(*value)),
        Cel::String(text) => text.parse().map(Cel::Double).map_err(|_| no("a number", &args[0])),
        other => Err(needs("a number or a string", Some(other))),
    }
}

fn string<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Cel::String(_) => Ok(args[0].clone()),
        Cel::Bytes(bytes) => {
            budget.touch(bytes.len())?;
            let text = std::str::from_utf8(bytes).map_err(|_| Failure::fault("the bytes are not UTF-8"))?;
            Ok(Cel::text(text))
        }
        other => other.render().map(Cel::text).ok_or_else(|| needs("a value that is no list or object", Some(other))),
    }
}

fn bool<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Cel::Bool(value) => Ok(Cel::Bool(*value)),
        Cel::String(text) => match &**text {
            "1" | "t" | "true" | "TRUE" | "True" => Ok(Cel::Bool(true)),
            "0" | "f" | "false" | "FALSE" | "False" => Ok(Cel::Bool(false)),
            _ => Err(no("true or false", &args[0])),
        },
        other => Err(needs("a boolean or a string", Some(other))),
    }
}

fn bytes<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    match &args[0] {
        Cel::Bytes(_) => Ok(args[0].clone()),
        Cel::String(text) => {
            budget.touch(text.len())?;
            Ok(Cel::Bytes(Arc::from(text.as_bytes())))
        }
        other => Err(needs("a string", Some(other))),
    }
}

fn dynamic<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    Ok(args[0].clone())
}

fn type_of<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    Ok(Cel::Type(args[0].type_name()))
}

fn no(wanted: &str, given: &Cel) -> Failure {
    let spelled: String = given.render().unwrap_or_default().chars().take(64).collect();
    Failure::fault(format!("{spelled:?} is not {wanted}"))
}
