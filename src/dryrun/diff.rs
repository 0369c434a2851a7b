//! Two JSON values compared: each place where they differ, by its path. Numbers count by value (10.10 is 10.1), keys in
//! any order.

use crate::expr::mistake::join;
use serde_json::{Number, Value};
use std::fmt;

/// A place where what came is not what was expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where.
    pub path: String,
    /// What was expected there; `None`: nothing.
    pub expected: Option<Value>,
    /// What came; `None`: nothing.
    pub got: Option<Value>,
}

/// The most letters that are shown of one value.
const SHOWN: usize = 300;

/// Everything in which `got` is not `expected`, both standing at `path`.
#[must_use]
pub fn differences(expected: &Value, got: &Value, path: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(Some(expected), Some(got), path, &mut found);
    found
}

fn compare(expected: Option<&Value>, got: Option<&Value>, path: &str, found: &mut Vec<Difference>) {
    match (expected, got) {
        (Some(Value::Object(expected)), Some(Value::Object(got))) => {
            for (key, value) in expected {
                compare(Some(value), got.get(key), &join(path, key), found);
            }
            for (key, value) in got.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                compare(None, Some(value), &join(path, key), found);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(got))) => {
            for at in 0..expected.len().max(got.len()) {
                compare(expected.get(at), got.get(at), &format!("{path}[{at}]"), found);
            }
        }
        (Some(Value::Number(a)), Some(Value::Number(b))) if same(a, b) => {}
        (Some(a), Some(b)) if a == b => {}
        _ => {
            found.push(Difference { path: path.to_owned(), expected: expected.cloned(), got: got.cloned() });
        }
    }
}

/// Whether two numbers are one by value, exactly, however many digits they have.
fn same(a: &Number, b: &Number) -> bool {
    match (Decimal::of(&a.to_string()), Decimal::of(&b.to_string())) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// A number in the one form that its value has: no zeros at either end of its digits.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

// === impl Decimal ===

impl Decimal {
    /// Reads a number as JSON writes it; `None` when its exponent is beyond all counting.
    fn of(text: &str) -> Option<Self> {
        let (text, negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent: i64 = exponent.parse().ok()?;
        let exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
        let zeros = all.len() - all.trim_end_matches('0').len();
        match digits.is_empty() {
            true => Some(Self { negative: false, digits, exponent: 0 }),
            false => Some(Self { negative, digits, exponent: exponent.checked_add(i64::try_from(zeros).ok()?)? }),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.expected, &self.got) {
            (Some(expected), Some(got)) => {
                write!(f, "{path}: differs\n  expected {}\n  got      {}", shown(expected), shown(got))
            }
            (Some(expected), None) => write!(f, "{path}: is missing\n  expected {}", shown(expected)),
            (None, Some(got)) => write!(f, "{path}: is not expected\n  got      {}", shown(got)),
            (None, None) => write!(f, "{path}: differs"),
        }
    }
}

/// A value on one line, cut when it is long.
#[must_use]
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_count_by_value() {
        for (a, b) in [
            ("10.10", "10.1"),
            ("1e2", "100"),
            ("100", "1E+2"),
            ("-0", "0.000"),
            ("0e99", "0"),
            ("12345678901234567890.10", "12345678901234567890.1"),
            ("1e-99999999999999999999", "1e-99999999999999999999"),
        ] {
            assert!(same(&number(a), &number(b)), "{a} {b}");
        }
        for (a, b) in [
            ("10.1", "10.11"),
            ("1", "-1"),
            ("12345678901234567890.10", "12345678901234567890.11"),
            ("1e400", "1e401"),
            ("10", "1"),
        ] {
            assert!(!same(&number(a), &number(b)), "{a} {b}");
        }
    }

    #[test]
    fn every_difference_is_told_by_its_path() {
        let expected = json!({"id": "a", "lines": [{"qty": 1}, {"qty": 2}, 3], "gone": null, "s": "1"});
        let got = json!({"more": true, "lines": [{"qty": 1.0}, {"qty": 5}], "id": "a", "s": 1});
        let told: Vec<String> =
            differences(&expected, &got, "expect[0].data").iter().map(ToString::to_string).collect();
        let wanted = [
            "expect[0].data.lines[1].qty: differs\n  expected 2\n  got      5",
            "expect[0].data.lines[2]: is missing\n  expected 3",
            "expect[0].data.gone: is missing\n  expected null",
            "expect[0].data.s: differs\n  expected \"1\"\n  got      1",
            "expect[0].data.more: is not expected\n  got      true",
        ];
        assert_eq!(told, wanted);
    }

    proptest! {
        #[test]
        fn doubles_that_are_one_are_one_however_they_are_written(value in -1e6..1e6_f64, zeros in 0..4_usize) {
            let text = format!("{value:.6}");
            let longer = format!("{text}{}", "0".repeat(zeros));
            prop_assert!(same(&number(&text), &number(&longer)));
            let other = format!("{text}1");
            prop_assert!(!same(&number(&text), &number(&other)));
        }
    }
}
