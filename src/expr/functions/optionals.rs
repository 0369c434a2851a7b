//! Optional values: what `.?` and `[?]` give.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, needs};
use crate::expr::limits::Budget;
use crate::expr::value::Cel;
use std::sync::Arc;

/// The family.
pub const TABLE: &[Function] = &[
    Function::plain("optional.of", 1..=1, of),
    Function::plain("optional.none", 0..=0, none),
    Function::plain("optional.ofNonZeroValue", 1..=1, of_non_zero),
    Function::method("hasValue", 1..=1, has_value),
    Function::method("value", 1..=1, value),
    Function::method("orValue", 2..=2, or_value),
    Function::method("or", 2..=2, or),
];

fn of<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    Ok(Cel::Optional(Some(Arc::new(args[0].clone()))))
}

fn none<'a>(_: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    Ok(Cel::Optional(None))
}

fn of_non_zero<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let zero = match &args[0] {
        Cel::Null | Cel::Optional(None) => true,
        Cel::Bool(value) => !value,
        Cel::Int(value) => *value == 0,
        Cel::Uint(value) => *value == 0,
        Cel::Double(value) => *value == 0.0,
        Cel::String(text) => text.is_empty(),
        Cel::Bytes(bytes) => bytes.is_empty(),
        Cel::Span(span) => span.is_zero(),
        other => {
            let entries = other.entries().map(|entries| entries.len());
            other.items().map(|items| items.len()).or(entries) == Some(0)
        }
    };
    if zero { Ok(Cel::Optional(None)) } else { of(args, budget) }
}

fn inner<'r, 'a>(args: &'r [Cel<'a>]) -> Result<Option<&'r Cel<'a>>, Failure> {
    match &args[0] {
        Cel::Optional(inner) => Ok(inner.as_deref()),
        other => Err(needs("an optional, such as `payload.?name` gives", Some(other))),
    }
}

fn has_value<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    Ok(Cel::Bool(inner(args)?.is_some()))
}

fn value<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    inner(args)?.cloned().ok_or_else(|| Failure::missing("the optional has no value"))
}

fn or_value<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    Ok(inner(args)?.unwrap_or(&args[1]).clone())
}

fn or<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    let first = inner(args)?.is_some();
    inner(&args[1..])?;
    Ok(args[usize::from(!first)].clone())
}
