//! Any bytes: the payload is a string of standard base64 with padding (RFC 4648 section 4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub(crate) fn decode(value: &[u8]) -> Value {
    Value::String(STANDARD.encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_string_of_base64() {
        assert_eq!(decode(b"\x00\xffa"), Value::String("AP9h".to_owned()));
    }
}
