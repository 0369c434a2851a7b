//! One function of the language: its name, what it takes, and how it runs; and how a function reads its arguments.

use crate::expr::failure::Failure;
use crate::expr::limits::Budget;
use crate::expr::operators::as_double;
use crate::expr::value::{Cel, Items};
use std::ops::RangeInclusive;

/// What a function gives.
pub type Answer<'a> = Result<Cel<'a>, Failure>;

/// How a function runs: over its arguments (a method's receiver first), within the budget.
pub type Op = for<'r, 'a> fn(&'r [Cel<'a>], &'r mut Budget) -> Answer<'a>;

/// A function as the tables list it.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its name; with its namespace, when it has one (`math.greatest`).
    pub name: &'static str,
    /// How it is called.
    pub style: Style,
    /// How many arguments it takes, the receiver counted.
    pub takes: RangeInclusive<usize>,
    /// How it runs.
    pub run: Op,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `size(x)`
    Plain,
    /// `x.trim()`
    Method,
    /// Either way.
    Either,
}

// === impl Function ===

impl Function {
    /// A function called as `name(x)`.
    pub const fn plain(name: &'static str, takes: RangeInclusive<usize>, run: Op) -> Self {
        Self { name, style: Style::Plain, takes, run }
    }

    /// A function called as `x.name()`.
    pub const fn method(name: &'static str, takes: RangeInclusive<usize>, run: Op) -> Self {
        Self { name, style: Style::Method, takes, run }
    }

    /// A function called either way.
    pub const fn either(name: &'static str, takes: RangeInclusive<usize>, run: Op) -> Self {
        Self { name, style: Style::Either, takes, run }
    }
}

/// The argument at `index`, which is text.
///
/// # Errors
/// It is not.
pub fn text<'r>(args: &'r [Cel<'_>], index: usize) -> Result<&'r str, Failure> {
    match args.get(index) {
        Some(Cel::String(text)) => Ok(text),
        other => Err(needs("a string", other)),
    }
}

/// The argument at `index`, which is an int.
///
/// # Errors
/// It is not.
pub fn int(args: &[Cel], index: usize) -> Result<i64, Failure> {
    match args.get(index) {
        Some(Cel::Int(value)) => Ok(*value),
        other => Err(needs("an integer", other)),
    }
}

/// The argument at `index`, which is a number.
///
/// # Errors
/// It is not.
pub fn number(args: &[Cel], index: usize) -> Result<f64, Failure> {
    args.get(index).and_then(as_double).ok_or_else(|| needs("a number", args.get(index)))
}

/// The argument at `index`, which is a list.
///
/// # Errors
/// It is not.
pub fn list<'r, 'a>(args: &'r [Cel<'a>], index: usize) -> Result<Items<'r, 'a>, Failure> {
    args.get(index).and_then(Cel::items).ok_or_else(|| needs("a list", args.get(index)))
}

/// Text or binary, as bytes.
///
/// # Errors
/// It is neither.
pub fn bytes<'r>(args: &'r [Cel<'_>], index: usize) -> Result<&'r [u8], Failure> {
    match args.get(index) {
        Some(Cel::String(text)) => Ok(text.as_bytes()),
        Some(Cel::Bytes(bytes)) => Ok(bytes),
        other => Err(needs("a string or bytes", other)),
    }
}

/// "needs this, not that".
#[cold]
#[must_use]
pub fn needs(wanted: &str, given: Option<&Cel>) -> Failure {
    Failure::fault(format!("needs {wanted}, not {}", given.map_or("nothing", Cel::kind)))
}
