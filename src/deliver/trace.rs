//! W3C trace context: the record's trace goes on, with the attempt as a span of its own (TC-1, TC-3).

/// The `traceparent` of an attempt: a child of `parent` with `span` as its id; `None` when `parent` is not valid.
#[must_use]
pub fn child(parent: &str, span: [u8; 8]) -> Option<String> {
    let parent = valid(parent)?;
    // An all-zero span id means "none"; it is as likely as any other, and costs one bit.
    let span = u64::from_be_bytes(span).max(1);
    // Flag bits we do not know are sent as zero; `sampled` is the only one we do.
    let flags = u8::from_str_radix(&parent[53..55], 16).expect("two hex digits were checked") & 1;
    Some(format!("00-{}-{span:016x}-{flags:02x}", &parent[3..35]))
}

/// The part of `text` that is read, when it is a valid `traceparent`.
fn valid(text: &str) -> Option<&str> {
    let read = text.get(..55)?;
    let hex =
        |range: std::ops::Range<usize>| read.as_bytes()[range].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |range: std::ops::Range<usize>| read.as_bytes()[range].iter().all(|b| *b == b'0');
    let dashes = [2, 35, 52].iter().all(|at| read.as_bytes()[*at] == b'-');
    let shape = dashes && hex(0..2) && hex(3..35) && hex(36..52) && hex(53..55);
    let version = &read[..2];
    let end = text.len() == 55 || (version != "00" && text.as_bytes()[55] == b'-');
    (shape && end && version != "ff" && !zero(3..35) && !zero(36..52)).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn tc_1_only_a_valid_traceparent_is_carried_on() {
        let parent = |rest: &str| format!("00-{TRACE}-00f067aa0ba902b7{rest}");
        let cases = [
            (parent("-01"), Some("01")),
            (parent("-00"), Some("00")),
            (parent("-ff"), Some("01")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what"), Some("01")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), Some("01")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01.what"), None),
            (parent("-01-what"), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (parent("-01").to_uppercase(), None),
            (parent("-0"), None),
            (parent("_01"), None),
            (String::new(), None),
            ("\u{e9}".repeat(40), None),
        ];
        for (text, flags) in cases {
            let expected = flags.map(|flags| format!("00-{TRACE}-0102030405060708-{flags}"));
            assert_eq!(child(&text, [1, 2, 3, 4, 5, 6, 7, 8]), expected, "{text}");
        }
        assert!(child(&parent("-01"), [0; 8]).unwrap().contains("-0000000000000001-"));
    }
}
