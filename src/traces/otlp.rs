//! Spans as OTLP writes them, with the names of OpenTelemetry's semantic conventions for messaging (Kafka) and HTTP.

use crate::model::trace::{Context, Sampled};
use crate::traces::span::{Attempted, Cause, End, Mapped, Processed, Span, Work};
use crate::traces::wire::{
    self, AnyValue, ArrayValue, Code, KeyValue, Kind, Link, Request, Resource, ResourceSpans, Scope, ScopeSpans,
    Status, Value,
};
use bytes::Bytes;
use prost::Message;

/// The conventions whose names are used.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.44.0";

/// That it is known whether what caused a span is somebody else's work.
const HAS_REMOTE: u32 = 1 << 8;
/// That it is.
const REMOTE: u32 = 1 << 9;

/// Who we are to a collector.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) service: String,
    /// The consumer group.
    pub(crate) group: String,
}

// === impl Identity ===

impl Identity {
    /// A request that hands over `spans`.
    pub(crate) fn request(&self, spans: &[Span]) -> Bytes {
        let resource = vec![
            text("service.name", &*self.service),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("telemetry.sdk.name", "hookline"),
            text("telemetry.sdk.language", "rust"),
            text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        let scope = Scope { name: "hookline".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let spans = ScopeSpans {
            scope: Some(scope),
            spans: spans.iter().map(|span| self.span(span)).collect(),
            schema_url: CONVENTIONS.to_owned(),
        };
        let resource = Some(Resource { attributes: resource });
        let request = Request { resource_spans: vec![ResourceSpans { resource, scope_spans: vec![spans] }] };
        request.encode_to_vec().into()
    }

    fn span(&self, span: &Span) -> wire::Span {
        let (name, kind, mut attributes) = match &span.work {
            Work::Process(processed) => self.process(processed),
            Work::Map(mapped) => map(mapped),
            Work::Attempt(attempted) => attempt(attempted),
        };
        if let End::Answered(status) = span.end {
            attributes.push(number("http.response.status_code", i64::from(status)));
        }
        let error = span.end.error();
        attributes.extend(error.iter().map(|error| text("error.type", error.as_str())));
        let (parent, remote) = match span.cause {
            None => (Vec::new(), HAS_REMOTE),
            Some(Cause::Ours(cause)) => (cause.as_bytes().to_vec(), HAS_REMOTE),
            Some(Cause::Theirs(cause)) => (cause.as_bytes().to_vec(), HAS_REMOTE | REMOTE),
        };
        wire::Span {
            trace_id: span.context.trace.as_bytes().to_vec(),
            span_id: span.context.span.as_bytes().to_vec(),
            trace_state: span.record.as_ref().and_then(|record| record.state()).unwrap_or_default().to_owned(),
            parent_span_id: parent,
            name,
            kind: kind.into(),
            start_time_unix_nano: span.began,
            // The system's clock may have been set back meanwhile.
            end_time_unix_nano: span.ended.max(span.began),
            attributes,
            links: span.links.iter().map(link).collect(),
            status: error.map(|_| Status { message: String::new(), code: Code::Error.into() }),
            flags: flags(span.context) | remote,
        }
    }

    fn process(&self, Processed { origin, tombstone }: &Processed) -> (String, Kind, Vec<KeyValue>) {
        let mut attributes = vec![
            text("messaging.system", "kafka"),
            text("messaging.operation.name", "process"),
            text("messaging.operation.type", "process"),
            text("messaging.destination.name", &*origin.topic),
            text("messaging.destination.partition.id", origin.partition.to_string()),
            number("messaging.kafka.offset", origin.offset),
            text("messaging.consumer.group.name", &*self.group),
        ];
        if *tombstone {
            attributes.push(attribute("messaging.kafka.message.tombstone", Value::Bool(true)));
        }
        (format!("process {}", origin.topic), Kind::Consumer, attributes)
    }
}

fn map(Mapped { mappings, events }: &Mapped) -> (String, Kind, Vec<KeyValue>) {
    let names = mappings.iter().map(|name| AnyValue { value: Some(Value::String(name.to_string())) });
    let attributes = vec![
        attribute("hookline.mappings", Value::List(ArrayValue { values: names.collect() })),
        number("hookline.events", count(*events)),
    ];
    ("map".to_owned(), Kind::Internal, attributes)
}

fn attempt(attempted: &Attempted) -> (String, Kind, Vec<KeyValue>) {
    let endpoint = &attempted.endpoint;
    let mut attributes = vec![
        text("http.request.method", "POST"),
        text("server.address", &*endpoint.host),
        text("url.scheme", &*endpoint.scheme),
        text("hookline.subscription", &*attempted.subscription),
        text("hookline.webhook_id", attempted.webhook.to_string()),
        number("hookline.events", count(attempted.events)),
    ];
    attributes.extend(endpoint.port.map(|port| number("server.port", i64::from(port))));
    attributes.extend(attempted.mapping.iter().map(|mapping| text("hookline.mapping", &**mapping)));
    attributes.extend(attempted.event_type.iter().map(|name| text("hookline.event_type", &**name)));
    ("POST".to_owned(), Kind::Client, attributes)
}

fn link(context: &Context) -> Link {
    Link {
        trace_id: context.trace.as_bytes().to_vec(),
        span_id: context.span.as_bytes().to_vec(),
        flags: flags(*context) | HAS_REMOTE,
    }
}

fn flags(context: Context) -> u32 {
    u32::from(context.sampled == Sampled::Yes)
}

fn count(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::String(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::Int(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Emitted, IntegrationEvent};
    use crate::model::id::EventId;
    use crate::model::record::{Origin, Record};
    use crate::model::time::Timestamp;
    use crate::model::trace::{Parent, SpanId};
    use prost_reflect::{DescriptorPool, DynamicMessage};
    use serde_json::{Value as Json, json};
    use std::path::Path;
    use std::sync::Arc;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const T: &str = "S/kvNXezTaajzpKdDg5HNg==";

    /// As another decoder reads it, by OpenTelemetry's own text.
    fn decoded(bytes: Bytes) -> Json {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp");
        let file = folder.join("opentelemetry/proto/collector/trace/v1/trace_service.proto");
        let pool = DescriptorPool::from_file_descriptor_set(protox::compile([file], [folder]).unwrap()).unwrap();
        let request = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
        let message = DynamicMessage::decode(pool.get_message_by_name(request).unwrap(), bytes).unwrap();
        assert_eq!(message.unknown_fields().count(), 0);
        serde_json::to_value(message).unwrap()
    }

    fn event(offset: i64) -> Arc<Emitted> {
        let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: Timestamp::from_millis(0) };
        Arc::new(Emitted::new(IntegrationEvent {
            id: EventId::derive(&origin, "m", 0),
            time: origin.timestamp,
            origin,
            mapping: "order-placed".into(),
            ord: 0,
            source: "s".into(),
            event_type: "t.placed".into(),
            subject: None,
            tenant: None,
            key: None,
            traceparent: None,
            extensions: Vec::new(),
            data: Json::Null,
        }))
    }

    fn span(work: Work, end: End) -> Span {
        let record = Parent::parse(TRACE, Some("rojo=1")).unwrap();
        let context = record.context().with_span(SpanId::from_bytes([1; 8]));
        let cause = Some(Cause::Theirs(record.context().span));
        let (links, record) = (Vec::new(), Some(Arc::new(record)));
        Span { context, cause, record, links, began: 1_000_000_007, ended: 1_000_000_009, work, end }
    }

    #[test]
    fn a_record_its_mapping_and_an_attempt_are_read_by_another_decoder_as_they_were_meant() {
        let origin =
            Origin { topic: "shop.orders".into(), partition: 3, offset: 42, timestamp: Timestamp::from_millis(0) };
        let record = Record { origin, key: Some("secret".into()), headers: Vec::new(), value: None };
        let url = "https://example.com/hooks/s3cret?key=s3cret".parse().unwrap();
        let process = span(Work::Process(Processed::of(&record)), End::Failed("decode"));
        let (ours, two) = (SpanId::from_bytes([1; 8]), [event(1), event(2)]);
        let mut map = span(Work::Map(Mapped::of(&two)), End::Done);
        (map.cause, map.record, map.ended) = (Some(Cause::Ours(ours)), None, 5);
        let mut attempt = span(Work::Attempt(Box::new(Attempted::of(&two, "sub_a", &url))), End::Answered(503));
        (attempt.cause, attempt.links) = (None, vec![Context::parse(TRACE).unwrap()]);
        let identity = Identity { service: "webhooks".into(), group: "g".into() };
        let request = decoded(identity.request(&[process, map, attempt]));
        assert!(!request.to_string().contains("s3cret"));

        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let int = |key: &str, value: &str| json!({ "key": key, "value": { "intValue": value } });
        let one = &request["resourceSpans"][0];
        assert_eq!(one["resource"]["attributes"][0], text("service.name", "webhooks"));
        let scope = &one["scopeSpans"][0];
        assert_eq!((&scope["scope"]["name"], &scope["schemaUrl"]), (&json!("hookline"), &json!(CONVENTIONS)));
        let process = json!({
            "traceId": T, "spanId": "AQEBAQEBAQE=", "parentSpanId": "APBnqgupArc=", "traceState": "rojo=1", "flags": 0x301,
            "name": "process shop.orders", "kind": "SPAN_KIND_CONSUMER",
            "startTimeUnixNano": "1000000007", "endTimeUnixNano": "1000000009",
            "attributes": [
                text("messaging.system", "kafka"), text("messaging.operation.name", "process"),
                text("messaging.operation.type", "process"), text("messaging.destination.name", "shop.orders"),
                text("messaging.destination.partition.id", "3"), int("messaging.kafka.offset", "42"),
                text("messaging.consumer.group.name", "g"),
                { "key": "messaging.kafka.message.tombstone", "value": { "boolValue": true } },
                text("error.type", "decode"),
            ],
            "status": { "code": "STATUS_CODE_ERROR" },
        });
        let map = json!({
            "traceId": T, "spanId": "AQEBAQEBAQE=", "parentSpanId": "AQEBAQEBAQE=", "flags": 0x101,
            "name": "map", "kind": "SPAN_KIND_INTERNAL",
            "startTimeUnixNano": "1000000007", "endTimeUnixNano": "1000000007",
            "attributes": [
                { "key": "hookline.mappings", "value": { "arrayValue": { "values": [{ "stringValue": "order-placed" }] } } },
                int("hookline.events", "2"),
            ],
        });
        let attempt = json!({
            "traceId": T, "spanId": "AQEBAQEBAQE=", "traceState": "rojo=1", "flags": 0x101,
            "name": "POST", "kind": "SPAN_KIND_CLIENT",
            "startTimeUnixNano": "1000000007", "endTimeUnixNano": "1000000009",
            "attributes": [
                text("http.request.method", "POST"), text("server.address", "example.com"), text("url.scheme", "https"),
                text("hookline.subscription", "sub_a"),
                text("hookline.webhook_id", &EventId::of_batch(two.iter().map(|one| &one.event.id)).to_string()),
                int("hookline.events", "2"), int("server.port", "443"), text("hookline.mapping", "order-placed"),
                text("hookline.event_type", "t.placed"), int("http.response.status_code", "503"),
                text("error.type", "503"),
            ],
            "links": [{ "traceId": T, "spanId": "APBnqgupArc=", "flags": 0x101 }],
            "status": { "code": "STATUS_CODE_ERROR" },
        });
        for (found, wanted) in scope["spans"].as_array().unwrap().iter().zip([process, map, attempt]) {
            assert_eq!(*found, wanted);
        }
    }
}
