//! `cloudevents-binary`: data in the body, attributes in `ce-*` headers (CH-1, CH-2).
//!
//! The signature does not cover those headers (DEC-2). An event without data goes out structured (WH-1).

use crate::deliver::format::{cloudevents, raw};
use crate::model::event::IntegrationEvent;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What receivers are told: the data's own type.
pub const CONTENT_TYPE: &str = "application/json";

/// The data alone; the whole event when it has none.
#[must_use]
pub fn render(event: &IntegrationEvent) -> Bytes {
    if event.data.is_null() { cloudevents::render(event) } else { raw::render(event) }
}

/// Adds the attributes as headers; gives the bytes they need.
pub fn add_headers(event: &IntegrationEvent, headers: &mut HeaderMap) -> usize {
    if event.data.is_null() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(cloudevents::CONTENT_TYPE));
        return 0;
    }
    let mut bytes = 0;
    let mut add = |name: &str, value: &str| {
        let value = HeaderValue::try_from(encode(value)).expect("encoded values are visible ASCII");
        bytes += name.len() + value.len();
        let name = HeaderName::from_bytes(name.as_bytes()).expect("names of attributes are small letters and digits");
        headers.insert(name, value);
    };
    add("ce-specversion", "1.0");
    add("ce-id", &event.id.to_string());
    add("ce-source", &event.source);
    add("ce-type", &event.event_type);
    add("ce-time", &event.time.to_string());
    event.subject.iter().for_each(|subject| add("ce-subject", subject));
    if let Some(parent) = &event.traceparent {
        add("ce-traceparent", parent.text());
        parent.state().iter().for_each(|state| add("ce-tracestate", state));
    }
    for (name, value) in &event.extensions {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        add(&format!("ce-{name}"), &text);
    }
    bytes
}

/// Percent-encodes an attribute value (CH-2): space, `"`, `%` and all but visible ASCII, upper-case hex.
#[must_use]
pub fn encode(value: &str) -> String {
    let mut written = String::with_capacity(value.len());
    for byte in value.bytes() {
        if matches!(byte, b'!' | b'#' | b'$' | b'&'..=b'~') {
            written.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |four: u8| char::from(HEX[usize::from(four)]);
            written.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One round of percent-decoding, as a receiver does it (CH-3).
    fn decode(text: &str) -> String {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let [first, tail @ ..] = rest {
            rest = tail;
            if *first == b'%' {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
                rest = &tail[2..];
            } else {
                bytes.push(*first);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn ch_2_the_standards_own_examples_are_written_as_it_says() {
        for (value, header) in [
            ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("100%", "100%25"),
            ("say \"hi\"", "say%20%22hi%22"),
            ("a~b!", "a~b!"),
            ("ø", "%C3%B8"),
        ] {
            assert_eq!(encode(value), header);
        }
    }

    proptest! {
        #[test]
        fn ch_2_any_value_comes_back_after_one_round_of_decoding(value in any::<String>()) {
            let written = encode(&value);
            prop_assert!(written.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'"'));
            prop_assert_eq!(decode(&written), value);
        }
    }
}
