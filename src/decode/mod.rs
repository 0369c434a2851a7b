//! Record to domain event; the table of decoders.
//!
//! Takes a record, the format of its topic and the schemas that are known; gives the domain event, or the fault that
//! sends the record to quarantine, or the id of the schema that is not known yet. Pure; knows no topic's format and no
//! mapping. A null value is a tombstone in every format: an event whose payload is null.

pub mod avro;
mod bytes;
mod floating;
pub mod format;
mod framing;
mod json;
pub mod json_schema;
pub mod protobuf;
pub mod schema;
pub mod schemas;
mod text;

use crate::decode::format::Format;
use crate::decode::schemas::Schemas;
use crate::model::event::DomainEvent;
use crate::model::quarantine::{Fault, FaultReason};
use crate::model::record::Record;
use crate::model::schema::{Language, SchemaId};
use serde_json::Value;

/// The largest number that a registry gives to a schema.
const LARGEST: u32 = i32::MAX.unsigned_abs();

/// Why there is no domain event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecoded {
    /// The bytes are not what the format says.
    Fault(Fault),
    /// The record's schema is not known: come again with it.
    Absent(SchemaId),
}

/// Decodes a record.
///
/// # Errors
/// The bytes are not what `format` says, or `schemas` lacks the record's.
pub fn decode<'r>(format: &Format, record: &'r Record, schemas: &Schemas) -> Result<DomainEvent<'r>, Undecoded> {
    let payload = match (&record.value, format) {
        (None, _) => Ok(Value::Null),
        (Some(value), Format::Json) => json::decode(value),
        (Some(value), Format::Text) => text::decode(value),
        (Some(value), Format::Bytes) => Ok(bytes::decode(value)),
        (Some(value), Format::Registered(language)) => return registered(*language, (record, value), schemas),
        (Some(value), Format::Given(schema)) => schema.decode(&[], value),
    };
    payload.map(|payload| DomainEvent { record, payload }).map_err(|detail| Undecoded::Fault(fault(detail)))
}

/// The fault of a record that cannot be decoded.
#[must_use]
pub fn fault(detail: String) -> Fault {
    Fault { reason: FaultReason::Decode, mapping: None, field: None, expression: None, detail }
}

/// Decodes a value that names its schema.
fn registered<'r>(
    language: Language,
    (record, value): (&'r Record, &[u8]),
    schemas: &Schemas,
) -> Result<DomainEvent<'r>, Undecoded> {
    let broken = |detail| Undecoded::Fault(fault(detail));
    let frame = framing::frame(language, &record.headers, value).map_err(|error| broken(error.to_string()))?;
    if matches!(frame.id, SchemaId::Number(number) if number > LARGEST) {
        return Err(broken(format!("{} is no number of a schema", frame.id)));
    }
    let schema = schemas.get(&frame.id).ok_or(Undecoded::Absent(frame.id))?;
    if schema.language() != language {
        let (is, wanted) = (schema.language().as_str(), language.as_str());
        return Err(broken(format!("schema {} is {is}, and the topic's format is {wanted}", frame.id)));
    }
    let payload = schema.decode(&frame.message, frame.payload);
    let payload = payload.map_err(|why| broken(format!("by schema {}: {why}", frame.id)))?;
    Ok(DomainEvent { record, payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::schema::Schema;
    use crate::model::record::{Header, Origin};
    use crate::model::schema::{Reference, SchemaText};
    use crate::model::time::Timestamp;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Arc;

    fn record(value: Option<&[u8]>) -> Record {
        let origin =
            Origin { topic: "shop.orders".into(), partition: 0, offset: 7, timestamp: Timestamp::from_millis(1) };
        let value = value.map(::bytes::Bytes::copy_from_slice);
        Record { origin, key: None, headers: Vec::new(), value }
    }

    fn text(language: Language) -> SchemaText {
        let text = match language {
            Language::Avro => r#"{"type": "record", "name": "A", "fields": [{"name": "n", "type": "long"}]}"#,
            Language::Protobuf => "syntax = \"proto3\"; message A { int64 n = 1; }",
            Language::JsonSchema => r#"{"properties": {"n": {"type": "integer"}}}"#,
        };
        SchemaText { language, text: text.into(), references: Vec::new() }
    }

    fn formats() -> Vec<Format> {
        let registered = Language::ALL.map(Format::Registered);
        let given = [Language::Avro, Language::JsonSchema];
        let given = given.map(|language| Format::Given(Arc::new(Schema::compile(&text(language)).unwrap())));
        Format::PLAIN.into_iter().chain(registered).chain(given).collect()
    }

    fn payload(format: &Format, value: &[u8]) -> Value {
        decode(format, &record(Some(value)), &Schemas::default()).unwrap().payload
    }

    #[test]
    fn sr_6_a_tombstone_is_an_event_with_a_null_payload_in_every_format() {
        let mut tombstone = record(None);
        tombstone.headers.push(Header { name: "__value_schema_id".into(), value: Some("x".into()) });
        for format in formats() {
            assert_eq!(decode(&format, &tombstone, &Schemas::default()).unwrap().payload, Value::Null);
        }
    }

    #[test]
    fn each_format_reads_its_bytes() {
        assert_eq!(payload(&Format::Json, br#"{"a":[1]}"#), json!({"a": [1]}));
        assert_eq!(payload(&Format::Text, "grüß".as_bytes()), json!("grüß"));
        assert_eq!(payload(&Format::Bytes, &[0xff, 0]), json!("/wA="));
        let avro = Format::Given(Arc::new(Schema::compile(&text(Language::Avro)).unwrap()));
        assert_eq!(payload(&avro, &[14]), json!({"n": 7}));
    }

    #[test]
    fn sr_5_a_schema_that_is_not_known_is_no_fault_and_once_it_is_the_record_is_read() {
        let schemas = Schemas::default();
        let values: [&[u8]; 3] =
            [b"\x00\x00\x00\x00\x01\x0e", b"\x00\x00\x00\x00\x02\x00\x08\x07", b"\x00\x00\x00\x00\x03{\"n\":7}"];
        for (id, (language, value)) in (1..).zip(Language::ALL.into_iter().zip(values)) {
            let (format, record) = (Format::Registered(language), record(Some(value)));
            let absent = decode(&format, &record, &schemas).unwrap_err();
            assert_eq!(absent, Undecoded::Absent(SchemaId::Number(id)));
            schemas.learn(SchemaId::Number(id), &text(language)).unwrap();
            assert_eq!(decode(&format, &record, &schemas).unwrap().payload, json!({"n": 7}));
            let other = Format::Registered(Language::ALL[id as usize % 3]);
            let Err(Undecoded::Fault(fault)) = decode(&other, &record, &schemas) else { panic!("another language") };
            assert_eq!(fault.reason, FaultReason::Decode);
        }
    }

    /// What a registry holds, as Confluent's client for Python registered it (tests/fixtures/registry).
    fn held(schemas: &Value) -> Vec<(SchemaId, SchemaId, SchemaText)> {
        let schemas = schemas.as_array().unwrap();
        let text = |schema: &Value| schema["schema"].as_str().unwrap().to_owned();
        let number = |schema: &Value| u32::try_from(schema["id"].as_u64().unwrap()).unwrap();
        let of = |schema: &Value| {
            let language = match schema["schemaType"].as_str().unwrap() {
                "AVRO" => Language::Avro,
                "PROTOBUF" => Language::Protobuf,
                _ => Language::JsonSchema,
            };
            let reference = |reference: &Value| {
                let is = |other: &&Value| {
                    other["subject"] == reference["subject"] && other["version"] == reference["version"]
                };
                let name = reference["name"].as_str().unwrap().to_owned();
                Reference { name, text: text(schemas.iter().find(is).unwrap()) }
            };
            let references = schema["references"].as_array().unwrap().iter().map(reference).collect();
            let guid = schema["guid"].as_str().unwrap().replace('-', "");
            let guid = u128::from_str_radix(&guid, 16).unwrap().to_be_bytes();
            let text = SchemaText { language, text: text(schema), references };
            (SchemaId::Number(number(schema)), SchemaId::Guid(guid), text)
        };
        schemas.iter().map(of).collect()
    }

    #[test]
    fn what_the_official_client_wrote_is_read() {
        let fixture: Value = serde_json::from_str(include_str!("../../tests/fixtures/registry/frames.json")).unwrap();
        let schemas = Schemas::default();
        for (number, guid, text) in held(&fixture["schemas"]) {
            schemas.learn(number, &text).unwrap();
            schemas.learn(guid, &text).unwrap();
        }
        let bytes = |base64: &Value| STANDARD.decode(base64.as_str().unwrap()).unwrap();
        let frames = fixture["frames"].as_array().unwrap();
        assert!(frames.len() >= 12);
        for frame in frames {
            let mut record = record(Some(&bytes(&frame["value"])));
            for header in frame["headers"].as_array().unwrap() {
                let name = header["name"].as_str().unwrap().to_owned();
                record.headers.push(Header { name, value: Some(bytes(&header["value"]).into()) });
            }
            let language = Language::ALL.into_iter().find(|language| frame["format"] == language.as_str()).unwrap();
            let payload = decode(&Format::Registered(language), &record, &schemas).unwrap().payload;
            assert_eq!(sorted(&payload), sorted(&frame["payload"]), "{}", frame["name"]);
        }
    }

    /// As text, which tells 1.10 from 1.1, with keys in order.
    fn sorted(value: &Value) -> String {
        let mut value = value.clone();
        value.sort_all_objects();
        value.to_string()
    }

    #[test]
    fn a_number_that_no_registry_gives_is_a_fault_and_is_not_asked_for() {
        let value = |id: u32| [&[0][..], &id.to_be_bytes()].concat();
        let told = |id: u32| {
            decode(&Format::Registered(Language::Avro), &record(Some(&value(id))), &Schemas::default()).unwrap_err()
        };
        assert!(matches!(told(1 << 31), Undecoded::Fault(_)));
        assert_eq!(told((1 << 31) - 1), Undecoded::Absent(SchemaId::Number((1 << 31) - 1)));
    }

    #[test]
    fn what_cannot_be_decoded_is_a_decode_fault() {
        for format in formats().iter().filter(|format| !matches!(format, Format::Bytes)) {
            let undecoded = decode(format, &record(Some(b"\xff")), &Schemas::default()).unwrap_err();
            let Undecoded::Fault(fault) = undecoded else { panic!("{format:?}") };
            assert_eq!((fault.reason, fault.mapping), (FaultReason::Decode, None));
            assert!(!fault.detail.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), id in 1..4_u8) {
            let schemas = Schemas::default();
            for (id, language) in (1..).zip(Language::ALL) {
                schemas.learn(SchemaId::Number(id), &text(language)).unwrap();
            }
            let framed = [&[0, 0, 0, 0, id], &bytes[..]].concat();
            for format in formats() {
                drop(decode(&format, &record(Some(&bytes)), &schemas));
                drop(decode(&format, &record(Some(&framed)), &schemas));
            }
        }
    }
}
