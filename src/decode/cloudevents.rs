//! CloudEvents as their Kafka binding says (CK-1 to CK-5): attributes in `ce_` headers, or the whole event in the value.
//!
//! Takes a record and its unpacked value, gives its events: one, or those of a structured batch. A record without any of the
//! signs is a plain one, in JSON.

use crate::decode::cloudevent::{Attributes, CloudEvent, payload, shown};
use crate::decode::decoding::Names;
use crate::decode::media::Media;
use crate::decode::{json, structured};
use crate::model::event::DomainEvent;
use crate::model::record::{Header, Record};
use serde_json::Value;

const PREFIX: &str = "ce_";

/// How the record holds its events (CK-2).
enum Mode<'r> {
    /// The value is one event in JSON.
    Structured,
    /// The value is a list of them.
    Batch,
    /// Attributes are in headers, with this content type; the value is the data.
    Binary(Option<&'r str>),
    /// It is no CloudEvent.
    Plain,
}

/// The events of a record; `value` is what was packed in it.
///
/// # Errors
/// It is a CloudEvent, and a broken one: never silently something else (CK-5).
pub(crate) fn decode<'r>(
    record: &'r Record,
    value: Option<&[u8]>,
    names: Names,
) -> Result<Vec<DomainEvent<'r>>, String> {
    let events = match (mode(record)?, value) {
        (Mode::Binary(content_type), _) => vec![binary(record, (content_type, value), names)?],
        (_, None) => return Ok(vec![DomainEvent::plain(record, Value::Null)]),
        (Mode::Plain, Some(value)) => return Ok(vec![DomainEvent::plain(record, json::decode(value)?)]),
        (Mode::Structured, Some(value)) => vec![structured::one(value, names)?],
        (Mode::Batch, Some(value)) => structured::batch(value, names)?,
    };
    let numbered = (0..).zip(events);
    let event = |(member, CloudEvent { attributes, data }): (u32, CloudEvent)| DomainEvent {
        ce: Value::Object(attributes),
        member,
        ..DomainEvent::plain(record, data)
    };
    Ok(numbered.map(event).collect())
}

fn mode(record: &Record) -> Result<Mode<'_>, String> {
    let mut found = record.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("content-type"));
    let content_type = found.next().map(text).transpose()?;
    if found.next().is_some() {
        return Err("the header `content-type` is given twice".to_owned());
    }
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/cloudevents+json" | "application/cloudevents" => Ok(Mode::Structured),
        "application/cloudevents-batch+json" | "application/cloudevents-batch" => Ok(Mode::Batch),
        other if other.starts_with("application/cloudevents") => {
            Err(format!("structured CloudEvents are read in JSON, not as `{}`", shown(other)))
        }
        _ if record.headers.iter().any(|header| header.name.starts_with(PREFIX)) => Ok(Mode::Binary(content_type)),
        _ => Ok(Mode::Plain),
    }
}

/// Attributes are UTF-8 as they stand, without percent-encoding (CK-1).
fn binary(
    record: &Record,
    (content_type, value): (Option<&str>, Option<&[u8]>),
    names: Names,
) -> Result<CloudEvent, String> {
    let mut attributes = Attributes::new(names);
    for header in &record.headers {
        if let Some(name) = header.name.strip_prefix(PREFIX) {
            attributes.add(name, Value::String(text(header)?.to_owned()))?;
        }
    }
    if let Some(content_type) = content_type {
        attributes.add("datacontenttype", Value::String(content_type.to_owned()))?;
    }
    let media = attributes.media().unwrap_or(Media::Json);
    let data = value.map_or(Ok(Value::Null), |value| payload(media, value))?;
    Ok(CloudEvent { attributes: attributes.finish()?, data })
}

fn text(header: &Header) -> Result<&str, String> {
    let value = header.value.as_deref().ok_or_else(|| format!("the header `{}` has no value", shown(&header.name)))?;
    std::str::from_utf8(value).map_err(|_| format!("the header `{}` is not UTF-8", shown(&header.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use bytes::Bytes;
    use serde_json::json;

    fn record(headers: &[(&str, &str)]) -> Record {
        let origin = Origin { topic: "t".into(), partition: 0, offset: 7, timestamp: Timestamp::from_millis(1) };
        let header = |(name, value): &(&str, &str)| Header {
            name: (*name).to_owned(),
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
        };
        Record { origin, key: None, headers: headers.iter().map(header).collect(), value: None }
    }

    const HEADERS: [(&str, &str); 6] = [
        ("ce_specversion", "1.0"),
        ("ce_id", "1234-1234-1234"),
        ("ce_type", "com.example.someevent"),
        ("ce_source", "/mycontext/subcontext"),
        ("ce_time", "2018-04-05T03:56:24Z"),
        ("content-type", "application/json"),
    ];
    const HELLO: &[u8] = br#"{"message": "Hello World!"}"#;

    /// Attributes and payload of the one event.
    fn one(record: &Record, value: Option<&[u8]>) -> Result<(Value, Value), String> {
        let mut events = decode(record, value, Names::Exact)?;
        assert_eq!(events.len(), 1);
        let event = events.remove(0);
        Ok((event.ce, event.payload))
    }

    fn wanted() -> Value {
        json!({"id": "1234-1234-1234", "specversion": "1.0", "type": "com.example.someevent",
            "source": "/mycontext/subcontext", "time": "2018-04-05T03:56:24Z", "datacontenttype": "application/json"})
    }

    #[test]
    fn ck_1_binary_mode_has_its_attributes_in_headers_and_its_data_in_the_value() {
        let (ce, payload) = one(&record(&HEADERS), Some(HELLO)).unwrap();
        assert_eq!((ce, payload), (wanted(), json!({"message": "Hello World!"})));
        let headers = [&HEADERS[..], &[("ce_ext", "ø 100%"), ("other", "x")]].concat();
        let (ce, _) = one(&record(&headers), Some(HELLO)).unwrap();
        assert_eq!((&ce["ext"], ce.get("other")), (&json!("ø 100%"), None));
    }

    #[test]
    fn ck_2_structured_mode_is_told_by_its_content_type_in_any_case() {
        let event = json!({"specversion": "1.0", "type": "com.example.someevent", "time": "2018-04-05T03:56:24Z",
            "id": "1234-1234-1234", "source": "/mycontext/subcontext", "datacontenttype": "application/json",
            "data": {"message": "Hello World!"}});
        for content_type in [
            "application/cloudevents+json",
            "application/cloudevents+json; charset=utf-8",
            "Application/CloudEvents+JSON",
        ] {
            let record = record(&[("content-type", content_type), ("ce_id", "is not looked at")]);
            let (ce, payload) = one(&record, Some(event.to_string().as_bytes())).unwrap();
            assert_eq!((ce, payload), (wanted(), json!({"message": "Hello World!"})));
        }
        let avro = record(&[("content-type", "application/cloudevents+avro")]);
        assert!(one(&avro, Some(b"x")).unwrap_err().contains("in JSON"));
    }

    #[test]
    fn a_structured_batch_is_several_events_of_one_record() {
        let event = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/s", "type": "t", "data": id});
        let record = record(&[("content-type", "application/cloudevents-batch+json")]);
        let value = json!([event("a"), event("b")]).to_string();
        let events = decode(&record, Some(value.as_bytes()), Names::Exact).unwrap();
        let told: Vec<_> = events.iter().map(|event| (event.member, event.payload.as_str().unwrap())).collect();
        assert_eq!(told, [(0, "a"), (1, "b")]);
        assert!(decode(&record, Some(b"[]"), Names::Exact).unwrap().is_empty());
    }

    #[test]
    fn ck_3_a_tombstone_keeps_its_attributes_and_has_a_null_payload() {
        let (ce, payload) = one(&record(&HEADERS), None).unwrap();
        assert_eq!((ce, payload), (wanted(), Value::Null));
        let structured = record(&[("content-type", "application/cloudevents+json")]);
        assert_eq!(one(&structured, None), Ok((Value::Null, Value::Null)));
    }

    #[test]
    fn a_record_without_any_sign_is_a_plain_one() {
        assert_eq!(one(&record(&[("x", "y")]), Some(HELLO)), Ok((Value::Null, json!({"message": "Hello World!"}))));
    }

    #[test]
    fn ck_5_broken_headers_are_a_fault_and_never_another_mode() {
        let told = |headers: &[(&str, &str)]| one(&record(headers), Some(HELLO)).unwrap_err();
        assert_eq!(told(&HEADERS[1..]), "the attribute `specversion` is missing");
        assert_eq!(told(&[("ce_id", "1")]), "the attribute `source` is missing");
        assert_eq!(told(&[&HEADERS[..], &[("ce_id", "2")]].concat()), "the attribute `id` is given twice");
        assert!(told(&[&HEADERS[..], &[("ce_my-ext", "2")]].concat()).contains("no name for an attribute"));
        assert!(told(&[&HEADERS[..], &[("content-type", "text/plain")]].concat()).contains("given twice"));
        let mut broken = record(&HEADERS);
        broken.headers[1].value = Some(Bytes::from_static(b"\xff"));
        assert_eq!(one(&broken, Some(HELLO)).unwrap_err(), "the header `ce_id` is not UTF-8");
        broken.headers[1].value = None;
        assert_eq!(one(&broken, Some(HELLO)).unwrap_err(), "the header `ce_id` has no value");
        assert!(one(&record(&HEADERS), Some(b"{")).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn cj_3_data_that_is_not_json_is_text_or_base64() {
        let with = |content_type| [&HEADERS[..5], &[("content-type", content_type)]].concat();
        let payload = |content_type, value| one(&record(&with(content_type)), Some(value)).unwrap().1;
        assert_eq!(payload("text/plain; charset=utf-8", b"hi"), json!("hi"));
        assert_eq!(payload("application/octet-stream", b"\xff"), json!("/w=="));
        assert_eq!(one(&record(&HEADERS[..5]), Some(b"[1]")).unwrap().1, json!([1]));
    }
}
