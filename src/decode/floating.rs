//! Floating-point numbers as JSON: their shortest exact text, and names for what JSON has no number for, as in
//! Protobuf's JSON.

use serde_json::Value;

pub(crate) fn float(number: f32) -> Value {
    if number.is_finite() { number.into() } else { name(number.into()).into() }
}

pub(crate) fn double(number: f64) -> Value {
    if number.is_finite() { number.into() } else { name(number).into() }
}

fn name(number: f64) -> &'static str {
    match number {
        _ if number.is_nan() => "NaN",
        _ if number > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_shortest_text_and_what_is_none_its_name() {
        assert_eq!((float(0.1).to_string(), double(0.1).to_string()), ("0.1".into(), "0.1".into()));
        assert_eq!((float(f32::NAN), double(f64::NEG_INFINITY)), ("NaN".into(), "-Infinity".into()));
        assert_eq!(float(f32::INFINITY), "Infinity");
    }
}
