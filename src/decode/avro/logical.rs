//! What Avro's logical types become: exact numbers for decimals, RFC 3339 for dates and times, text for the rest.

use crate::decode::avro::schema::{Int, Long, Unit};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, Utc};
use serde_json::{Number, Value};
use std::fmt::Write;

/// The longest decimal that is read: 308 digits, more than a double can say. Writing a number down costs the square
/// of its length.
const DECIMAL: usize = 128;
/// Days from the first of January of the year 1 to the epoch.
const EPOCH: i32 = 719_163;
/// The digits that are divided off at once.
const LIMB: u64 = 1_000_000_000;

pub(crate) fn of_int(logical: Int, value: i32) -> Result<Value, String> {
    match logical {
        Int::Date => {
            let date = value.checked_add(EPOCH).and_then(NaiveDate::from_num_days_from_ce_opt);
            let date =
                date.filter(|date| (0..=9_999).contains(&date.year())).ok_or_else(|| out_of_range(value.into()))?;
            Ok(date.to_string().into())
        }
        Int::TimeMillis => time(i64::from(value), Unit::Millis),
    }
}

pub(crate) fn of_long(logical: Long, value: i64) -> Result<Value, String> {
    match logical {
        Long::TimeMicros => time(value, Unit::Micros),
        Long::Timestamp(unit) => timestamp(value, unit).map(Value::String),
        // The same without a zone: it is local time, nobody says where.
        Long::LocalTimestamp(unit) => timestamp(value, unit).map(|text| text.trim_end_matches('Z').into()),
    }
}

/// A big-endian number in two's complement, with so many decimal places.
pub(crate) fn decimal(bytes: &[u8], scale: usize) -> Result<Value, String> {
    if bytes.len() > DECIMAL || scale > DECIMAL {
        return Err(format!("a decimal of {} bytes and {scale} places: {DECIMAL} are read at most", bytes.len()));
    }
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let digits = digits(magnitude(bytes, if negative { Sign::Negative } else { Sign::Positive }));
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, places) = digits.split_at(digits.len() - scale);
    let (minus, dot) = (if negative { "-" } else { "" }, if scale > 0 { "." } else { "" });
    Ok(Value::Number(Number::from_string_unchecked(format!("{minus}{whole}{dot}{places}"))))
}

pub(crate) fn uuid(bytes: [u8; 16]) -> Value {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        let dash = if [4, 6, 8, 10].contains(&i) { "-" } else { "" };
        write!(text, "{dash}{byte:02x}").expect("a string takes all");
    }
    text.into()
}

/// Months, days and milliseconds, as ISO 8601 writes a period.
pub(crate) fn duration(bytes: [u8; 12]) -> Value {
    let part = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (months, days, millis) = (part(0), part(4), part(8));
    format!("P{months}M{days}DT{}.{:03}S", millis / 1_000, millis % 1_000).into()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

/// The magnitude of a number in two's complement, its highest limb first.
fn magnitude(bytes: &[u8], sign: Sign) -> Vec<u32> {
    let fill = if sign == Sign::Negative { 0xff } else { 0 };
    let mut limbs: Vec<u32> = bytes
        .rchunks(4)
        .rev()
        .map(|chunk| {
            let mut limb = [fill; 4];
            limb[4 - chunk.len()..].copy_from_slice(chunk);
            u32::from_be_bytes(limb)
        })
        .collect();
    if sign == Sign::Negative {
        limbs.iter_mut().for_each(|limb| *limb = !*limb);
        // The least number has a magnitude that its own bytes cannot hold as a positive one: as bits they do.
        for limb in limbs.iter_mut().rev() {
            let (sum, carry) = limb.overflowing_add(1);
            *limb = sum;
            if !carry {
                break;
            }
        }
    }
    limbs
}

fn digits(mut limbs: Vec<u32>) -> String {
    let mut parts = Vec::new();
    while limbs.iter().any(|limb| *limb != 0) {
        let mut remainder = 0_u64;
        for limb in &mut limbs {
            let value = remainder << 32 | u64::from(*limb);
            *limb = u32::try_from(value / LIMB).expect("the remainder is below the divisor");
            remainder = value % LIMB;
        }
        parts.push(remainder);
    }
    let Some(first) = parts.pop() else { return "0".to_owned() };
    parts.iter().rev().fold(first.to_string(), |text, part| format!("{text}{part:09}"))
}

fn time(value: i64, unit: Unit) -> Result<Value, String> {
    let (seconds, nanos) = split(value, unit);
    let time = u32::try_from(seconds).ok().and_then(|s| NaiveTime::from_num_seconds_from_midnight_opt(s, nanos));
    let time = time.ok_or_else(|| out_of_range(value))?;
    let form = match unit {
        Unit::Millis => "%H:%M:%S%.3f",
        Unit::Micros => "%H:%M:%S%.6f",
        Unit::Nanos => "%H:%M:%S%.9f",
    };
    Ok(time.format(form).to_string().into())
}

fn timestamp(value: i64, unit: Unit) -> Result<String, String> {
    let (seconds, nanos) = split(value, unit);
    let time = DateTime::<Utc>::from_timestamp(seconds, nanos).filter(|time| (0..=9_999).contains(&time.year()));
    let form = match unit {
        Unit::Millis => SecondsFormat::Millis,
        Unit::Micros => SecondsFormat::Micros,
        Unit::Nanos => SecondsFormat::Nanos,
    };
    time.map(|time| time.to_rfc3339_opts(form, true)).ok_or_else(|| out_of_range(value))
}

/// Whole seconds, and the nanoseconds beyond them.
fn split(value: i64, unit: Unit) -> (i64, u32) {
    let (per_second, nanos) = match unit {
        Unit::Millis => (1_000, 1_000_000),
        Unit::Micros => (1_000_000, 1_000),
        Unit::Nanos => (1_000_000_000, 1),
    };
    let rest = u32::try_from(value.rem_euclid(per_second)).expect("below a second");
    (value.div_euclid(per_second), rest * nanos)
}

fn out_of_range(value: i64) -> String {
    format!("{value} is no date or time between the years 0 and 9999")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: Result<Value, String>) -> String {
        value.map_or_else(|why| why, |value| value.to_string())
    }

    #[test]
    fn a_decimal_is_a_number_with_its_exact_text() {
        for (bytes, scale, expected) in [
            (&[][..], 2, "0.00"),
            (&[0], 0, "0"),
            (&[5], 2, "0.05"),
            (&[0xfb], 2, "-0.05"),
            (&[0x3a, 0xac], 2, "150.20"),
            (&[0xff, 0xff], 3, "-0.001"),
            (&[0x80], 0, "-128"),
            (&[0x80, 0, 0, 0], 0, "-2147483648"),
            (&[0x01, 0, 0, 0, 0], 0, "4294967296"),
            (&[0x42, 0xed, 0x12, 0x3b, 0x0b, 0xd8, 0x20, 0x3a, 0x12], 2, "12345678901234567890.10"),
        ] {
            assert_eq!(shown(decimal(bytes, scale)), expected);
        }
        assert!(decimal(&[1; 129], 0).is_err() && decimal(&[1], 129).is_err());
        assert_eq!(shown(decimal(&[0x7f; 128], 0)).len(), 308);
    }

    proptest! {
        #[test]
        fn a_decimal_is_what_128_bits_say(number in any::<i128>(), scale in 0..40_usize) {
            let exact = shown(decimal(&number.to_be_bytes(), scale));
            prop_assert_eq!(exact.chars().rev().take_while(|c| *c != '.').count(), if scale == 0 { exact.len() } else { scale });
            prop_assert_eq!(exact.replace('.', "").parse::<i128>().unwrap(), number);
        }
    }

    #[test]
    fn dates_and_times_are_rfc_3339() {
        assert_eq!(shown(of_int(Int::Date, 0)), r#""1970-01-01""#);
        assert_eq!(shown(of_int(Int::Date, -719_162)), r#""0001-01-01""#);
        assert_eq!(shown(of_int(Int::TimeMillis, 30_600_123)), r#""08:30:00.123""#);
        assert_eq!(shown(of_long(Long::TimeMicros, 86_399_999_999)), r#""23:59:59.999999""#);
        let at = |unit, value| shown(of_long(Long::Timestamp(unit), value));
        assert_eq!(at(Unit::Millis, 1_767_256_200_000), r#""2026-01-01T08:30:00.000Z""#);
        assert_eq!(at(Unit::Micros, -1), r#""1969-12-31T23:59:59.999999Z""#);
        assert_eq!(at(Unit::Nanos, 1), r#""1970-01-01T00:00:00.000000001Z""#);
        assert_eq!(shown(of_long(Long::LocalTimestamp(Unit::Millis), 5)), r#""1970-01-01T00:00:00.005""#);
    }

    #[test]
    fn what_no_calendar_holds_is_told() {
        assert!(of_int(Int::Date, i32::MAX).is_err() && of_int(Int::TimeMillis, -1).is_err());
        assert!(of_int(Int::TimeMillis, 86_400_000).is_err());
        let told = of_long(Long::Timestamp(Unit::Millis), i64::MAX).unwrap_err();
        assert_eq!(told, "9223372036854775807 is no date or time between the years 0 and 9999");
        assert!(of_long(Long::Timestamp(Unit::Millis), 253_402_300_800_000).is_err());
    }

    #[test]
    fn the_rest_is_text() {
        let bytes = [0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90, 0xa8, 0x02, 0xe2];
        assert_eq!(uuid(bytes), "89791762-2336-4186-9674-299b90a802e2");
        assert_eq!(duration([1, 0, 0, 0, 2, 0, 0, 0, 0xbc, 0x0b, 0, 0]), "P1M2DT3.004S");
    }
}
