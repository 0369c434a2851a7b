//! From one notation to another: `base64.encode base64.decode json.parse json.string urlEncode`.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, bytes, text};
use crate::expr::limits::Budget;
use crate::expr::value::Cel;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use std::fmt::Write as _;
use std::sync::Arc;

/// The family.
pub const TABLE: &[Function] = &[
    Function::plain("base64.encode", 1..=1, base64_encode),
    Function::plain("base64.decode", 1..=1, base64_decode),
    Function::plain("json.parse", 1..=1, json_parse),
    Function::plain("json.string", 1..=1, json_string),
    Function::plain("urlEncode", 1..=1, url_encode),
];

/// Padding may be left out, as cel-go allows.
const DECODER: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Of text its UTF-8 bytes.
fn base64_encode<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes(args, 0)?;
    budget.touch(bytes.len() * 4 / 3)?;
    Ok(Cel::text(BASE64_STANDARD.encode(bytes)))
}

fn base64_decode<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text(args, 0)?;
    budget.touch(text.len())?;
    let bytes = DECODER.decode(text).map_err(|error| Failure::fault(format!("not base64: {error}")))?;
    Ok(Cel::Bytes(Arc::from(bytes)))
}

/// A document of JSON; as deep as a record may be.
fn json_parse<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes(args, 0)?;
    // A parsed value takes far more room than its text, at worst a few dozen times.
    budget.step(bytes.len())?;
    serde_json::from_slice(bytes).map(Cel::own).map_err(|error| Failure::fault(format!("not JSON: {error}")))
}

/// Without spaces; numbers of the record keep their text.
fn json_string<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let value = args[0].to_json(budget)?;
    let mut writer = Metered { text: Vec::new(), budget, spent: None };
    let written = serde_json::to_writer(&mut writer, &value);
    if let Some(limit) = writer.spent {
        return Err(limit);
    }
    written.map_err(|error| Failure::fault(error.to_string()))?;
    Ok(Cel::text(String::from_utf8(writer.text).expect("JSON is UTF-8")))
}

/// RFC 3986: everything but letters, digits and `-._~` is escaped.
fn url_encode<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes(args, 0)?;
    budget.touch(bytes.len() * 3)?;
    let mut encoded = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes all");
        }
    }
    Ok(Cel::text(encoded))
}

/// Counts what is written before it is kept.
struct Metered<'b> {
    text: Vec<u8>,
    budget: &'b mut Budget,
    spent: Option<Failure>,
}

// === impl Metered ===

impl std::io::Write for Metered<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Err(limit) = self.budget.touch(bytes.len()) {
            self.spent = Some(limit);
            return Err(std::io::Error::other("limit"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
