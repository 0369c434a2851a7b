//! `cloudevents`: a structured CloudEvent in JSON (CJ-1 to CJ-6, CH-5).

use crate::model::event::IntegrationEvent;
use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What receivers of structured events are told.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// An event as the JSON format writes it.
struct Structured<'a>(&'a IntegrationEvent);

/// The whole event. One without data has neither `data` nor `datacontenttype`.
#[must_use]
pub fn render(event: &IntegrationEvent) -> Bytes {
    serde_json::to_vec(&Structured(event)).expect("JSON values with text keys can be written").into()
}

// === impl Structured ===

impl Serialize for Structured<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &event.id.to_string())?;
        map.serialize_entry("source", &*event.source)?;
        map.serialize_entry("type", &*event.event_type)?;
        event.subject.iter().try_for_each(|subject| map.serialize_entry("subject", subject))?;
        map.serialize_entry("time", &event.time.to_string())?;
        if let Some(parent) = &event.traceparent {
            map.serialize_entry("traceparent", parent.text())?;
            parent.state().iter().try_for_each(|state| map.serialize_entry("tracestate", state))?;
        }
        event.extensions.iter().try_for_each(|(name, value)| map.serialize_entry(&**name, value))?;
        if !event.data.is_null() {
            map.serialize_entry("datacontenttype", "application/json")?;
            map.serialize_entry("data", &event.data)?;
        }
        map.end()
    }
}
