//! One generation of the rules: decode and map bound together, swapped whole.
//!
//! Takes a record, gives the events it becomes and what went wrong. Pure: who gets the events, and what becomes
//! of faults, is decided by who asks (intake for real, the dry run for a look).

use crate::decode;
use crate::decode::format::Format;
use crate::map::mapping::{OnError, TopicSelector};
use crate::map::{Mapped, Mappings};
use crate::model::event::Emitted;
use crate::model::quarantine::{Fault, FaultReason};
use crate::model::record::Record;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rules in force.
#[derive(Debug)]
pub struct Pipeline {
    mappings: Mappings,
    formats: Vec<(TopicSelector, Format)>,
    event_bytes: u64,
}

/// What a record becomes.
#[derive(Debug, Default)]
pub struct Passage {
    /// Its events, in order.
    pub events: Vec<Arc<Emitted>>,
    /// What goes to quarantine.
    pub faults: Vec<Fault>,
    /// What is dropped although it failed, because its mapping says so.
    pub dropped: Vec<Fault>,
    /// What stops the partition, because its mapping says so.
    pub stop: Option<Fault>,
}

// === impl Pipeline ===

impl Pipeline {
    /// Binds mappings to the formats of their topics; the first format that names a topic counts, else JSON. A
    /// record whose value is larger than `event_bytes` is a fault.
    #[must_use]
    pub fn new(mappings: Mappings, formats: Vec<(TopicSelector, Format)>, event_bytes: u64) -> Self {
        Self { mappings, formats, event_bytes }
    }

    /// Passes a record through decode and map.
    #[must_use]
    pub fn pass(&self, record: &Record) -> Passage {
        let mut passage = Passage::default();
        let mapped = self.mapped(record).unwrap_or_else(|fault| {
            passage.faults.push(fault);
            Vec::new()
        });
        for mapped in mapped {
            match (mapped.result, mapped.on_error) {
                (Ok(events), _) => {
                    passage.events.extend(events.into_iter().map(|event| Arc::new(Emitted::new(event))));
                }
                (Err(fault), OnError::Quarantine) => passage.faults.push(fault),
                (Err(fault), OnError::Drop) => passage.dropped.push(fault),
                (Err(fault), OnError::Stop) => passage.stop = passage.stop.or(Some(fault)),
            }
        }
        passage
    }

    /// What each mapping of the record's topic makes of it, in their order.
    ///
    /// # Errors
    /// It is too large, or cannot be decoded: no mapping is asked.
    pub fn mapped(&self, record: &Record) -> Result<Vec<Mapped>, Fault> {
        let size = record.value.as_ref().map_or(0, bytes::Bytes::len) as u64;
        if size > self.event_bytes {
            return Err(self.too_large(size));
        }
        let event = decode::decode(self.format(&record.origin.topic), record)?;
        Ok(self.mappings.map(&event))
    }

    /// The names of all mappings, in their order.
    pub fn mappings(&self) -> impl Iterator<Item = &str> {
        self.mappings.names()
    }

    /// Which of the cluster's topics the mappings read, besides those they name, sorted.
    #[must_use]
    pub fn topics(&self, existing: &[String]) -> BTreeSet<String> {
        let named = self.mappings.topics().iter().filter_map(|selector| match selector {
            TopicSelector::Name(name) => Some(name.clone()),
            TopicSelector::Pattern(_) => None,
        });
        // `__consumer_offsets` and its like are Kafka's own: only a mapping that names one reads it.
        let matched = existing.iter().filter(|topic| !topic.starts_with("__") && self.mappings.matches_topic(topic));
        named.chain(matched.cloned()).collect()
    }

    /// Whether some topic is given by a pattern, so that new ones may turn up.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.mappings.topics().iter().any(|selector| matches!(selector, TopicSelector::Pattern(_)))
    }

    fn format(&self, topic: &str) -> Format {
        let named = self.formats.iter().find(|(selector, _)| selector.matches(topic));
        named.map_or(Format::Json, |(_, format)| *format)
    }

    fn too_large(&self, size: u64) -> Fault {
        let detail = format!("the value has {size} bytes, more than limits.event_bytes ({})", self.event_bytes);
        Fault { reason: FaultReason::Limit, mapping: None, field: None, expression: None, detail }
    }
}
