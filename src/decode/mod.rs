//! Record to domain events; the table of decoders.
//!
//! Takes a record, how its topic is decoded and the schemas that are known; gives its domain events (one; of a batch several),
//! or the fault that sends the record to quarantine, or the id of the schema that is not known yet. Pure; knows no topic's
//! format and no mapping. A null value is a tombstone in every format: an event whose payload is null, unless tombstones are
//! to be skipped.

pub mod avro;
mod bytes;
mod cloudevent;
mod cloudevents;
mod debezium;
pub mod decoding;
mod floating;
pub mod format;
mod framing;
mod json;
pub mod json_schema;
mod media;
mod packed;
pub mod protobuf;
pub mod schema;
pub mod schemas;
mod structured;
mod text;

use crate::decode::decoding::{Decoding, Envelope, Tombstones};
use crate::decode::format::Format;
use crate::decode::framing::Part;
use crate::decode::schemas::Schemas;
use crate::model::event::DomainEvent;
use crate::model::quarantine::{Fault, FaultReason, shortened};
use crate::model::record::{Header, Record};
use crate::model::schema::{Language, SchemaId};
use serde_json::Value;

/// The largest number that a registry gives to a schema.
const LARGEST: u32 = i32::MAX.unsigned_abs();

/// Why there are no domain events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecoded {
    /// The bytes are not what the format says.
    Fault(Fault),
    /// A schema of the record is not known: come again with it.
    Absent(SchemaId),
}

/// Decodes a record; what it is packed in may hold at most `most` bytes.
///
/// # Errors
/// The bytes are not what `decoding` says, or `schemas` lacks one of the record's.
pub fn decode<'r>(
    decoding: &Decoding,
    record: &'r Record,
    schemas: &Schemas,
    most: u64,
) -> Result<Vec<DomainEvent<'r>>, Undecoded> {
    let value = record.value.as_deref().map(|value| packed::unpack(decoding.compression, value, most)).transpose();
    let value = value.map_err(|(reason, detail)| Undecoded::Fault(Fault { reason, ..fault(detail) }))?;
    if value.is_none() && decoding.tombstones == Tombstones::Skip {
        return Ok(Vec::new());
    }
    events(decoding, record, value.as_deref(), schemas)
}

/// The fault of a record that cannot be decoded.
#[must_use]
pub fn fault(detail: String) -> Fault {
    let detail = shortened(detail);
    Fault { reason: FaultReason::Decode, mapping: None, field: None, expression: None, detail }
}

fn broken(detail: String) -> Undecoded {
    Undecoded::Fault(fault(detail))
}

/// The events of a record; `value` is what was packed in it.
fn events<'r>(
    decoding: &Decoding,
    record: &'r Record,
    value: Option<&[u8]>,
    schemas: &Schemas,
) -> Result<Vec<DomainEvent<'r>>, Undecoded> {
    let payload = match (value, &decoding.format) {
        (_, Format::CloudEvents) => return cloudevents::decode(record, value, decoding.names).map_err(broken),
        (None, _) => Ok(Value::Null),
        (Some(value), Format::Json) => json::decode(value),
        (Some(value), Format::Text) => text::decode(value),
        (Some(value), Format::Bytes) => Ok(bytes::decode(value)),
        (Some(value), Format::Registered(language)) => {
            Ok(registered(*language, &record.headers, (Part::Value, value), schemas)?)
        }
        (Some(value), Format::Given(schema)) => schema.decode(&[], value),
    };
    let payload = payload.map_err(broken)?;
    let event = match decoding.envelope {
        Envelope::None => DomainEvent::plain(record, payload),
        Envelope::Debezium => {
            let payload = debezium::unwrap(payload).map_err(broken)?;
            DomainEvent { key: key(&decoding.format, record, schemas)?, ..DomainEvent::plain(record, payload) }
        }
    };
    Ok(vec![event])
}

/// The key of a change event. Where values name their schemas it may do so too; what cannot be read is no reason to keep the
/// value back.
fn key(format: &Format, record: &Record, schemas: &Schemas) -> Result<Option<Value>, Undecoded> {
    let Some(key) = record.key.as_deref() else { return Ok(None) };
    match format {
        Format::Registered(language) => match registered(*language, &record.headers, (Part::Key, key), schemas) {
            Ok(key) => Ok(Some(key)),
            Err(Undecoded::Fault(_)) => Ok(debezium::key(key)),
            Err(absent @ Undecoded::Absent(_)) => Err(absent),
        },
        Format::Json | Format::Text | Format::Bytes | Format::CloudEvents | Format::Given(_) => Ok(debezium::key(key)),
    }
}

/// Decodes a value or a key that names its schema.
fn registered(
    language: Language,
    headers: &[Header],
    (part, bytes): (Part, &[u8]),
    schemas: &Schemas,
) -> Result<Value, Undecoded> {
    let frame = framing::frame(language, headers, (part, bytes)).map_err(|error| broken(error.to_string()))?;
    if matches!(frame.id, SchemaId::Number(number) if number > LARGEST) {
        return Err(broken(format!("{} is no number of a schema", frame.id)));
    }
    let schema = schemas.get(&frame.id).ok_or(Undecoded::Absent(frame.id))?;
    if schema.language() != language {
        let (is, wanted) = (schema.language().as_str(), language.as_str());
        return Err(broken(format!("schema {} is {is}, and the topic's format is {wanted}", frame.id)));
    }
    let payload = schema.decode(&frame.message, frame.payload);
    payload.map_err(|why| broken(format!("by schema {}: {why}", frame.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decoding::Compression;
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

    fn of(format: Format) -> Decoding {
        Decoding { format, ..Decoding::default() }
    }

    /// The payload of a record that is one event.
    fn one(format: &Format, record: &Record, schemas: &Schemas) -> Result<Value, Undecoded> {
        let mut events = decode(&of(format.clone()), record, schemas, 1_000)?;
        assert_eq!(events.len(), 1);
        Ok(events.remove(0).payload)
    }

    fn payload(format: &Format, value: &[u8]) -> Value {
        one(format, &record(Some(value)), &Schemas::default()).unwrap()
    }

    #[test]
    fn sr_6_a_tombstone_is_an_event_with_a_null_payload_in_every_format() {
        let mut tombstone = record(None);
        tombstone.headers.push(Header { name: "__value_schema_id".into(), value: Some("x".into()) });
        for format in formats() {
            for envelope in [Envelope::None, Envelope::Debezium] {
                let decoding = Decoding { envelope, ..of(format.clone()) };
                let events = decode(&decoding, &tombstone, &Schemas::default(), 100).unwrap();
                assert_eq!(events.iter().map(|event| &event.payload).collect::<Vec<_>>(), [&Value::Null]);
            }
        }
    }

    #[test]
    fn dz_1_tombstones_are_skipped_where_that_is_asked_for() {
        let skipping = |format| Decoding { tombstones: Tombstones::Skip, ..of(format) };
        let (schemas, tombstone) = (Schemas::default(), record(None));
        for format in formats() {
            assert!(decode(&skipping(format), &tombstone, &schemas, 100).unwrap().is_empty());
        }
        let (written, decoding) = (record(Some(b"null")), skipping(Format::Json));
        let events = decode(&decoding, &written, &schemas, 100).unwrap();
        assert_eq!((events.len(), &events[0].payload), (1, &Value::Null), "a null that is written is no tombstone");
    }

    #[test]
    fn each_format_reads_its_bytes() {
        assert_eq!(payload(&Format::Json, br#"{"a":[1]}"#), json!({"a": [1]}));
        assert_eq!(payload(&Format::Text, "grüß".as_bytes()), json!("grüß"));
        assert_eq!(payload(&Format::Bytes, &[0xff, 0]), json!("/wA="));
        assert_eq!(payload(&Format::CloudEvents, b"[1]"), json!([1]));
        let avro = Format::Given(Arc::new(Schema::compile(&text(Language::Avro)).unwrap()));
        assert_eq!(payload(&avro, &[14]), json!({"n": 7}));
    }

    #[test]
    fn dz_1_a_change_event_is_unwrapped_and_its_key_too() {
        let decoding = Decoding { envelope: Envelope::Debezium, ..Decoding::default() };
        let mut record = record(Some(br#"{"schema":{},"payload":{"op":"d","before":{"id":1},"after":null}}"#));
        record.key = Some(::bytes::Bytes::from_static(br#"{"schema":{},"payload":{"id":1}}"#));
        let event = decode(&decoding, &record, &Schemas::default(), 100).unwrap().remove(0);
        assert_eq!(event.payload, json!({"op": "d", "before": {"id": 1}, "after": null}));
        assert_eq!(event.key, Some(json!({"id": 1})));
    }

    #[test]
    fn dz_1_a_change_event_in_avro_waits_for_the_schemas_of_its_value_and_its_key() {
        let avro = |text: &str| SchemaText { language: Language::Avro, text: text.into(), references: Vec::new() };
        let envelope = r#"{"type": "record", "name": "Envelope", "fields": [{"name": "before", "type": ["null",
            {"type": "record", "name": "Value", "fields": [{"name": "id", "type": "int"}]}]},
            {"name": "after", "type": ["null", "Value"]}, {"name": "op", "type": "string"}]}"#;
        let format = Format::Registered(Language::Avro);
        let (schemas, decoding) = (Schemas::default(), Decoding { envelope: Envelope::Debezium, ..of(format) });
        let mut record = record(Some(b"\0\0\0\0\x01\x00\x02\x0e\x02c"));
        record.key = Some(::bytes::Bytes::from_static(b"\0\0\0\0\x02\x0e"));
        let seen = |record: &Record| {
            let event = decode(&decoding, record, &schemas, 100)?.remove(0);
            Ok::<_, Undecoded>((event.payload, event.key))
        };
        assert_eq!(seen(&record), Err(Undecoded::Absent(SchemaId::Number(1))));
        schemas.learn(SchemaId::Number(1), &avro(envelope)).unwrap();
        assert_eq!(seen(&record), Err(Undecoded::Absent(SchemaId::Number(2))));
        schemas.learn(SchemaId::Number(2), &text(Language::Avro)).unwrap();
        let change = json!({"before": null, "after": {"id": 7}, "op": "c"});
        assert_eq!(seen(&record), Ok((change, Some(json!({"n": 7})))));
        let keys: [(&'static [u8], Option<Value>); 3] =
            [(b"{\"id\":1}", Some(json!({"id": 1}))), (b"o-1", None), (b"\0\0\0\0\x02", None)];
        for (key, expected) in keys {
            record.key = Some(::bytes::Bytes::from_static(key));
            assert_eq!(seen(&record).unwrap().1, expected, "a key that is not framed keeps no value back");
        }
    }

    #[test]
    fn sr_5_a_schema_that_is_not_known_is_no_fault_and_once_it_is_the_record_is_read() {
        let schemas = Schemas::default();
        let values: [&[u8]; 3] =
            [b"\x00\x00\x00\x00\x01\x0e", b"\x00\x00\x00\x00\x02\x00\x08\x07", b"\x00\x00\x00\x00\x03{\"n\":7}"];
        for (id, (language, value)) in (1..).zip(Language::ALL.into_iter().zip(values)) {
            let (format, record) = (Format::Registered(language), record(Some(value)));
            let absent = one(&format, &record, &schemas).unwrap_err();
            assert_eq!(absent, Undecoded::Absent(SchemaId::Number(id)));
            schemas.learn(SchemaId::Number(id), &text(language)).unwrap();
            assert_eq!(one(&format, &record, &schemas).unwrap(), json!({"n": 7}));
            let other = Format::Registered(Language::ALL[id as usize % 3]);
            let Err(Undecoded::Fault(fault)) = one(&other, &record, &schemas) else { panic!("another language") };
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
            let payload = one(&Format::Registered(language), &record, &schemas).unwrap();
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
            one(&Format::Registered(Language::Avro), &record(Some(&value(id))), &Schemas::default()).unwrap_err()
        };
        assert!(matches!(told(1 << 31), Undecoded::Fault(_)));
        assert_eq!(told((1 << 31) - 1), Undecoded::Absent(SchemaId::Number((1 << 31) - 1)));
    }

    #[test]
    fn what_cannot_be_decoded_is_a_decode_fault_and_what_is_too_large_a_limit() {
        for format in formats().iter().filter(|format| !matches!(format, Format::Bytes)) {
            let undecoded = one(format, &record(Some(b"\xff")), &Schemas::default()).unwrap_err();
            let Undecoded::Fault(fault) = undecoded else { panic!("{format:?}") };
            assert_eq!((fault.reason, fault.mapping), (FaultReason::Decode, None));
            assert!(!fault.detail.is_empty());
        }
        let decoding = Decoding { compression: Compression::Zstd, ..of(Format::Text) };
        let packed = record(Some(&zstd::stream::encode_all(&[b'x'; 101][..], 3).unwrap()));
        let unpacked = |most| decode(&decoding, &packed, &Schemas::default(), most).map(|events| events.len());
        assert!(matches!(unpacked(100), Err(Undecoded::Fault(fault)) if fault.reason == FaultReason::Limit));
        assert_eq!(unpacked(101), Ok(1));
    }

    #[test]
    fn what_names_its_schema_may_be_packed() {
        let schemas = Schemas::default();
        schemas.learn(SchemaId::Number(1), &text(Language::Avro)).unwrap();
        let packed = zstd::stream::encode_all(&b"\0\0\0\0\x01\x0e"[..], 3).unwrap();
        let format = Format::Registered(Language::Avro);
        let decoding = Decoding { compression: Compression::Auto, ..of(format) };
        let record = record(Some(&packed));
        assert_eq!(decode(&decoding, &record, &schemas, 100).unwrap()[0].payload, json!({"n": 7}));
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            id in 1..4_u8,
            headers in proptest::collection::vec(("(ce_[a-z]{1,4}|content-type)", "(application/cloudevents[+a-z-]{0,11}|.{0,8})"), 0..6),
        ) {
            let schemas = Schemas::default();
            for (id, language) in (1..).zip(Language::ALL) {
                schemas.learn(SchemaId::Number(id), &text(language)).unwrap();
            }
            let header = |(name, value): (String, String)| Header { name, value: Some(value.into()) };
            let headers: Vec<_> = headers.into_iter().map(header).collect();
            let framed = [&[0, 0, 0, 0, id], &bytes[..]].concat();
            for value in [bytes, framed] {
                let record = Record { key: Some(value.clone().into()), headers: headers.clone(), ..record(Some(&value)) };
                for format in formats() {
                    for compression in [Compression::None, Compression::Auto] {
                        for envelope in [Envelope::None, Envelope::Debezium] {
                            let decoding = Decoding { envelope, compression, ..of(format.clone()) };
                            drop(decode(&decoding, &record, &schemas, 1_000));
                        }
                    }
                }
            }
        }
    }
}
