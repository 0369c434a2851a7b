//! Rows and bytes as people read them.

use crate::store::upkeep::Amount;

/// `1,234 rows (5.6 MiB)`, `1 row (25 bytes)`.
pub(crate) fn shown(amount: Amount) -> String {
    let rows = if amount.rows == 1 { "row" } else { "rows" };
    format!("{} {rows} ({})", grouped(amount.rows), size(amount.bytes))
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

/// Bytes as people count them.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_for_people() {
        assert_eq!(shown(Amount { rows: 0, bytes: 999 }), "0 rows (999 bytes)");
        assert_eq!(shown(Amount { rows: 1, bytes: 25 }), "1 row (25 bytes)");
        assert_eq!(shown(Amount { rows: 1_234_567, bytes: 1_536 }), "1,234,567 rows (1.5 KiB)");
        assert_eq!(size(5 << 20), "5.0 MiB");
    }
}
