//! What a record becomes: a domain event inside the house, integration events that leave it.

use crate::model::id::EventId;
use crate::model::record::{Origin, Record};
use crate::model::subscription::Format;
use crate::model::time::Timestamp;
use crate::model::trace::Parent;
use bytes::Bytes;
use serde_json::Value;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

/// A decoded record: `payload` and its surroundings.
#[derive(Clone, Debug)]
pub struct DomainEvent<'r> {
    /// The record it was decoded from: key, headers, origin.
    pub record: &'r Record,
    /// The decoded value; null for a tombstone. Numbers keep their exact text.
    pub payload: Value,
    /// The attributes of the CloudEvent it came in, by name; null when it came in none.
    pub ce: Value,
    /// The record's key where the format decodes it; else it is the bytes of the record.
    pub key: Option<Value>,
    /// Which of the record's events this is, from 0: a batch holds several.
    pub member: u32,
}

/// What leaves the house: a CloudEvents 1.0 event in memory, plus tenant and ordering key.
#[derive(Clone, Debug, PartialEq)]
pub struct IntegrationEvent {
    /// Its identity towards every receiver.
    pub id: EventId,
    /// The record it was made of.
    pub origin: Origin,
    /// The mapping that made it.
    pub mapping: Arc<str>,
    /// Position among all events of the record: those of a batch in their order, then mappings in theirs, then item index.
    pub ord: u32,
    /// CloudEvents `source`: a non-empty URI-reference.
    pub source: Arc<str>,
    /// CloudEvents `type`: non-empty.
    pub event_type: Arc<str>,
    /// CloudEvents `subject`; not empty when present.
    pub subject: Option<String>,
    /// CloudEvents `time`.
    pub time: Timestamp,
    /// The tenant whose subscriptions may see it; `None`: those without tenant.
    pub tenant: Option<String>,
    /// The ordering key; `None`: no order is asked for.
    pub key: Option<String>,
    /// What the record says it was caused by, when it does.
    pub traceparent: Option<Arc<Parent>>,
    /// CloudEvents extensions, in the order written: text, booleans, numbers of 32 bits (CE-4).
    pub extensions: Vec<(Arc<str>, Value)>,
    /// The data, JSON.
    pub data: Value,
}

/// An integration event on its way to its subscriptions, with each body rendered at most once and shared.
#[derive(Debug)]
pub struct Emitted {
    /// The event.
    pub event: IntegrationEvent,
    bodies: [OnceLock<Bytes>; Format::ALL.len()],
    size: OnceLock<u32>,
}

/// Takes bytes and keeps only their number.
struct Count(u64);

// === impl DomainEvent ===

impl<'r> DomainEvent<'r> {
    /// The only event of a record that is no CloudEvent and whose key is not decoded.
    #[must_use]
    pub fn plain(record: &'r Record, payload: Value) -> Self {
        Self { record, payload, ce: Value::Null, key: None, member: 0 }
    }
}

// === impl IntegrationEvent ===

impl IntegrationEvent {
    /// The extension of this name.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&Value> {
        self.extensions.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// The same event with other data.
    #[must_use]
    pub fn with_data(&self, data: Value) -> Self {
        Self {
            id: self.id,
            origin: self.origin.clone(),
            mapping: Arc::clone(&self.mapping),
            ord: self.ord,
            source: Arc::clone(&self.source),
            event_type: Arc::clone(&self.event_type),
            subject: self.subject.clone(),
            time: self.time,
            tenant: self.tenant.clone(),
            key: self.key.clone(),
            traceparent: self.traceparent.clone(),
            extensions: self.extensions.clone(),
            data,
        }
    }
}

// === impl Emitted ===

impl Emitted {
    /// Wraps an event of which nothing is rendered yet.
    #[must_use]
    pub fn new(event: IntegrationEvent) -> Self {
        Self { event, bodies: [const { OnceLock::new() }; Format::ALL.len()], size: OnceLock::new() }
    }

    /// The body in `format`; `render` makes it for the first who asks.
    pub fn body(&self, format: Format, render: impl FnOnce(&IntegrationEvent) -> Bytes) -> Bytes {
        self.bodies[format as usize].get_or_init(|| render(&self.event)).clone()
    }

    /// About how many bytes the event has as JSON, counted for the first who asks.
    pub fn size(&self) -> u32 {
        /// Attributes of bounded length, names and punctuation.
        const REST: u64 = 256;
        *self.size.get_or_init(|| {
            let mut count = Count(REST);
            serde_json::to_writer(&mut count, &self.event.data).expect("JSON with text keys, and a count takes all");
            let texts = [&self.event.subject, &self.event.tenant, &self.event.key].into_iter().flatten();
            let texts = texts.map(|text| text.len() as u64).sum::<u64>();
            let trace = self.event.traceparent.as_ref();
            let texts = texts + trace.map_or(0, |of| (of.text().len() + of.state().map_or(0, str::len)) as u64);
            u32::try_from(count.0 + texts).unwrap_or(u32::MAX)
        })
    }
}

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An event of type `a.b` that mapping `m` made of the record at this offset of `t`, partition 0, of 1970.
    pub(crate) fn event(offset: i64, data: Value) -> IntegrationEvent {
        let time = Timestamp::from_millis(0);
        let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: time };
        IntegrationEvent {
            id: EventId::derive(&origin, "m", 0),
            origin,
            mapping: "m".into(),
            ord: 0,
            source: "/s".into(),
            event_type: "a.b".into(),
            subject: None,
            time,
            tenant: None,
            key: None,
            traceparent: None,
            extensions: Vec::new(),
            data,
        }
    }
}
