//! W3C trace context: the trace that a record belongs to, and what whoever it is sent to is told of it (TC-1 to TC-3).

use crate::model::record::Record;
use std::collections::BTreeSet;
use std::fmt;

/// A trace: everything that one cause has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// One piece of work within a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// Whether those who take part in a trace should record it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// They should.
    Yes,
    /// They need not.
    No,
}

/// A piece of work as others are told of it. Written as `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The trace.
    pub trace: TraceId,
    /// The piece of work.
    pub span: SpanId,
    /// Whether the trace is recorded.
    pub sampled: Sampled,
}

/// What a record says it was caused by: its `traceparent`, valid, and the `tracestate` beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    text: String,
    context: Context,
    state: Option<String>,
}

/// The headers of a record that may hold them, in the order they are asked.
const NAMES: [(&str, &str); 2] = [("traceparent", "tracestate"), ("ce_traceparent", "ce_tracestate")];

/// Most members of a `tracestate`.
const MEMBERS: usize = 32;
/// How many characters of a `tracestate` are carried on at least, and by us at most.
const STATE: usize = 512;
/// Members longer than this are the first to go when there is too much.
const LONG: usize = 128;

// === impl TraceId ===

impl TraceId {
    /// A trace of these bytes. All zero means "none", is as likely as any other, and costs one bit.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes).max(1).to_be_bytes())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

// === impl SpanId ===

impl SpanId {
    /// A piece of work of these bytes; for all zero see [`TraceId::from_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes).max(1).to_be_bytes())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

// === impl Context ===

impl Context {
    /// Another piece of work of the same trace.
    #[must_use]
    pub fn with_span(self, span: SpanId) -> Self {
        Self { span, ..self }
    }

    /// Reads a `traceparent`. Of a later version only the part is read that this version knows.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let version: [u8; 1] = hex(parts.next()?)?;
        let (trace, span) = (hex(parts.next()?)?, hex(parts.next()?)?);
        let [flags] = hex(parts.next()?)?;
        let more = parts.next().is_some();
        if version == [0xff] || (version == [0] && more) || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        // `sampled` is the only flag that we know.
        let sampled = if flags & 1 == 1 { Sampled::Yes } else { Sampled::No };
        Some(Self { trace: TraceId(trace), span: SpanId(span), sampled })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = match self.sampled {
            Sampled::Yes => "01",
            Sampled::No => "00",
        };
        write!(f, "00-{}-{}-{flags}", self.trace, self.span)
    }
}

/// Characters of a `traceparent`, at most: version 00 has 55, and each event holds its own.
const LONGEST: usize = 256;

// === impl Parent ===

impl Parent {
    /// What the headers of `record` say. One that is repeated is not valid; several of `tracestate` are one.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        NAMES.iter().find_map(|(parent, state)| {
            let all = |name: &'static str| record.headers.iter().filter(move |header| header.name == name);
            let (mut found, text) = (all(parent), |value| std::str::from_utf8(value).ok());
            let (first, second) = (found.next()?, found.next());
            let parent = text(first.value.as_deref()?).filter(|_| second.is_none())?;
            // What is no text makes the whole one that cannot be read.
            let states = all(state).map(|header| header.value.as_deref().and_then(text).unwrap_or("="));
            let states = states.collect::<Vec<_>>().join(",");
            Self::parse(parent, Some(states.as_str()))
        })
    }

    /// Reads both headers. A `tracestate` that cannot be read is left out.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        // It goes into an attribute, so what a later version adds must be plain, and not much.
        let plain = traceparent.len() <= LONGEST && traceparent.bytes().all(|byte| byte.is_ascii_graphic());
        let context = Context::parse(traceparent).filter(|_| plain)?;
        Some(Self { text: traceparent.to_owned(), context, state: tracestate.and_then(state) })
    }

    /// The `traceparent` as it stands there.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means.
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// The `tracestate`, when it has one: visible ASCII and spaces.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// `N` bytes in lower-case hex.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; N];
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// The members of a `tracestate` as they are carried on; `None` when it cannot be read or is empty.
fn state(text: &str) -> Option<String> {
    let mut members: Vec<&str> =
        text.split(',').map(|one| one.trim_matches([' ', '\t'])).filter(|one| !one.is_empty()).collect();
    let keys: BTreeSet<&str> = members.iter().filter_map(|one| key(one)).collect();
    if members.is_empty() || members.len() > MEMBERS || keys.len() < members.len() {
        return None;
    }
    let length = |members: &[&str]| members.iter().map(|one| one.len() + 1).sum::<usize>() - 1;
    while length(&members) > STATE {
        // What stands last is the oldest.
        let goes = members.iter().rposition(|one| one.len() > LONG).unwrap_or(members.len() - 1);
        members.remove(goes);
        if members.is_empty() {
            return None;
        }
    }
    Some(members.join(","))
}

/// The key of a member that is well formed.
fn key(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let key_fits = (1..=256).contains(&key.len())
        && letter(key.as_bytes()[0])
        && key.bytes().all(|byte| letter(byte) || b"_-*/@".contains(&byte));
    let value_fits =
        (1..=256).contains(&value.len()) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=');
    (key_fits && value_fits).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Header, Origin};
    use crate::model::time::Timestamp;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn found(headers: &[(&str, &str)]) -> Option<Parent> {
        let origin = Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned(),
            value: Some(bytes::Bytes::copy_from_slice(value.as_bytes())),
        };
        Parent::of(&Record { origin, key: None, headers: headers.iter().map(header).collect(), value: None })
    }

    #[test]
    fn tc_1_only_a_valid_traceparent_counts_and_of_its_flags_only_the_one_we_know() {
        let parent = |rest: &str| format!("00-{TRACE}-00f067aa0ba902b7{rest}");
        let cases = [
            (parent("-01"), Some("01")),
            (parent("-00"), Some("00")),
            (parent("-ff"), Some("01")),
            (parent("-02"), Some("00")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what"), Some("01")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01"), Some("01")),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01.what"), None),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what\u{e9}"), None),
            (parent("-01-what"), None),
            (parent("-01-"), None),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), None),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-0000000000000000-01"), None),
            (parent("-01").to_uppercase(), None),
            (parent("-1"), None),
            (parent("-001"), None),
            (parent("_01"), None),
            (format!(" {}", parent("-01")), None),
            (String::new(), None),
            ("\u{e9}".repeat(40), None),
        ];
        for (text, flags) in cases {
            let read = Parent::parse(&text, None);
            let expected = flags.map(|flags| format!("00-{TRACE}-00f067aa0ba902b7-{flags}"));
            assert_eq!(read.as_ref().map(|parent| parent.context().to_string()), expected, "{text}");
            assert!(read.is_none_or(|parent| parent.text() == text), "the starting one stays as it is");
        }
    }

    #[test]
    fn tc_1_no_id_is_ever_all_zero() {
        let context = Context::parse(VALID).unwrap().with_span(SpanId::from_bytes([0; 8]));
        assert_eq!(context.to_string(), format!("00-{TRACE}-0000000000000001-01"));
        assert_eq!(TraceId::from_bytes([0; 16]).as_bytes()[15], 1);
    }

    #[test]
    fn tc_3_the_kafka_header_comes_first_and_a_repeated_one_is_none() {
        let other = VALID.replace("-01", "-00");
        let text = |headers: &[(&str, &str)]| found(headers).map(|parent| parent.text().to_owned());
        assert_eq!(text(&[("ce_traceparent", &other), ("traceparent", VALID)]).as_deref(), Some(VALID));
        assert_eq!(text(&[("ce_traceparent", &other)]), Some(other));
        assert_eq!(text(&[("traceparent", VALID), ("traceparent", VALID)]), None);
        assert_eq!(text(&[("tracestate", "a=1")]), None);
    }

    #[test]
    fn tc_2_a_tracestate_goes_with_its_own_parent_and_one_that_cannot_be_read_voids_none() {
        let state = |headers: &[(&str, &str)]| {
            let all = [&[("traceparent", VALID)], headers].concat();
            found(&all).expect("the parent is valid").state().map(str::to_owned)
        };
        let (most, many) =
            (["k=1"; 32].join(","), |count: usize| (0..count).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(","));
        for (written, carried) in [
            ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")),
            (" a=1 ,\tb=2, ,", Some("a=1,b=2")),
            ("fw529a3039@dt=FfAb,0x/y*_-=~!", Some("fw529a3039@dt=FfAb,0x/y*_-=~!")),
            ("a=1,a=2", None),
            (&most, None),
            (&many(32), Some(many(32).as_str())),
            (&many(33), None),
            ("", None),
            ("a", None),
            ("a=", None),
            ("=1", None),
            ("A=1", None),
            ("a b=1", None),
            ("a=1=2", None),
            ("a=\u{e9}", None),
            ("a=1\u{7f}", None),
        ] {
            assert_eq!(state(&[("tracestate", written)]).as_deref(), carried, "{written}");
        }
        assert_eq!(state(&[("tracestate", "a=1"), ("tracestate", "b=2")]).as_deref(), Some("a=1,b=2"));
        assert_eq!(state(&[("ce_tracestate", "a=1")]), None, "it stands beside another parent");
    }

    #[test]
    fn tc_2_of_a_tracestate_that_is_too_long_whole_members_go_the_long_ones_first() {
        let member = |key: &str, length: usize| format!("{key}={}", "x".repeat(length - 2));
        let read =
            |members: &[String]| Parent::parse(VALID, Some(&members.join(","))).unwrap().state().map(str::to_owned);
        let (a, b, c, d) = (member("a", 128), member("b", 129), member("c", 128), member("d", 126));
        assert_eq!(read(&[a.clone(), c.clone(), b.clone()]).unwrap().len(), 387);
        let kept = read(&[a.clone(), b, c.clone(), d.clone(), member("e", 10)]).unwrap();
        assert_eq!(kept, [a.clone(), c.clone(), d.clone(), member("e", 10)].join(","));
        let kept = read(&[a.clone(), c.clone(), d.clone(), member("e", 128), member("f", 128)]).unwrap();
        assert_eq!(kept, [a, c, d].join(","), "what stands last goes");
        assert_eq!(read(&[format!("{}={}", "k".repeat(256), "v".repeat(256))]), None);
    }

    proptest! {
        #[test]
        fn tc_2_whatever_is_written_what_is_carried_on_fits_a_header(parent in ".{0,80}", state in "[ -~]{0,800}") {
            for parent in [&*parent, VALID] {
                if let Some(parent) = Parent::parse(parent, Some(&state)) {
                    let carried = parent.state().unwrap_or_default();
                    prop_assert!(carried.len() <= STATE && carried.bytes().all(|b| (b' '..=b'~').contains(&b)));
                }
            }
        }
    }
}
