//! How a record names its schema: a prefix of its value, or a header (Confluent wire format, SR-1 to SR-4).
//!
//! Takes a record's headers and its value or key, gives the schema's id, for Protobuf which message of the schema's file it
//! is, and the bytes of the payload. Knows no schema.

use crate::model::record::Header;
use crate::model::schema::{Language, SchemaId};

/// Bytes of a varint of 32 bits.
const VARINT: usize = 5;

/// Which part of a record is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Key,
    Value,
}

/// A value or a key, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'v> {
    pub(crate) id: SchemaId,
    /// The place of the message in its file, from the outermost in; empty but for Protobuf.
    pub(crate) message: Vec<usize>,
    pub(crate) payload: &'v [u8],
}

/// Why a value cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    #[error("the value is too short to name its schema")]
    TooShort,
    #[error("the value begins with byte {0:#04x} and not with the prefix of a schema registry (0x00 or 0x01)")]
    UnknownMagic(u8),
    #[error("the message indexes behind the schema's id cannot be read")]
    BadMessageIndexes,
}

/// Takes a value apart. The header is looked at first; one that cannot be read is no reason to try the prefix.
pub(crate) fn frame<'v>(
    language: Language,
    headers: &'v [Header],
    (part, value): (Part, &'v [u8]),
) -> Result<Frame<'v>, FramingError> {
    let ours = headers.iter().rev().find(|header| header.name == part.header());
    let header = ours.and_then(|header| header.value.as_deref());
    let mut rest = header.unwrap_or(value);
    let id = id(&mut rest)?;
    let message = match language {
        Language::Protobuf => message(&mut rest).ok_or(FramingError::BadMessageIndexes)?,
        Language::Avro | Language::JsonSchema => Vec::new(),
    };
    Ok(Frame { id, message, payload: if header.is_some() { value } else { rest } })
}

// === impl Part ===

impl Part {
    /// The header of what has no prefix.
    fn header(self) -> &'static str {
        match self {
            Self::Key => "__key_schema_id",
            Self::Value => "__value_schema_id",
        }
    }
}

fn id(rest: &mut &[u8]) -> Result<SchemaId, FramingError> {
    let (magic, after) = rest.split_first().ok_or(FramingError::TooShort)?;
    *rest = after;
    match magic {
        0 => Ok(SchemaId::Number(u32::from_be_bytes(take(rest)?))),
        1 => Ok(SchemaId::Guid(take(rest)?)),
        other => Err(FramingError::UnknownMagic(*other)),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], FramingError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(FramingError::TooShort)?;
    *rest = after;
    Ok(*bytes)
}

/// A count and so many indexes; the count 0 is short for the first message.
fn message(rest: &mut &[u8]) -> Option<Vec<usize>> {
    let count = usize::try_from(varint(rest)?).ok()?;
    if count == 0 {
        return Some(vec![0]);
    }
    if count > rest.len() {
        return None; // an index takes a byte at least: nothing is allocated for what cannot be there
    }
    (0..count).map(|_| usize::try_from(varint(rest)?).ok()).collect()
}

/// A zig-zag varint of 32 bits.
fn varint(rest: &mut &[u8]) -> Option<i32> {
    let mut value = 0_u64;
    for shift in 0..VARINT {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().map(|digit| (digit as char).to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// What a case says of its value; `None` for tombstones, which never come here.
    fn expected(case: &Value) -> Option<Value> {
        let expected = &case["expected"];
        if expected["tombstone"] == true {
            return None;
        }
        if expected["ok"] == false {
            return Some(expected["reason"].clone());
        }
        let id = expected["guid"].as_str().map_or_else(|| expected["id"].to_string(), str::to_owned);
        let message = expected["message_indexes"].as_array().cloned().unwrap_or_default();
        Some(json!([id, message, bytes(expected["payload_hex"].as_str().unwrap())]))
    }

    #[test]
    fn sr_1_sr_2_sr_3_sr_4_every_value_of_the_vectors_is_taken_apart_or_refused_with_its_reason() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/vectors/confluent-framing.json")).unwrap();
        let mut looked_at = 0;
        for case in &cases {
            let (name, input) = (&case["name"], &case["input"]);
            let Some(expected) = expected(case) else { continue };
            let part = if input["side"] == "key" { Part::Key } else { Part::Value };
            let format = input["format"].as_str().unwrap();
            let language = Language::ALL.into_iter().find(|language| language.as_str() == format).unwrap();
            let header = |header: &Value| Header {
                name: header["name"].as_str().unwrap().to_owned(),
                value: header["value_hex"].as_str().map(|hex| bytes(hex).into()),
            };
            let headers: Vec<Header> = input["headers"].as_array().unwrap().iter().map(header).collect();
            let value = bytes(input["data_hex"].as_str().unwrap());
            let framed = match frame(language, &headers, (part, &value)) {
                Ok(frame) => json!([frame.id.to_string(), frame.message, frame.payload]),
                Err(FramingError::TooShort) => json!("too_short"),
                Err(FramingError::UnknownMagic(_)) => json!("unknown_magic"),
                Err(FramingError::BadMessageIndexes) => json!("bad_message_indexes"),
            };
            assert_eq!(framed, expected, "{name}");
            looked_at += 1;
        }
        assert!(looked_at > 50, "{looked_at}");
    }
}
