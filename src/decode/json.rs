//! JSON (RFC 8259): numbers keep their exact text, keys their order; of a key given twice the last one counts.
//!
//! Nesting is bounded by serde_json itself (128 levels), so no later walk over a payload can overflow the stack.

use serde_json::Value;

/// RFC 8259 section 8.1 lets a reader ignore a byte order mark, and some producers write one.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(crate) fn decode(value: &[u8]) -> Result<Value, String> {
    let value = value.strip_prefix(BYTE_ORDER_MARK).unwrap_or(value);
    if value.is_empty() {
        return Err("the value is empty, which is not JSON".to_owned());
    }
    serde_json::from_slice(value).map_err(|error| format!("the value is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_keep_their_exact_text_and_keys_their_order() {
        let text = r#"{"z":12345678901234567890.10,"a":-0,"n":1e400}"#;
        assert_eq!(decode(text.as_bytes()).unwrap().to_string().replace("e+", "e"), text);
    }

    #[test]
    fn of_a_key_given_twice_the_last_one_counts() {
        assert_eq!(decode(br#"{"a":1,"a":2}"#).unwrap(), json!({"a": 2}));
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        assert_eq!(decode(b"\xef\xbb\xbf[1]").unwrap(), json!([1]));
    }

    #[test]
    fn what_is_not_json_says_where() {
        assert!(decode(b"{\"a\": 1,}").unwrap_err().contains("line 1 column 9"));
        assert!(decode(b"").unwrap_err().contains("empty"));
        assert!(decode(b"1 2").is_err());
        assert!(decode(b"\"\xff\"").is_err());
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow() {
        assert!(decode("[".repeat(1_000_000).as_bytes()).unwrap_err().contains("recursion limit"));
    }
}
