//! Headers that a user configures: which may be set at all, and what their values may hold.

use crate::deliver::error::TargetError;
use http::{HeaderName, HeaderValue};

/// Longest block of headers, names and values, that is sent (SEC-6).
pub const LIMIT: usize = 8 << 10;

/// Set by us or by HTTP itself: SW-22, and what would change how the body is read or the connection is used.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Families of ours: signatures, and the attributes of binary CloudEvents.
const RESERVED_FAMILIES: [&str; 2] = ["webhook-", "ce-"];

/// Reads a configured header.
///
/// # Errors
/// [`TargetError`] when it may not be set or cannot be sent. Never names the value.
pub fn parse(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), TargetError> {
    let parsed = HeaderName::try_from(name).map_err(|_| TargetError::HeaderName(name.to_owned()))?;
    let known = RESERVED.contains(&parsed.as_str());
    if known || RESERVED_FAMILIES.iter().any(|family| parsed.as_str().starts_with(family)) {
        return Err(TargetError::HeaderReserved(parsed.to_string()));
    }
    let value = visible(value).ok_or_else(|| TargetError::HeaderValue(parsed.to_string()))?;
    Ok((parsed, value))
}

/// `text` as a header value: visible ASCII with spaces and tabs inside, none around; `None` when it is anything else.
#[must_use]
pub fn visible(text: &str) -> Option<HeaderValue> {
    let sendable = text.bytes().all(|b| matches!(b, b'\t' | b' '..=b'~')) && text.trim() == text;
    if sendable { HeaderValue::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sw_22_our_own_headers_cannot_be_configured_in_any_case() {
        for name in ["Webhook-Id", "WEBHOOK-SIGNATURE", "content-type", "Content-Length", "Host", "ce-id", "User-Agent"]
        {
            assert!(matches!(parse(name, "x"), Err(TargetError::HeaderReserved(_))), "{name}");
        }
        assert_eq!(parse("X-Source", "a b").unwrap().0, "x-source");
    }

    #[test]
    fn sec_6_what_could_split_a_header_is_refused_and_not_repeated_in_the_error() {
        for value in ["a\r\nb", "a\nb", "a\0b", "\u{7f}", "\u{e9}", " a"] {
            let error = parse("x-a", value).unwrap_err();
            assert_eq!(error, TargetError::HeaderValue("x-a".into()));
        }
        assert_eq!(parse("x a", "v"), Err(TargetError::HeaderName("x a".into())));
        assert_eq!(parse("", "v"), Err(TargetError::HeaderName(String::new())));
    }
}
