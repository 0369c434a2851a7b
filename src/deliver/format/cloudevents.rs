//! `cloudevents`: a structured CloudEvent in JSON (CJ-1 to CJ-6, CH-5).

use crate::model::event::IntegrationEvent;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// What receivers of structured events are told.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'a str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<&'a str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: &'a Value,
}

/// The whole event. One without data has neither `data` nor `datacontenttype`.
#[must_use]
pub fn render(event: &IntegrationEvent) -> Bytes {
    let structured = Structured {
        specversion: "1.0",
        id: event.id.to_string(),
        source: &event.source,
        event_type: &event.event_type,
        subject: event.subject.as_deref(),
        time: event.time.to_string(),
        traceparent: event.traceparent.as_deref(),
        datacontenttype: (!event.data.is_null()).then_some("application/json"),
        data: &event.data,
    };
    serde_json::to_vec(&structured).expect("JSON values with text keys can be written").into()
}
