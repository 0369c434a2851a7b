//! The trace that a record belongs to (TC-1, TC-3): the starting one stays in the event.

use crate::model::record::Record;

/// The headers that may hold it, in the order they are asked.
const NAMES: [&str; 2] = ["traceparent", "ce_traceparent"];

/// The valid W3C `traceparent` of the record; a header that is repeated is not valid.
pub(crate) fn of(record: &Record) -> Option<String> {
    NAMES.iter().find_map(|name| {
        let mut found = record.headers.iter().filter(|header| header.name == *name);
        let (first, second) = (found.next()?, found.next());
        let text = std::str::from_utf8(first.value.as_deref()?).ok()?;
        (second.is_none() && is_valid(text)).then(|| text.to_owned())
    })
}

fn is_valid(text: &str) -> bool {
    let hex = |part: &str, digits| part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &str, digits| hex(part, digits) && part.bytes().any(|b| b != b'0');
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next(), parts.next(), parts.next(), parts.next());
    let shape = [(version, 2), (flags, 2)].iter().all(|(part, digits)| part.is_some_and(|part| hex(part, *digits)));
    let ids = trace.is_some_and(|part| id(part, 32)) && span.is_some_and(|part| id(part, 16));
    // A later version may say more behind the flags; it goes into an attribute, so it must be plain.
    let rest = parts.next();
    let more = rest.is_none_or(|rest| version != Some("00") && rest.bytes().all(|b| b.is_ascii_graphic()));
    shape && ids && more && version != Some("ff")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Header, Origin};
    use crate::model::time::Timestamp;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn found(headers: &[(&str, &str)]) -> Option<String> {
        let origin = Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned(),
            value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())),
        };
        of(&Record { origin, key: None, headers: headers.iter().map(header).collect(), value: None })
    }

    #[test]
    fn tc_1_only_a_valid_traceparent_is_kept() {
        let later = VALID.replacen("00", "cc", 1);
        let cases = [
            (VALID.to_owned(), true),
            (VALID.replace("-01", "-ff"), true),
            (format!("{later}-what"), true),
            (format!("{later}.what"), false),
            (format!("{VALID}-what"), false),
            (VALID.replacen("00", "ff", 1), false),
            (VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), false),
            (VALID.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (VALID.to_uppercase(), false),
            (VALID.replace("-01", "-1"), false),
            (String::new(), false),
        ];
        for (text, kept) in cases {
            assert_eq!(found(&[("traceparent", &text)]).is_some(), kept, "{text}");
        }
    }

    #[test]
    fn tc_3_the_kafka_header_comes_first_and_a_repeated_one_is_none() {
        let other = VALID.replace("-01", "-00");
        assert_eq!(found(&[("ce_traceparent", &other), ("traceparent", VALID)]).as_deref(), Some(VALID));
        assert_eq!(found(&[("ce_traceparent", &other)]), Some(other));
        assert_eq!(found(&[("traceparent", VALID), ("traceparent", VALID)]), None);
    }
}
