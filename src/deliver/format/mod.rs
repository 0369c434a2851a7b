//! The body formats: the table (FMT-1). A format renders the body and says what it adds to the headers.

pub mod cloudevents;
pub mod cloudevents_batch;
pub mod cloudevents_binary;
pub mod raw;
pub mod standard;

use crate::model::event::IntegrationEvent;
use crate::model::subscription::Format;
use bytes::Bytes;
use http::HeaderMap;

/// The `content-type` of `format`.
#[must_use]
pub fn content_type(format: Format) -> &'static str {
    match format {
        Format::CloudEvents => cloudevents::CONTENT_TYPE,
        Format::CloudEventsBatch => cloudevents_batch::CONTENT_TYPE,
        Format::CloudEventsBinary => cloudevents_binary::CONTENT_TYPE,
        Format::Standard => standard::CONTENT_TYPE,
        Format::Raw => raw::CONTENT_TYPE,
    }
}

/// The body of `event` in `format`: never empty (WH-1).
#[must_use]
pub fn render(format: Format, event: &IntegrationEvent) -> Bytes {
    match format {
        Format::CloudEvents => cloudevents::render(event),
        Format::CloudEventsBatch => cloudevents_batch::render(event),
        Format::CloudEventsBinary => cloudevents_binary::render(event),
        Format::Standard => standard::render(event),
        Format::Raw => raw::render(event),
    }
}

/// Adds what `format` says about `event` in headers; gives the bytes they need.
pub fn add_headers(format: Format, event: &IntegrationEvent, headers: &mut HeaderMap) -> usize {
    match format {
        Format::CloudEventsBinary => cloudevents_binary::add_headers(event, headers),
        Format::CloudEvents | Format::CloudEventsBatch | Format::Standard | Format::Raw => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EventId;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use crate::model::trace::Parent;
    use serde_json::{Value, json};

    fn event(data: Value) -> IntegrationEvent {
        let now = Timestamp::from_millis(1_767_225_600_000);
        IntegrationEvent {
            id: EventId::from_bytes([7; 16]),
            origin: Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: now },
            mapping: "m".into(),
            ord: 0,
            source: "/shop".into(),
            event_type: "com.acme.order.placed".into(),
            subject: Some("ø 1".into()),
            time: now,
            tenant: None,
            key: None,
            traceparent: None,
            extensions: Vec::new(),
            data,
        }
    }

    fn body(format: Format, data: &str) -> String {
        String::from_utf8(render(format, &event(serde_json::from_str(data).unwrap())).to_vec()).unwrap()
    }

    #[test]
    fn a_structured_event_holds_every_attribute_and_its_data_as_json() {
        let id = EventId::from_bytes([7; 16]);
        let expected = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"com.acme.order.placed","subject":"ø 1","time":"2026-01-01T00:00:00.000Z","datacontenttype":"application/json","data":{{"n":"1"}}}}"#
        );
        assert_eq!(body(Format::CloudEvents, r#"{"n":"1"}"#), expected);
    }

    #[test]
    fn cj_2_what_is_absent_is_not_written() {
        let mut event = event(Value::Null);
        event.subject = None;
        let written: Value = serde_json::from_slice(&render(Format::CloudEvents, &event)).unwrap();
        let names: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["specversion", "id", "source", "type", "time"]);
    }

    #[test]
    fn cx_1_the_starting_trace_stays_in_the_event() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut event = event(json!(1));
        for state in [None, Some("rojo=1,congo=2")] {
            event.traceparent = Parent::parse(trace, state).map(Into::into);
            let written: Value = serde_json::from_slice(&render(Format::CloudEvents, &event)).unwrap();
            assert_eq!((written["traceparent"].as_str(), written["tracestate"].as_str()), (Some(trace), state));
            let mut headers = HeaderMap::new();
            add_headers(Format::CloudEventsBinary, &event, &mut headers);
            let header = |name| headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!((header("ce-traceparent"), header("ce-tracestate")), (Some(trace), state));
        }
    }

    #[test]
    fn ch_1_cj_1_extensions_are_members_beside_the_others_or_headers() {
        let mut event = event(json!(1));
        event.extensions =
            vec![("region".into(), json!("eu 1")), ("priority".into(), json!(5)), ("vip".into(), json!(true))];
        let written: Value = serde_json::from_slice(&render(Format::CloudEvents, &event)).unwrap();
        assert_eq!(
            (&written["region"], &written["priority"], &written["vip"]),
            (&json!("eu 1"), &json!(5), &json!(true))
        );
        let mut headers = HeaderMap::new();
        add_headers(Format::CloudEventsBinary, &event, &mut headers);
        for (name, value) in [("ce-region", "eu%201"), ("ce-priority", "5"), ("ce-vip", "true")] {
            assert_eq!(headers[name], value);
        }
    }

    #[test]
    fn numbers_keep_their_exact_text_in_every_format() {
        let exact = r#"{"big":123456789012345678901234567890,"price":1.10}"#;
        for format in Format::ALL {
            assert!(body(format, exact).contains(exact), "{}", format.as_str());
        }
    }

    #[test]
    fn sw_13_the_standard_body_is_type_timestamp_and_data() {
        let expected = r#"{"type":"com.acme.order.placed","timestamp":"2026-01-01T00:00:00.000Z","data":[1]}"#;
        assert_eq!(body(Format::Standard, "[1]"), expected);
        assert_eq!(body(Format::Raw, "[1]"), "[1]");
    }

    #[test]
    fn ch_1_binary_puts_every_attribute_but_the_content_type_into_headers() {
        let mut headers = HeaderMap::new();
        let bytes = add_headers(Format::CloudEventsBinary, &event(json!({"a": 1})), &mut headers);
        assert_eq!(headers["ce-specversion"], "1.0");
        assert_eq!(headers["ce-id"], EventId::from_bytes([7; 16]).to_string());
        assert_eq!(headers["ce-source"], "/shop");
        assert_eq!(headers["ce-type"], "com.acme.order.placed");
        assert_eq!(headers["ce-subject"], "%C3%B8%201");
        assert_eq!(headers["ce-time"], "2026-01-01T00:00:00.000Z");
        assert!(!headers.contains_key("ce-datacontenttype") && headers.len() == 6);
        assert_eq!(bytes, headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>());
    }

    #[test]
    fn wh_1_an_event_without_data_goes_out_structured_even_to_binary() {
        let event = event(Value::Null);
        let mut headers = HeaderMap::new();
        assert_eq!(add_headers(Format::CloudEventsBinary, &event, &mut headers), 0);
        assert_eq!(headers["content-type"], cloudevents::CONTENT_TYPE);
        assert_eq!(headers.len(), 1);
        assert_eq!(render(Format::CloudEventsBinary, &event), render(Format::CloudEvents, &event));
    }
}
