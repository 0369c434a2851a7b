//! One generation of the rules: decode, map and catalogue bound together, swapped whole.
//!
//! Takes a record, gives the events it becomes and what went wrong, and says whether an event is what the catalogue
//! promises. Pure: who gets the events, and what becomes of faults, is decided by who asks (intake for real, the dry
//! run for a look).

use crate::catalogue::published::{Catalogue, Verdict};
use crate::catalogue::settings::{SAMPLE, Validate};
use crate::decode;
use crate::decode::format::Format;
use crate::map::mapping::{OnError, TopicSelector};
use crate::map::{Mapped, Mappings};
use crate::model::event::{DomainEvent, Emitted, IntegrationEvent};
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
    catalogue: Catalogue,
    validate: Validate,
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
        Self { mappings, formats, event_bytes, catalogue: Catalogue::default(), validate: Validate::Off }
    }

    /// With what is promised of the events, and how many of them are held against it.
    #[must_use]
    pub fn publishing(self, catalogue: Catalogue, validate: Validate) -> Self {
        Self { catalogue, validate, ..self }
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
        self.mapped_as(self.format(&record.origin.topic), record)
    }

    /// As [`Pipeline::mapped`], for a record whose value has this format, whatever its topic's is.
    ///
    /// # Errors
    /// The same.
    pub fn mapped_as(&self, format: Format, record: &Record) -> Result<Vec<Mapped>, Fault> {
        let size = record.value.as_ref().map_or(0, bytes::Bytes::len) as u64;
        if size > self.event_bytes {
            return Err(self.too_large(size));
        }
        let event = decode::decode(format, record)?;
        Ok(self.mappings.map(&event))
    }

    /// A record as its topic's format reads it; no mapping is asked.
    ///
    /// # Errors
    /// It cannot be decoded.
    pub fn decoded<'r>(&self, record: &'r Record) -> Result<DomainEvent<'r>, Fault> {
        decode::decode(self.format(&record.origin.topic), record)
    }

    /// What the catalogue says to an event that leaves; it is asked about as many as the configuration says.
    #[must_use]
    pub fn judge(&self, event: &IntegrationEvent) -> Verdict {
        let asked = match self.validate {
            Validate::Off => false,
            // An id is a hash: its bytes are as good as dice, and the same event is always in the sample or never.
            Validate::Sample => event.id.as_bytes()[0].is_multiple_of(SAMPLE),
            Validate::All => true,
        };
        if asked { self.catalogue.judge(&event.event_type, &event.data) } else { Verdict::Unknown }
    }

    /// The published event types.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The mappings.
    #[must_use]
    pub fn rules(&self) -> &Mappings {
        &self.mappings
    }

    /// Whether some mapping reads `topic`.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.mappings.matches_topic(topic)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::written::Events;
    use crate::map::written::Rules;
    use crate::model::problem::Problems;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use crate::yaml::reader;
    use serde_json::{Value, json};

    const RULES: &str = r"
mappings:
  - { name: all, from: /shop\..*|__own/, emit: { type: t.all, data: '${payload}' } }
  - { name: kept, from: shop.orders, emit: { type: t.kept, data: '${payload.x}' } }
  - { name: dropped, from: shop.orders, on_error: drop, emit: { type: t.dropped, data: '${payload.x}' } }
  - { name: stopping, from: shop.strict, on_error: stop, emit: { type: t.stopping, data: '${payload.x}' } }
  - { name: stopping-too, from: shop.strict, on_error: stop, emit: { type: t.stopping, data: '${payload.y}' } }
  - { name: internal, from: [__offsets, crm], emit: { type: t.internal } }
";

    fn pipeline() -> Pipeline {
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        rules.add_file(&reader::read(&"m.yaml".into(), RULES).unwrap(), &mut problems);
        let mappings = rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        let selector = |text: &str| TopicSelector::parse(text).unwrap();
        let formats = vec![
            (selector("shop.raw"), Format::Bytes),
            (selector("/.*\\.(raw|text)/"), Format::Text),
            (selector("/.*/"), Format::Json),
        ];
        Pipeline::new(mappings, formats, 100)
    }

    fn pass(topic: &str, value: &str) -> Passage {
        let origin = Origin { topic: topic.into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        let value = Some(bytes::Bytes::copy_from_slice(value.as_bytes()));
        pipeline().pass(&Record { origin, key: None, headers: Vec::new(), value })
    }

    fn made(passage: &Passage) -> Vec<(&str, &Value)> {
        passage.events.iter().map(|emitted| (&*emitted.event.mapping, &emitted.event.data)).collect()
    }

    #[test]
    fn a_record_becomes_the_events_of_all_its_mappings() {
        let passage = pass("shop.orders", r#"{"x":1}"#);
        assert_eq!(made(&passage), [("all", &json!({"x": 1})), ("kept", &json!(1)), ("dropped", &json!(1))]);
        assert!(passage.faults.is_empty() && passage.dropped.is_empty() && passage.stop.is_none());
    }

    #[test]
    fn p7_what_cannot_be_decoded_is_one_fault_and_no_event() {
        let passage = pass("shop.orders", "{");
        assert_eq!((passage.faults.len(), passage.events.len()), (1, 0));
        assert_eq!((passage.faults[0].reason, &passage.faults[0].mapping), (FaultReason::Decode, &None));
    }

    #[test]
    fn a_value_above_the_limit_is_a_fault_and_one_at_the_limit_is_not() {
        let passage = pass("shop.text", &"x".repeat(101));
        assert_eq!((passage.faults[0].reason, passage.events.len()), (FaultReason::Limit, 0));
        assert_eq!(pass("shop.text", &"x".repeat(100)).events.len(), 1);
    }

    #[test]
    fn on_error_decides_between_quarantine_drop_and_stop() {
        let passage = pass("shop.orders", "{}");
        assert_eq!(made(&passage), [("all", &json!({}))]);
        assert_eq!(passage.faults[0].mapping.as_deref(), Some("kept"));
        assert_eq!(passage.dropped[0].mapping.as_deref(), Some("dropped"));
        assert!(passage.faults.len() == 1 && passage.dropped.len() == 1 && passage.stop.is_none());
        let strict = pass("shop.strict", "{}");
        assert_eq!(strict.stop.unwrap().mapping.as_deref(), Some("stopping"));
    }

    #[test]
    fn the_first_format_that_names_a_topic_counts() {
        assert_eq!(made(&pass("shop.raw", "hi"))[0].1, &json!("aGk="));
        assert_eq!(made(&pass("shop.text", "hi"))[0].1, &json!("hi"));
        assert_eq!(made(&pass("shop.orders", "[1]"))[0].1, &json!([1]));
    }

    #[test]
    fn as_many_events_are_held_against_the_catalogue_as_the_configuration_says() {
        let text = "events: { t.all: { schema: { type: object } } }";
        let judged = |validate: Validate| {
            let (mut events, mut problems) = (Events::default(), Problems::default());
            events.add_file(&reader::read(&"e.yaml".into(), text).unwrap(), &mut problems);
            let pipeline = pipeline().publishing(events.finish(), validate);
            let judge = |offset: i64| {
                let timestamp = Timestamp::from_millis(0);
                let origin = Origin { topic: "shop.new".into(), partition: 0, offset, timestamp };
                let record = Record { origin, key: None, headers: Vec::new(), value: Some("[1]".into()) };
                pipeline.judge(&pipeline.pass(&record).events[0].event)
            };
            (0..1_000).map(judge).filter(|verdict| matches!(verdict, Verdict::Misfits(_))).count()
        };
        assert_eq!((judged(Validate::Off), judged(Validate::All)), (0, 1_000));
        let sampled = judged(Validate::Sample);
        assert!((1..=30).contains(&sampled), "{sampled} of about 8");
    }

    #[test]
    fn named_topics_are_read_always_and_patterns_find_what_exists_but_not_kafkas_own() {
        let existing = ["shop.new", "shop.orders", "other", "__own", "__offsets"].map(str::to_owned);
        let topics: Vec<String> = pipeline().topics(&existing).into_iter().collect();
        assert_eq!(topics, ["__offsets", "crm", "shop.new", "shop.orders", "shop.strict"]);
        assert!(pipeline().has_patterns());
    }
}
