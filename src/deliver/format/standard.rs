//! `standard`: Standard Webhooks' own body, `{type, timestamp, data}` (SW-13).

use crate::model::event::IntegrationEvent;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

/// What receivers are told.
pub const CONTENT_TYPE: &str = "application/json";

#[derive(Serialize)]
struct Standard<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    timestamp: String,
    data: &'a Value,
}

/// Type, the event's own time, data.
#[must_use]
pub fn render(event: &IntegrationEvent) -> Bytes {
    let body = Standard { event_type: &event.event_type, timestamp: event.time.to_string(), data: &event.data };
    serde_json::to_vec(&body).expect("JSON values with text keys can be written").into()
}
