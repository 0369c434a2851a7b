//! Durations (`250ms 15s 10m 6h 3d`) and sizes (`16MiB 5MB`) as users write them.
//!
//! One whole number and one unit; a plain whole number is a size in bytes, and `0` is a duration.

use std::time::Duration;

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a duration; `None` when it is not one or too long for the clock.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    read(text, DURATIONS).map(Duration::from_millis)
}

/// Reads a size in bytes; `None` when it is not one.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    read(text, SIZES)
}

/// Writes a duration as [`duration`] reads it, in the largest unit that is exact.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0".to_owned();
    }
    let (unit, factor) =
        DURATIONS.iter().rev().find(|(_, factor)| millis.is_multiple_of(*factor)).unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / factor)
}

/// Writes a size as [`size`] reads it, in the largest binary unit that is exact.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let binary = SIZES.iter().rev().filter(|(unit, _)| unit.ends_with("iB"));
    match binary.clone().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

fn read(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_and_written_back() {
        for (text, millis) in [("250ms", 250), ("15s", 15_000), ("10m", 600_000), ("6h", 21_600_000), ("0", 0)] {
            let read = duration(text).unwrap();
            assert_eq!(read, Duration::from_millis(millis));
            assert_eq!(show_duration(read), text);
        }
        assert_eq!(duration("3d"), Some(Duration::from_secs(3 * 86_400)));
        for text in ["16MiB", "1GiB", "5B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
        assert_eq!((size("5MB"), size("123")), (Some(5_000_000), Some(123)));
    }

    #[test]
    fn what_is_neither_is_refused() {
        assert!(
            ["", "s", "5", "1.5s", "-1s", "5 parsecs", "99999999999999999999d"].iter().all(|t| duration(t).is_none())
        );
        assert!(["", "MiB", "1.5MiB", "-1", "1mib", "99999999999TiB"].iter().all(|text| size(text).is_none()));
    }
}
