//! Record to domain event; the table of decoders.
//!
//! Takes a record and the format of its topic, gives the domain event, or the fault that sends the record to
//! quarantine. Pure; knows no topic's format and no mapping. A null value is a tombstone in every format: an event
//! whose payload is null.

mod bytes;
pub mod format;
mod json;
mod text;

use crate::decode::format::Format;
use crate::model::event::DomainEvent;
use crate::model::quarantine::{Fault, FaultReason};
use crate::model::record::Record;
use serde_json::Value;

/// Decodes a record.
///
/// # Errors
/// The fault, when the bytes are not what `format` says.
pub fn decode(format: Format, record: &Record) -> Result<DomainEvent<'_>, Fault> {
    let payload = match (&record.value, format) {
        (None, _) => Ok(Value::Null),
        (Some(value), Format::Json) => json::decode(value),
        (Some(value), Format::Text) => text::decode(value),
        (Some(value), Format::Bytes) => Ok(bytes::decode(value)),
    };
    let fault = |detail| Fault { reason: FaultReason::Decode, mapping: None, field: None, expression: None, detail };
    payload.map(|payload| DomainEvent { record, payload }).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(value: Option<&[u8]>) -> Record {
        let origin =
            Origin { topic: "shop.orders".into(), partition: 0, offset: 7, timestamp: Timestamp::from_millis(1) };
        let value = value.map(::bytes::Bytes::copy_from_slice);
        Record { origin, key: None, headers: Vec::new(), value }
    }

    #[test]
    fn a_tombstone_is_an_event_with_a_null_payload_in_every_format() {
        for format in Format::ALL {
            assert_eq!(decode(format, &record(None)).unwrap().payload, Value::Null);
        }
    }

    #[test]
    fn each_format_reads_its_bytes() {
        let payload = |format, value: &[u8]| decode(format, &record(Some(value))).unwrap().payload;
        assert_eq!(payload(Format::Json, br#"{"a":[1]}"#), json!({"a": [1]}));
        assert_eq!(payload(Format::Text, "grüß".as_bytes()), json!("grüß"));
        assert_eq!(payload(Format::Bytes, &[0xff, 0]), json!("/wA="));
    }

    #[test]
    fn what_cannot_be_decoded_is_a_decode_fault() {
        for format in [Format::Json, Format::Text] {
            let fault = decode(format, &record(Some(b"\xff{"))).unwrap_err();
            assert_eq!((fault.reason, fault.mapping), (FaultReason::Decode, None));
            assert!(!fault.detail.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in Format::ALL {
                drop(decode(format, &record(Some(&bytes))));
            }
        }
    }
}
