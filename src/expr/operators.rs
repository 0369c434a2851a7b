//! Arithmetic of CEL: overflow and division by zero are failures. One addition to the language: an integer beside a
//! double counts as a double, because JSON writes 9.50 and 10 for prices of one list.

use crate::expr::compare::whole;
use crate::expr::failure::Failure;
use crate::expr::limits::Budget;
use crate::expr::value::Cel;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;

/// The operators with two sides that make a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

// === impl Operator ===

impl Operator {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }

    /// `a` operator `b`.
    ///
    /// # Errors
    /// Values it is not for, overflow, division by zero, the limit.
    pub fn apply<'a>(self, a: &Cel<'a>, b: &Cel<'a>, budget: &mut Budget) -> Result<Cel<'a>, Failure> {
        let unfit = || Failure::fault(format!("`{}` is not for {} and {}", self.as_str(), a.kind(), b.kind()));
        match (a, b) {
            (Cel::Int(x), Cel::Int(y)) => self.ints(*x, *y).map(Cel::Int),
            (Cel::Double(x), Cel::Double(y)) => self.doubles(*x, *y).ok_or_else(unfit),
            (Cel::Int(_) | Cel::Uint(_), Cel::Int(_) | Cel::Uint(_)) => self.mixed(a, b).ok_or_else(unfit)?,
            (Cel::Int(_) | Cel::Uint(_) | Cel::Double(_), Cel::Int(_) | Cel::Uint(_) | Cel::Double(_)) => {
                as_double(a).zip(as_double(b)).and_then(|(x, y)| self.doubles(x, y)).ok_or_else(unfit)
            }
            _ if self == Self::Add => join(a, b, budget)?.or_else(|| moved(a, b, self)).ok_or_else(unfit)?,
            _ if self == Self::Subtract => moved(a, b, self).ok_or_else(unfit)?,
            _ => Err(unfit()),
        }
    }

    fn ints(self, a: i64, b: i64) -> Result<i64, Failure> {
        if b == 0 && matches!(self, Self::Divide | Self::Modulo) {
            return Err(Failure::fault("division by zero"));
        }
        let result = match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
            Self::Divide => a.checked_div(b),
            Self::Modulo => a.checked_rem(b),
        };
        result.ok_or_else(|| self.overflow())
    }

    /// A uint with a uint gives a uint; with an int, whichever of the two the result fits.
    fn mixed<'a>(self, a: &Cel, b: &Cel) -> Option<Result<Cel<'a>, Failure>> {
        let (x, y) = (whole(a)?, whole(b)?);
        if y == 0 && matches!(self, Self::Divide | Self::Modulo) {
            return Some(Err(Failure::fault("division by zero")));
        }
        let result = match self {
            Self::Add => x + y,
            Self::Subtract => x - y,
            Self::Multiply => x * y,
            Self::Divide => x / y,
            Self::Modulo => x % y,
        };
        let both = matches!((a, b), (Cel::Uint(_), Cel::Uint(_)));
        let int = if both { None } else { i64::try_from(result).ok().map(Cel::Int) };
        let fit = int.or_else(|| u64::try_from(result).ok().map(Cel::Uint));
        Some(fit.ok_or_else(|| self.overflow()))
    }

    fn doubles<'a>(self, a: f64, b: f64) -> Option<Cel<'a>> {
        Some(Cel::Double(match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Modulo => return None,
        }))
    }

    fn overflow(self) -> Failure {
        Failure::fault(format!("`{}`: the result does not fit 64 bits", self.as_str()))
    }
}

/// `-value`.
///
/// # Errors
/// What is no number or duration, overflow.
pub fn negate<'a>(value: &Cel) -> Result<Cel<'a>, Failure> {
    match value {
        Cel::Int(value) => value.checked_neg().map(Cel::Int),
        Cel::Double(value) => Some(Cel::Double(-value)),
        Cel::Span(span) => Some(Cel::Span(-*span)),
        _ => return Err(Failure::fault(format!("`-` is not for {}", value.kind()))),
    }
    .ok_or_else(|| Operator::Subtract.overflow())
}

/// A number as a double.
#[must_use]
pub fn as_double(value: &Cel) -> Option<f64> {
    match value {
        Cel::Int(value) => Some(*value as f64),
        Cel::Uint(value) => Some(*value as f64),
        Cel::Double(value) => Some(*value),
        _ => None,
    }
}

/// Text, bytes and lists: one after the other.
#[expect(clippy::type_complexity, reason = "an answer, when the two can be joined at all, within the limit")]
fn join<'a>(a: &Cel<'a>, b: &Cel<'a>, budget: &mut Budget) -> Result<Option<Result<Cel<'a>, Failure>>, Failure> {
    Ok(match (a, b) {
        (Cel::String(a), Cel::String(b)) => {
            budget.touch(a.len() + b.len())?;
            Some(Ok(Cel::text([&**a, &**b].concat())))
        }
        (Cel::Bytes(a), Cel::Bytes(b)) => {
            budget.touch(a.len() + b.len())?;
            Some(Ok(Cel::Bytes(Arc::from([&**a, &**b].concat()))))
        }
        _ => match (a.items(), b.items()) {
            (Some(a), Some(b)) => {
                budget.step(a.len() + b.len())?;
                Some(Ok(Cel::list(a.iter().chain(b.iter()).collect())))
            }
            _ => None,
        },
    })
}

/// Times and durations, added or subtracted.
fn moved<'a>(a: &Cel, b: &Cel, operator: Operator) -> Option<Result<Cel<'a>, Failure>> {
    let add = operator == Operator::Add;
    let result = match (a, b) {
        (Cel::Time(time), Cel::Span(span)) if add => time.checked_add_signed(*span).and_then(time_in_range),
        (Cel::Span(span), Cel::Time(time)) if add => time.checked_add_signed(*span).and_then(time_in_range),
        (Cel::Time(time), Cel::Span(span)) => time.checked_sub_signed(*span).and_then(time_in_range),
        (Cel::Time(a), Cel::Time(b)) if !add => span_in_range(a.signed_duration_since(b)),
        (Cel::Span(a), Cel::Span(b)) if add => a.checked_add(b).and_then(span_in_range),
        (Cel::Span(a), Cel::Span(b)) => a.checked_sub(b).and_then(span_in_range),
        _ => return None,
    };
    Some(result.ok_or_else(|| Failure::fault("the time or duration is out of range")))
}

/// A time, when it is of the years 1 to 9999.
#[must_use]
pub fn time_in_range<'a>(time: DateTime<Utc>) -> Option<Cel<'a>> {
    use chrono::Datelike as _;
    (1..=9999).contains(&time.year()).then_some(Cel::Time(time))
}

/// A duration, when its nanoseconds fit 64 bits.
#[must_use]
pub fn span_in_range<'a>(span: TimeDelta) -> Option<Cel<'a>> {
    span.num_nanoseconds().map(|_| Cel::Span(span))
}
