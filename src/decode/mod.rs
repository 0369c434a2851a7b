//! Record to domain events; the table of decoders.
//!
//! Takes a record and how its topic is decoded, gives its domain events (one; of a batch several), or the fault that sends
//! the record to quarantine. Pure; knows no topic's format and no mapping. A null value is a tombstone in every format: an
//! event whose payload is null, unless tombstones are to be skipped.

mod bytes;
mod cloudevent;
mod cloudevents;
mod debezium;
pub mod decoding;
pub mod format;
mod json;
mod media;
mod packed;
mod structured;
mod text;

use crate::decode::decoding::{Decoding, Envelope, Tombstones};
use crate::decode::format::Format;
use crate::model::event::DomainEvent;
use crate::model::quarantine::{Fault, FaultReason};
use crate::model::record::Record;
use serde_json::Value;

/// Decodes a record; what it is packed in may hold at most `most` bytes.
///
/// # Errors
/// The fault, when the bytes are not what `decoding` says.
pub fn decode<'r>(decoding: &Decoding, record: &'r Record, most: u64) -> Result<Vec<DomainEvent<'r>>, Fault> {
    let unpack = |value| packed::unpack(decoding.compression, value, most);
    let value = record.value.as_deref().map(unpack).transpose().map_err(fault)?;
    if value.is_none() && decoding.tombstones == Tombstones::Skip {
        return Ok(Vec::new());
    }
    let events = events(decoding, record, value.as_deref());
    events.map_err(|detail| fault((FaultReason::Decode, detail)))
}

fn events<'r>(decoding: &Decoding, record: &'r Record, value: Option<&[u8]>) -> Result<Vec<DomainEvent<'r>>, String> {
    let payload = match (value, decoding.format) {
        (_, Format::CloudEvents) => return cloudevents::decode(record, value, decoding.names),
        (None, _) => Value::Null,
        (Some(value), Format::Json) => json::decode(value)?,
        (Some(value), Format::Text) => text::decode(value)?,
        (Some(value), Format::Bytes) => bytes::decode(value),
    };
    let event = match decoding.envelope {
        Envelope::None => DomainEvent::plain(record, payload),
        Envelope::Debezium => DomainEvent {
            key: record.key.as_deref().and_then(debezium::key),
            ..DomainEvent::plain(record, debezium::unwrap(payload)?)
        },
    };
    Ok(vec![event])
}

fn fault((reason, detail): (FaultReason, String)) -> Fault {
    Fault { reason, mapping: None, field: None, expression: None, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decoding::Compression;
    use crate::model::record::{Header, Origin};
    use crate::model::time::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(value: Option<&[u8]>) -> Record {
        let origin =
            Origin { topic: "shop.orders".into(), partition: 0, offset: 7, timestamp: Timestamp::from_millis(1) };
        let value = value.map(::bytes::Bytes::copy_from_slice);
        Record { origin, key: None, headers: Vec::new(), value }
    }

    fn of(format: Format) -> Decoding {
        Decoding { format, ..Decoding::default() }
    }

    fn payloads(decoding: &Decoding, value: Option<&[u8]>) -> Vec<Value> {
        let record = record(value);
        decode(decoding, &record, 100).unwrap().into_iter().map(|event| event.payload).collect()
    }

    #[test]
    fn a_tombstone_is_an_event_with_a_null_payload_in_every_format() {
        for format in Format::ALL {
            for envelope in [Envelope::None, Envelope::Debezium] {
                assert_eq!(payloads(&Decoding { envelope, ..of(format) }, None), [Value::Null]);
            }
        }
    }

    #[test]
    fn dz_1_tombstones_are_skipped_where_that_is_asked_for() {
        for format in Format::ALL {
            let decoding = Decoding { tombstones: Tombstones::Skip, ..of(format) };
            assert!(payloads(&decoding, None).is_empty());
        }
        let decoding = Decoding { tombstones: Tombstones::Skip, ..Decoding::default() };
        assert_eq!(payloads(&decoding, Some(b"null")), [Value::Null], "a null that is written is no tombstone");
    }

    #[test]
    fn each_format_reads_its_bytes() {
        assert_eq!(payloads(&of(Format::Json), Some(br#"{"a":[1]}"#)), [json!({"a": [1]})]);
        assert_eq!(payloads(&of(Format::Text), Some("grüß".as_bytes())), [json!("grüß")]);
        assert_eq!(payloads(&of(Format::Bytes), Some(&[0xff, 0])), [json!("/wA=")]);
        assert_eq!(payloads(&of(Format::CloudEvents), Some(b"[1]")), [json!([1])]);
    }

    #[test]
    fn dz_1_a_change_event_is_unwrapped_and_its_key_too() {
        let decoding = Decoding { envelope: Envelope::Debezium, ..Decoding::default() };
        let mut record = record(Some(br#"{"schema":{},"payload":{"op":"d","before":{"id":1},"after":null}}"#));
        record.key = Some(::bytes::Bytes::from_static(br#"{"schema":{},"payload":{"id":1}}"#));
        let event = decode(&decoding, &record, 100).unwrap().remove(0);
        assert_eq!(event.payload, json!({"op": "d", "before": {"id": 1}, "after": null}));
        assert_eq!(event.key, Some(json!({"id": 1})));
    }

    #[test]
    fn what_cannot_be_decoded_is_a_decode_fault_and_what_is_too_large_a_limit() {
        for format in [Format::Json, Format::Text, Format::CloudEvents] {
            let fault = decode(&of(format), &record(Some(b"\xff{")), 100).unwrap_err();
            assert_eq!((fault.reason, fault.mapping), (FaultReason::Decode, None));
            assert!(!fault.detail.is_empty());
        }
        let decoding = Decoding { compression: Compression::Zstd, ..of(Format::Text) };
        let packed = zstd::stream::encode_all(&[b'x'; 101][..], 3).unwrap();
        assert_eq!(decode(&decoding, &record(Some(&packed)), 100).unwrap_err().reason, FaultReason::Limit);
        assert_eq!(decode(&decoding, &record(Some(&packed)), 101).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            headers in proptest::collection::vec(("(ce_[a-z]{1,4}|content-type)", "(application/cloudevents[+a-z-]{0,11}|.{0,8})"), 0..6),
        ) {
            let mut record = record(Some(&bytes));
            let header = |(name, value): (String, String)| Header { name, value: Some(value.into()) };
            record.headers = headers.into_iter().map(header).collect();
            for format in Format::ALL {
                for compression in [Compression::None, Compression::Auto] {
                    for envelope in [Envelope::None, Envelope::Debezium] {
                        drop(decode(&Decoding { format, envelope, compression, ..Decoding::default() }, &record, 1_000));
                    }
                }
            }
        }
    }
}
