//! What an attribute of an integration event may be: CloudEvents 1.0 (CE-1, CE-2, CE-4), and tenant and key.
//!
//! Takes what an expression gave, gives the attribute, or a sentence that says what is wrong. Used at load for
//! what is written out, and at run time for what is computed.

use crate::model::attribute::{forbidden, is_uri_reference};
use crate::model::time::Timestamp;
use serde_json::Value;

/// `type`: text that is not empty.
pub(crate) fn text(value: Value) -> Result<String, String> {
    let Value::String(text) = value else { return Err(format!("must be a string, not {}", kind(&value))) };
    plain(text)
}

/// `subject`, tenant and key: as [`text`], but integers are written out and null is none.
pub(crate) fn name(value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => plain(text).map(Some),
        Value::Number(number) if is_integer(&number.to_string()) => Ok(Some(number.to_string())),
        other => Err(format!("must be a string or a whole number, not {}", kind(&other))),
    }
}

/// An extension: text, a boolean or a whole number of 32 bits (CE-4); null is none.
pub(crate) fn extension(value: Value) -> Result<Option<Value>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(_) => Ok(Some(value)),
        Value::String(text) => plain(text).map(Value::String).map(Some),
        Value::Number(number) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            Ok(Some(Value::Number(number)))
        }
        other => Err(format!("must be a string, a boolean or a whole number of 32 bits, not {}", kind(&other))),
    }
}

/// `source`: a URI-reference that is not empty (RFC 3986).
pub(crate) fn source(value: Value) -> Result<String, String> {
    let text = text(value)?;
    if is_uri_reference(&text) { Ok(text) } else { Err(format!("`{}` is not a URI-reference", shown(&text))) }
}

/// `time`: a string as RFC 3339 writes it.
pub(crate) fn time(value: &Value) -> Result<Timestamp, String> {
    let Value::String(text) = value else {
        return Err(format!("must be a time like 2026-01-01T00:00:00Z, not {}", kind(value)));
    };
    let time = Timestamp::parse(text);
    time.ok_or_else(|| format!("must be a time like 2026-01-01T00:00:00Z, not `{}`", shown(text)))
}

fn plain(text: String) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    match forbidden(&text) {
        None => Ok(text),
        Some(found) => Err(format!("must not hold the character U+{:04X}", u32::from(found))),
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// What kind of value this is, for a sentence.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The beginning of a text that came from a record, for a sentence.
fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ce_1_a_type_is_text_that_is_not_empty() {
        assert_eq!(text(json!("com.acme.order")), Ok("com.acme.order".to_owned()));
        assert!([json!(""), json!(null), json!(5), json!({})].into_iter().all(|value| text(value).is_err()));
    }

    #[test]
    fn ce_4_strings_hold_no_control_characters_and_no_noncharacters() {
        for bad in ["a\nb", "\u{7f}", "\u{9f}", "\u{fdd0}", "\u{fffe}", "\u{1ffff}", "\0"] {
            assert!(name(json!(bad)).unwrap_err().contains("U+"), "{bad:?}");
        }
        assert_eq!(name(json!("größe 5 \u{1f600}")).unwrap().as_deref(), Some("größe 5 \u{1f600}"));
    }

    #[test]
    fn ce_1_a_source_is_a_uri_reference() {
        assert_eq!(source(json!("urn:hookline:shop.orders")), Ok("urn:hookline:shop.orders".to_owned()));
        assert!(["", "a b", "1a:b"].into_iter().all(|bad| source(json!(bad)).is_err()));
    }

    #[test]
    fn ce_4_an_extension_is_text_a_boolean_or_a_number_of_32_bits_and_null_is_none() {
        assert_eq!(extension(json!(null)), Ok(None));
        for good in [json!("x"), json!(false), json!(-2_147_483_648_i64)] {
            assert_eq!(extension(good.clone()), Ok(Some(good)));
        }
        for bad in [json!(2_147_483_648_i64), json!(1.5), json!([]), json!({}), json!(""), json!("a\n")] {
            assert!(extension(bad).is_err());
        }
    }

    #[test]
    fn tenant_and_key_may_be_whole_numbers_and_null_is_none() {
        let exact: Value = serde_json::from_str("123456789012345678901234567890").unwrap();
        assert_eq!(name(exact).unwrap().as_deref(), Some("123456789012345678901234567890"));
        assert_eq!(name(json!(-7)).unwrap().as_deref(), Some("-7"));
        assert_eq!(name(json!(null)), Ok(None));
        for bad in [json!(1.5), json!(true), json!([]), json!("")] {
            assert!(name(bad).is_err());
        }
    }

    #[test]
    fn ce_2_a_time_is_written_as_rfc_3339() {
        assert_eq!(time(&json!("2026-01-01T01:00:00.5+01:00")).unwrap().to_string(), "2026-01-01T00:00:00.500Z");
        for bad in [json!("yesterday"), json!("2026-01-01"), json!(1_767_225_600_000_i64), json!(null), json!("")] {
            assert!(time(&bad).is_err(), "{bad}");
        }
    }
}
