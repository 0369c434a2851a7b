//! Equality and order of CEL values: numbers by value across their types, strings by bytes, all else by type.

use crate::expr::failure::Failure;
use crate::expr::limits::Budget;
use crate::expr::value::{Cel, Entries};
use std::cmp::Ordering;

/// Whether `a` and `b` are equal; values of different types are not, but numbers are compared by value.
///
/// # Errors
/// The limit: large values cost steps.
pub fn equal(a: &Cel, b: &Cel, budget: &mut Budget) -> Result<bool, Failure> {
    Ok(match (a, b) {
        (Cel::Null, Cel::Null) => true,
        (Cel::Bool(a), Cel::Bool(b)) => a == b,
        (Cel::Int(a), Cel::Int(b)) => a == b,
        (Cel::String(a), Cel::String(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            budget.touch(a.len())?;
            **a == **b
        }
        (Cel::Bytes(a), Cel::Bytes(b)) => {
            budget.touch(a.len().min(b.len()))?;
            a == b
        }
        (Cel::Time(a), Cel::Time(b)) => a == b,
        (Cel::Span(a), Cel::Span(b)) => a == b,
        (Cel::Type(a), Cel::Type(b)) => a == b,
        (Cel::Optional(None), Cel::Optional(None)) => true,
        (Cel::Optional(Some(a)), Cel::Optional(Some(b))) => return equal(a, b, budget),
        _ => {
            if let (Some(a), Some(b)) = (a.items(), b.items()) {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b.iter()) {
                    budget.step(1)?;
                    if !equal(&a, &b, budget)? {
                        return Ok(false);
                    }
                }
                true
            } else if let (Some(a), Some(b)) = (a.entries(), b.entries()) {
                return equal_maps(a, b, budget);
            } else {
                numbers(a, b) == Some(Ordering::Equal)
            }
        }
    })
}

fn equal_maps(a: Entries, b: Entries, budget: &mut Budget) -> Result<bool, Failure> {
    if a.len() != b.len() {
        return Ok(false);
    }
    budget.step(a.len())?;
    for (key, value) in a.pairs() {
        match find(b, &key, budget)? {
            Some(other) if equal(&value, &other, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The value of `key` in a map; a whole number finds its equal of another number type.
///
/// # Errors
/// The limit.
pub fn find<'a>(map: Entries<'_, 'a>, key: &Cel, budget: &mut Budget) -> Result<Option<Cel<'a>>, Failure> {
    match (map, key) {
        (Entries::Json(_), Cel::String(name)) => Ok(map.named(name)),
        (Entries::Json(_), _) => Ok(None),
        (Entries::Cel(entries), _) => {
            budget.step(entries.len())?;
            for (known, value) in entries {
                if equal(known, key, budget)? {
                    return Ok(Some(value.clone()));
                }
            }
            Ok(None)
        }
    }
}

/// How `a` stands to `b`; nothing when one of them is NaN.
///
/// # Errors
/// Values that have no order.
pub fn order(a: &Cel, b: &Cel, budget: &mut Budget) -> Result<Option<Ordering>, Failure> {
    Ok(match (a, b) {
        (Cel::Int(a), Cel::Int(b)) => Some(a.cmp(b)),
        (Cel::Bool(a), Cel::Bool(b)) => Some(a.cmp(b)),
        (Cel::String(a), Cel::String(b)) => {
            budget.touch(a.len().min(b.len()))?;
            Some(a.as_bytes().cmp(b.as_bytes()))
        }
        (Cel::Bytes(a), Cel::Bytes(b)) => {
            budget.touch(a.len().min(b.len()))?;
            Some(a.cmp(b))
        }
        (Cel::Time(a), Cel::Time(b)) => Some(a.cmp(b)),
        (Cel::Span(a), Cel::Span(b)) => Some(a.cmp(b)),
        _ if is_number(a) && is_number(b) => numbers(a, b),
        _ => return Err(Failure::fault(format!("{} and {} cannot be ordered", a.kind(), b.kind()))),
    })
}

/// Whether it is an int, a uint or a double.
#[must_use]
pub fn is_number(value: &Cel) -> bool {
    matches!(value, Cel::Int(_) | Cel::Uint(_) | Cel::Double(_))
}

/// Two numbers by value, exactly; nothing when one is NaN or no number.
fn numbers(a: &Cel, b: &Cel) -> Option<Ordering> {
    match (a, b) {
        (Cel::Double(a), Cel::Double(b)) => a.partial_cmp(b),
        (Cel::Double(a), _) => whole(b).and_then(|b| against(b, *a)).map(Ordering::reverse),
        (_, Cel::Double(b)) => whole(a).and_then(|a| against(a, *b)),
        _ => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

/// An int or a uint, wide enough for both.
#[must_use]
pub fn whole(value: &Cel) -> Option<i128> {
    match value {
        Cel::Int(value) => Some(i128::from(*value)),
        Cel::Uint(value) => Some(i128::from(*value)),
        _ => None,
    }
}

/// An integer against a double, without rounding the integer.
fn against(int: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Saturates far outside what an int or a uint can be, which keeps the order.
    let floor = double.floor();
    Some(int.cmp(&(floor as i128)).then(if double > floor { Ordering::Less } else { Ordering::Equal }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::limits::Limits;
    use serde_json::json;

    fn budget() -> Budget {
        Budget::new(&Limits::default())
    }

    #[test]
    fn numbers_compare_by_value_across_types_without_rounding() {
        let same = |a, b| equal(&a, &b, &mut budget()).unwrap();
        assert!(same(Cel::Int(1), Cel::Double(1.0)) && same(Cel::Uint(1), Cel::Int(1)));
        assert!(!same(Cel::Int(i64::MAX), Cel::Double(9_223_372_036_854_775_807.0)));
        assert!(!same(Cel::Double(f64::NAN), Cel::Double(f64::NAN)) && !same(Cel::Int(0), Cel::Double(f64::NAN)));
        let order = |a, b| order(&a, &b, &mut budget()).unwrap();
        assert_eq!(order(Cel::Int(-1), Cel::Double(-1.5)), Some(Ordering::Greater));
        assert_eq!(order(Cel::Double(1.5), Cel::Uint(2)), Some(Ordering::Less));
        assert_eq!(order(Cel::Uint(u64::MAX), Cel::Double(f64::INFINITY)), Some(Ordering::Less));
        assert_eq!(order(Cel::Double(f64::NAN), Cel::Int(1)), None);
    }

    #[test]
    fn lent_and_made_values_are_equal_whatever_the_order_of_keys() {
        let lent = json!({"a": [1, {"b": 2}], "c": "x"});
        let made = Cel::own(json!({"c": "x", "a": [1.0, {"b": 2}]}));
        assert!(equal(&Cel::lend(&lent), &made, &mut budget()).unwrap());
        assert!(equal(&made, &Cel::lend(&lent), &mut budget()).unwrap());
        let other = json!({"a": [1, {"b": 3}], "c": "x"});
        assert!(!equal(&Cel::lend(&other), &made, &mut budget()).unwrap());
    }

    #[test]
    fn different_types_are_unequal_and_have_no_order() {
        assert!(!equal(&Cel::text("1"), &Cel::Int(1), &mut budget()).unwrap());
        let failure = order(&Cel::text("1"), &Cel::Int(1), &mut budget()).unwrap_err();
        assert_eq!(failure.what, "a string and an integer cannot be ordered");
    }

    #[test]
    fn comparing_large_values_costs_steps() {
        let large = json!(vec![0; 5000]);
        let mut small = Budget::new(&Limits { steps: 1000, output_bytes: 0 });
        assert!(equal(&Cel::lend(&large), &Cel::lend(&large), &mut small).is_err());
    }
}
