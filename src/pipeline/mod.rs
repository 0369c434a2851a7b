//! One generation of the rules: decode, map and catalogue bound together, swapped whole.
//!
//! Takes a record, gives the events it becomes and what went wrong, and says whether an event is what the catalogue
//! promises. Pure: who gets the events, and what becomes of faults, is decided by who asks (intake for real, the dry
//! run for a look).

use crate::catalogue::published::{Catalogue, Verdict};
use crate::catalogue::settings::{SAMPLE, Validate};
use crate::decode::decoding::Decoding;
use crate::decode::schemas::Schemas;
use crate::decode::{self, Undecoded};
use crate::map::difference::Difference;
use crate::map::mapping::{OnError, TopicSelector};
use crate::map::{Mapped, Mappings};
use crate::model::event::{DomainEvent, Emitted, IntegrationEvent};
use crate::model::quarantine::{Fault, FaultReason};
use crate::model::record::Record;
use crate::model::schema::SchemaId;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// How topics are decoded that nobody names.
static DEFAULT: LazyLock<Decoding> = LazyLock::new(Decoding::default);

/// The rules in force.
#[derive(Debug)]
pub struct Pipeline {
    mappings: Mappings,
    formats: Vec<(TopicSelector, Decoding)>,
    schemas: Arc<Schemas>,
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
    /// The schema that is needed first: it passes when [`Pipeline::schemas`] has it.
    pub absent: Option<SchemaId>,
}

// === impl Pipeline ===

impl Pipeline {
    /// Binds mappings to the formats of their topics; the first format that names a topic counts, else JSON. A
    /// record whose value is larger than `event_bytes`, as it stands or unpacked, is a fault.
    #[must_use]
    pub fn new(mappings: Mappings, formats: Vec<(TopicSelector, Decoding)>, event_bytes: u64) -> Self {
        let (schemas, catalogue) = (Arc::default(), Catalogue::default());
        Self { mappings, formats, schemas, event_bytes, catalogue, validate: Validate::Off }
    }

    /// The same, with the schemas of a registry that others have learnt.
    #[must_use]
    pub fn sharing(self, schemas: Arc<Schemas>) -> Self {
        Self { schemas, ..self }
    }

    /// With what is promised of the events, and how many of them are held against it.
    #[must_use]
    pub fn publishing(self, catalogue: Catalogue, validate: Validate) -> Self {
        Self { catalogue, validate, ..self }
    }

    /// The schemas that records need, as far as they are known.
    #[must_use]
    pub fn schemas(&self) -> &Arc<Schemas> {
        &self.schemas
    }

    /// Passes a record through decode and map.
    #[must_use]
    pub fn pass(&self, record: &Record) -> Passage {
        let mut passage = Passage::default();
        let mapped = match self.mapped(record) {
            Ok(mapped) => mapped,
            Err(Undecoded::Fault(fault)) => return Passage { faults: vec![fault], ..passage },
            Err(Undecoded::Absent(schema)) => return Passage { absent: Some(schema), ..passage },
        };
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
        // What came first in a batch stays first, whichever mappings made it.
        passage.events.sort_by_key(|emitted| emitted.event.ord);
        passage
    }

    /// Passes a record again that was quarantined for `mapping` (`None`: it could not be decoded, so no mapping was
    /// asked): only what that mapping makes of it counts, the others had their turn. Whatever would stop the partition is
    /// a fault here.
    #[must_use]
    pub fn pass_again(&self, record: &Record, mapping: Option<&str>) -> Passage {
        let Some(name) = mapping else {
            let mut passage = self.pass(record);
            passage.faults.extend(passage.stop.take());
            return passage;
        };
        let mut passage = Passage::default();
        let of_it = |mapped: Vec<Mapped>| mapped.into_iter().find(|mapped| *mapped.mapping == *name);
        match self.mapped(record).map(of_it) {
            // What went wrong before the mapping is the mapping's fault still: the others must not have their turn again.
            Err(Undecoded::Fault(fault)) => passage.faults.push(Fault { mapping: Some(name.into()), ..fault }),
            Err(Undecoded::Absent(schema)) => passage.absent = Some(schema),
            Ok(None) => passage.faults.push(no_mapping(name)),
            Ok(Some(Mapped { result: Ok(events), .. })) => {
                passage.events = events.into_iter().map(|event| Arc::new(Emitted::new(event))).collect();
            }
            Ok(Some(Mapped { result: Err(fault), on_error: OnError::Drop, .. })) => passage.dropped.push(fault),
            Ok(Some(Mapped { result: Err(fault), on_error: OnError::Quarantine | OnError::Stop, .. })) => {
                passage.faults.push(fault);
            }
        }
        passage
    }

    /// What each mapping of the record's topic makes of it, in their order.
    ///
    /// # Errors
    /// It is too large, or cannot be decoded: no mapping is asked.
    pub fn mapped(&self, record: &Record) -> Result<Vec<Mapped>, Undecoded> {
        self.mapped_as(self.decoding(&record.origin.topic), record)
    }

    /// As [`Pipeline::mapped`], for a record that is decoded so, however those of its topic are.
    ///
    /// # Errors
    /// The same.
    pub fn mapped_as(&self, decoding: &Decoding, record: &Record) -> Result<Vec<Mapped>, Undecoded> {
        let size = record.value.as_ref().map_or(0, bytes::Bytes::len) as u64;
        if size > self.event_bytes {
            return Err(Undecoded::Fault(self.too_large(size)));
        }
        let events = decode::decode(decoding, record, &self.schemas, self.event_bytes)?;
        Ok(self.mappings.map(&record.origin.topic, &events))
    }

    /// A record as its topic's decoding reads it, which may be several events; no mapping is asked.
    ///
    /// # Errors
    /// It cannot be decoded, or its schema is not known.
    pub fn decoded<'r>(&self, record: &'r Record) -> Result<Vec<DomainEvent<'r>>, Undecoded> {
        decode::decode(self.decoding(&record.origin.topic), record, &self.schemas, self.event_bytes)
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
        named.chain(existing.iter().filter(|topic| self.reads(topic)).cloned()).collect()
    }

    /// Whether some mapping reads `topic`. `__consumer_offsets` and its like are Kafka's own: only a mapping that names
    /// one reads it.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.mappings.names_topic(topic) || !topic.starts_with("__") && self.mappings.matches_topic(topic)
    }

    /// The mappings that are gone under the `new` rules, or make events of another type there.
    #[must_use]
    pub fn differences(&self, new: &Self) -> Vec<Difference> {
        self.mappings.differences(&new.mappings)
    }

    /// Whether some topic is given by a pattern, so that new ones may turn up.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        self.mappings.topics().iter().any(|selector| matches!(selector, TopicSelector::Pattern(_)))
    }

    fn decoding(&self, topic: &str) -> &Decoding {
        let named = self.formats.iter().find(|(selector, _)| selector.matches(topic));
        named.map_or(&*DEFAULT, |(_, decoding)| decoding)
    }

    fn too_large(&self, size: u64) -> Fault {
        let detail = format!("the value has {size} bytes, more than limits.event_bytes ({})", self.event_bytes);
        Fault { reason: FaultReason::Limit, mapping: None, field: None, expression: None, detail }
    }
}

fn no_mapping(name: &str) -> Fault {
    let detail = "no mapping of this name reads the topic any more".to_owned();
    Fault { reason: FaultReason::Map, mapping: Some(name.into()), field: None, expression: None, detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::written::Events;
    use crate::decode::format::Format;
    use crate::map::written::Rules;
    use crate::model::id::EventId;
    use crate::model::problem::Problems;
    use crate::model::record::{Header, Origin};
    use crate::model::schema::{Language, SchemaText};
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
        let of = |format| Decoding { format, ..Decoding::default() };
        let formats = vec![
            (selector("shop.raw"), of(Format::Bytes)),
            (selector("shop.framed"), of(Format::Registered(Language::JsonSchema))),
            (selector("/.*\\.(raw|text)/"), of(Format::Text)),
            (selector("shop.events"), of(Format::CloudEvents)),
            (selector("/.*/"), of(Format::Json)),
        ];
        Pipeline::new(mappings, formats, 100)
    }

    fn pass(topic: &str, value: &str) -> Passage {
        pipeline().pass(&record(topic, value))
    }

    fn record(topic: &str, value: &str) -> Record {
        let origin = Origin { topic: topic.into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        let value = Some(bytes::Bytes::copy_from_slice(value.as_bytes()));
        Record { origin, key: None, headers: Vec::new(), value }
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
    fn the_events_of_a_batch_come_in_its_order_with_ids_of_their_own() {
        let rules = r"
mappings:
  - { name: odd, from: shop.events, when: ce.id == '1', emit: { type: t.odd, data: '${payload}' } }
  - { name: each, from: shop.events, each: payload, emit: { type: t.each, data: '${item}' } }
";
        let (mut read, mut problems) = (Rules::default(), Problems::default());
        read.add_file(&reader::read(&"m.yaml".into(), rules).unwrap(), &mut problems);
        let decoding = Decoding { format: Format::CloudEvents, ..Decoding::default() };
        let formats = vec![(TopicSelector::parse("shop.events").unwrap(), decoding)];
        let pipeline = Pipeline::new(read.finish(&mut problems), formats, 1_000);
        let origin =
            Origin { topic: "shop.events".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        let event = |id: u32| json!({"specversion": "1.0", "id": id.to_string(), "source": "/s", "type": "t", "data": [id, 10 * id]});
        let content_type = bytes::Bytes::from_static(b"application/cloudevents-batch+json");
        let header = Header { name: "content-type".into(), value: Some(content_type) };
        let value = Some(json!([event(0), event(1), event(2)]).to_string().into());
        let record = Record { origin, key: None, headers: vec![header], value };
        let passage = pipeline.pass(&record);
        let told = made(&passage);
        let expected = [
            ("each", json!(0)),
            ("each", json!(0)),
            ("odd", json!([1, 10])),
            ("each", json!(1)),
            ("each", json!(10)),
            ("each", json!(2)),
            ("each", json!(20)),
        ];
        assert_eq!(told.iter().map(|(mapping, data)| (*mapping, (*data).clone())).collect::<Vec<_>>(), expected);
        let ids: BTreeSet<_> = passage.events.iter().map(|emitted| emitted.event.id).collect();
        assert_eq!(ids.len(), 7);
        let index =
            |at: usize| EventId::derive(&record.origin, &passage.events[at].event.mapping, [0, 1, 10_000, 10_000][at]);
        assert!(
            (0..4).all(|at| passage.events[at].event.id == index(at)),
            "10,000 a member of the batch, then its items"
        );
        assert!(passage.events.iter().zip(0..).all(|(emitted, ord)| emitted.event.ord == ord));
    }

    #[test]
    fn p7_what_cannot_be_decoded_is_one_fault_and_no_event() {
        let passage = pass("shop.orders", "{");
        assert_eq!((passage.faults.len(), passage.events.len()), (1, 0));
        assert_eq!((passage.faults[0].reason, &passage.faults[0].mapping), (FaultReason::Decode, &None));
    }

    #[test]
    fn sr_5_what_lacks_its_schema_becomes_neither_event_nor_fault_and_passes_once_it_is_known() {
        let (pipeline, id) = (pipeline(), SchemaId::Number(7));
        let record = record("shop.framed", "\0\0\0\0\u{7}{\"x\":1}");
        let passage = pipeline.pass(&record);
        assert_eq!((passage.absent, passage.events.len(), passage.faults.len()), (Some(id), 0, 0));
        let text = SchemaText { language: Language::JsonSchema, text: "true".into(), references: Vec::new() };
        pipeline.schemas().learn(id, &text).unwrap();
        assert_eq!(made(&pipeline.pass(&record)), [("all", &json!({"x": 1}))]);
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
    fn what_is_passed_again_is_only_what_the_mapping_makes_that_failed_with_the_id_it_would_have_had() {
        let record = |topic: &str, value: &'static str| {
            let origin = Origin { topic: topic.into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
            Record { origin, key: None, headers: Vec::new(), value: Some(value.into()) }
        };
        let (orders, pipeline) = (record("shop.orders", r#"{"x":1}"#), pipeline());
        let again = pipeline.pass_again(&orders, Some("kept"));
        assert_eq!(made(&again), [("kept", &json!(1))]);
        let first = &pipeline.pass(&orders).events[1].event;
        assert_eq!((&again.events[0].event.id, again.events[0].event.ord), (&first.id, first.ord));
        assert_eq!(pipeline.pass_again(&orders, None).events.len(), 3, "it could not be decoded: none had its turn");
        for (topic, value, mapping, detail) in [
            ("shop.orders", "{}", "kept", "x"),
            ("shop.orders", "{", "kept", ""),
            ("shop.strict", "{}", "stopping", "x"),
            ("shop.orders", "{}", "renamed", "no mapping of this name"),
        ] {
            let again = pipeline.pass_again(&record(topic, value), Some(mapping));
            let [fault] = &again.faults[..] else { panic!("{again:?}") };
            assert!(fault.mapping.as_deref() == Some(mapping) && fault.detail.contains(detail), "{fault:?}");
        }
        let dropped = pipeline.pass_again(&record("shop.orders", "{}"), Some("dropped"));
        assert!(dropped.faults.is_empty() && dropped.events.is_empty() && dropped.dropped.len() == 1);
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
