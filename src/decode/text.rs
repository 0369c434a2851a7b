//! UTF-8 text: the payload is one string.

use serde_json::Value;

pub(crate) fn decode(value: &[u8]) -> Result<Value, String> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(Value::String(text.to_owned())),
        Err(error) => Err(format!("the value is not UTF-8 text: byte {} begins no character", error.valid_up_to())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_string_and_broken_utf_8_says_where() {
        assert_eq!(decode(b"").unwrap(), Value::String(String::new()));
        assert!(decode(b"ab\xff").unwrap_err().contains("byte 2"));
    }
}
