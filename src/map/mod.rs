//! Domain event to integration events.
//!
//! Takes the domain events of a record, gives for each mapping of its topic the events they become or the fault that tells
//! why not. Pure: the same record gives the same events with the same ids. Knows no subscription, and not what becomes
//! of a fault.

mod attribute;
mod compile;
mod csv;
pub mod difference;
pub mod error;
mod library;
pub mod mapping;
mod run;
mod surroundings;
pub mod tables;
pub mod written;

use crate::map::difference::Difference;
use crate::map::mapping::{Mapping, OnError, TopicSelector};
use crate::map::surroundings::Surroundings;
use crate::map::written::Rules;
use crate::model::event::{DomainEvent, IntegrationEvent};
use crate::model::problem::Problems;
use crate::model::quarantine::Fault;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// All mappings, found by topic.
#[derive(Debug)]
pub struct Mappings {
    mappings: Vec<Mapping>,
    tables: Value,
    topics: Vec<TopicSelector>,
    by_name: HashMap<String, Vec<usize>>,
    by_pattern: Vec<(TopicSelector, usize)>,
}

/// What one mapping made of a record.
#[derive(Debug)]
pub struct Mapped {
    /// The mapping.
    pub mapping: Arc<str>,
    /// Its events, none when `when` says no; or why it failed.
    pub result: Result<Vec<IntegrationEvent>, Fault>,
    /// What becomes of the record when it failed.
    pub on_error: OnError,
}

// === impl Mappings ===

impl Mappings {
    /// Mappings in their order, and the tables they share, by name.
    #[must_use]
    pub fn new(mappings: Vec<Mapping>, tables: Value) -> Self {
        let topics = mappings.iter().flat_map(|mapping| mapping.from.clone()).collect();
        let (mut by_name, mut by_pattern) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (index, mapping) in mappings.iter().enumerate() {
            for selector in &mapping.from {
                match selector {
                    TopicSelector::Name(name) => by_name.entry(name.clone()).or_default().push(index),
                    TopicSelector::Pattern(_) => by_pattern.push((selector.clone(), index)),
                }
            }
        }
        Self { mappings, tables, topics, by_name, by_pattern }
    }

    /// What each mapping of `topic` makes of the domain events of one of its records, in the order of the mappings. A mapping
    /// that fails on one of them fails on the record.
    #[must_use]
    pub fn map(&self, topic: &str, events: &[DomainEvent<'_>]) -> Vec<Mapped> {
        let around: Vec<_> = events.iter().map(|event| Surroundings::new(event, &self.tables)).collect();
        let mapped = |mapping: &Mapping| Mapped {
            mapping: Arc::clone(&mapping.name),
            result: run::run(mapping, &around),
            on_error: mapping.on_error,
        };
        let mut mapped: Vec<Mapped> = self.of_topic(topic).map(mapped).collect();
        number(&mut mapped);
        mapped
    }

    /// What selects the topics that are read, as often as it is written.
    #[must_use]
    pub fn topics(&self) -> &[TopicSelector] {
        &self.topics
    }

    /// Whether some mapping reads `topic`.
    #[must_use]
    pub fn matches_topic(&self, topic: &str) -> bool {
        self.names_topic(topic) || self.by_pattern.iter().any(|(selector, _)| selector.matches(topic))
    }

    /// Whether some mapping reads `topic` by its name.
    #[must_use]
    pub fn names_topic(&self, topic: &str) -> bool {
        self.by_name.contains_key(topic)
    }

    /// All mappings, in their order.
    #[must_use]
    pub fn all(&self) -> &[Mapping] {
        &self.mappings
    }

    /// The names of all mappings, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.mappings.iter().map(|mapping| &*mapping.name)
    }

    /// The mappings that are not among the `new` ones, or make events of another type there.
    #[must_use]
    pub fn differences(&self, new: &Self) -> Vec<Difference> {
        difference::differences(&self.mappings, &new.mappings)
    }

    fn of_topic(&self, topic: &str) -> impl Iterator<Item = &Mapping> {
        let mut found = self.by_name.get(topic).cloned().unwrap_or_default();
        found.extend(self.by_pattern.iter().filter(|(selector, _)| selector.matches(topic)).map(|(_, index)| *index));
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|index| &self.mappings[index])
    }
}

/// Gives each event of a record its position: what came first in the record stays first, then the mappings count. They come
/// with the number of their domain event in its place.
fn number(mapped: &mut [Mapped]) {
    let mut events: Vec<_> = mapped.iter_mut().flat_map(|mapped| mapped.result.iter_mut().flatten()).collect();
    events.sort_by_key(|event| event.ord);
    (0..).zip(events).for_each(|(ord, event)| event.ord = ord);
}

// === impl Rules ===

impl Rules {
    /// Ends the reading of files. With problems the mappings are those that have none; they must not run.
    pub fn finish(self, problems: &mut Problems) -> Mappings {
        let (mappings, tables) = self.compile(problems);
        Mappings::new(mappings, tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EventId;
    use crate::model::quarantine::FaultReason;
    use crate::model::record::{Header, Origin, Record};
    use crate::model::time::Timestamp;
    use crate::yaml::reader;
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::LazyLock;

    fn mappings(files: &[&str]) -> Mappings {
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        for text in files {
            rules.add_file(&reader::read(&"m.yaml".into(), text).unwrap(), &mut problems);
        }
        let mappings = rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        mappings
    }

    fn record() -> Record {
        let timestamp = Timestamp::from_millis(1_767_225_600_000);
        let origin = Origin { topic: "shop.orders".into(), partition: 2, offset: 42, timestamp };
        Record { origin, key: Some(Bytes::from_static(b"o-1")), headers: Vec::new(), value: None }
    }

    fn header(name: &str, value: &'static [u8]) -> Header {
        Header { name: name.to_owned(), value: Some(Bytes::from_static(value)) }
    }

    fn map(mappings: &Mappings, record: &Record, payload: &str) -> Vec<Mapped> {
        mappings.map(&record.origin.topic, &[DomainEvent::plain(record, serde_json::from_str(payload).unwrap())])
    }

    /// What one mapping of `shop.orders` with these `fields` makes of `payload`.
    fn one(fields: &str, payload: &str) -> Result<Vec<IntegrationEvent>, Fault> {
        let mappings = mappings(&[&format!("mappings: [{{ name: a, from: shop.orders, {fields} }}]")]);
        map(&mappings, &record(), payload).remove(0).result
    }

    fn data(fields: &str, payload: &str) -> String {
        one(fields, payload).unwrap().iter().map(|event| event.data.to_string()).collect::<Vec<_>>().join(" ")
    }

    const SHOP: &str = r#"
tables:
  country: { NO: Norway, SE: Sweden }
mappings:
  - name: order-placed
    from: shop.orders
    when: payload.type == "OrderPlaced"
    let:
      total: payload.lines.map(l, l.qty * l.price).sum()
    emit:
      type: com.acme.order.placed.v1
      subject: ${payload.id}
      time: ${payload.placed_at}
      tenant: ${payload.merchant_id}
      key: ${payload.id}
      data:
        order_id: ${payload.id}
        country: ${tables.country[payload.cc]}
        note?: ${payload.note}
        greeting: "Hello ${payload.customer.name}"
        total: ${total}
        customer:
          $copy: ${payload.customer}
          $without: [ssn, address.zip]
          $rename: { mail: email }
        lines:
          $each: ${payload.lines}
          $as: line
          $where: line.qty > 0
          $emit: { sku: "${line.sku}", quantity: "${line.qty}" }
        shipping: { $if: has(payload.ship), $then: { to: "${payload.ship.to}" }, $else: null }
  - name: order-lines
    from: shop.orders
    each: payload.lines
    emit: { type: com.acme.order.line.v1, data: { sku: "${item.sku}" } }
"#;

    const ORDER: &str = r#"{"type":"OrderPlaced","id":"o-1","placed_at":"2026-01-01T10:00:00+01:00","merchant_id":17,
        "cc":"NO","customer":{"name":"Ada","mail":"a@b.c","ssn":"1","address":{"zip":"2","city":"Oslo"}},
        "lines":[{"sku":"a","qty":2,"price":5},{"sku":"b","qty":0,"price":9}]}"#;

    #[test]
    fn the_shop_becomes_its_events() {
        let mapped = map(&mappings(&[SHOP]), &record(), ORDER);
        let placed = &mapped[0].result.as_ref().unwrap()[0];
        let expected = json!({
            "order_id": "o-1", "country": "Norway", "greeting": "Hello Ada", "total": 10,
            "customer": {"name": "Ada", "email": "a@b.c", "address": {"city": "Oslo"}},
            "lines": [{"sku": "a", "quantity": 2}], "shipping": null,
        });
        assert_eq!(placed.data, expected);
        assert_eq!((&*placed.event_type, placed.subject.as_deref()), ("com.acme.order.placed.v1", Some("o-1")));
        assert_eq!(placed.time.to_string(), "2026-01-01T09:00:00.000Z");
        assert_eq!((placed.tenant.as_deref(), placed.key.as_deref()), (Some("17"), Some("o-1")));
        let lines = mapped[1].result.as_ref().unwrap();
        assert_eq!(lines.iter().map(|line| line.data["sku"].clone()).collect::<Vec<_>>(), [json!("a"), json!("b")]);
        let all: Vec<_> = mapped.iter().flat_map(|mapped| mapped.result.as_ref().unwrap()).collect();
        assert_eq!(all.iter().map(|event| event.ord).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn sw_5_an_id_is_derived_from_place_mapping_and_item_index_counted_before_when() {
        let fields = "when: item > 1, each: payload, emit: { type: t, data: '${[item, index]}' }";
        let events = one(fields, "[1, 2, 3]").unwrap();
        let ids: Vec<_> = (1..3).map(|index| EventId::derive(&record().origin, "a", index)).collect();
        assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), ids);
        assert_eq!(events.iter().map(|event| event.ord).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(events[1].data, json!([3, 2]));
        assert_eq!(one("emit: { type: t }", "1").unwrap()[0].id, EventId::derive(&record().origin, "a", 0));
    }

    #[test]
    fn what_a_mapping_leaves_out_is_the_records_own() {
        let event = one("emit: { type: t }", "1").unwrap().remove(0);
        assert_eq!(event.time, record().origin.timestamp);
        assert_eq!((event.subject, event.tenant, event.key), (None, None, Some("o-1".to_owned())));
        assert_eq!((&*event.source, event.data), ("urn:hookline:shop.orders", Value::Null));
        let mappings = mappings(&["mappings: [{ name: a, from: shop.orders, emit: { type: t } }]"]);
        for key in [None, Some(Bytes::from_static(b"\xff"))] {
            let mapped = map(&mappings, &Record { key, ..record() }, "1");
            assert_eq!(mapped[0].result.as_ref().unwrap()[0].key, None);
        }
    }

    #[test]
    fn computed_attributes_are_taken_and_null_is_none() {
        let emit = "emit: { type: 'com.${payload.t}', source: '/shops/${payload.s}', subject: '${payload.n}', \
                    tenant: '${payload.n}', key: '${payload.k}' }";
        let event = one(emit, r#"{"t": "x", "s": 5, "n": null, "k": 7}"#).unwrap().remove(0);
        assert_eq!((&*event.event_type, &*event.source), ("com.x", "/shops/5"));
        assert_eq!((event.subject, event.tenant, event.key.as_deref()), (None, None, Some("7")));
    }

    #[test]
    fn ce_3_extensions_are_computed_checked_and_left_out_when_null() {
        let emit = "emit: { type: t, extensions: { region: eu, priority: '${payload.p}', vip: '${payload.v}', none: '${payload.n}' } }";
        let event = one(emit, r#"{"p": 5, "v": true, "n": null}"#).unwrap().remove(0);
        let told: Vec<_> = event.extensions.iter().map(|(name, value)| (&**name, value.clone())).collect();
        assert_eq!(told, [("region", json!("eu")), ("priority", json!(5)), ("vip", json!(true))]);
        let fault = one(emit, r#"{"p": 1.5, "v": true, "n": null}"#).unwrap_err();
        assert_eq!((fault.reason, fault.field.as_deref()), (FaultReason::Event, Some("emit.extensions.priority")));
    }

    #[test]
    fn ce_and_a_decoded_key_are_in_scope_and_the_key_orders_by_its_text() {
        let mappings =
            mappings(&["mappings: [{ name: a, from: shop.orders, emit: { type: t, data: '${[ce, key]}' } }]"]);
        let plain = map(&mappings, &record(), "1").remove(0).result.unwrap().remove(0);
        assert_eq!((plain.data, plain.key.as_deref()), (json!([null, "o-1"]), Some("o-1")));
        let record = record();
        let event = |key: Value| DomainEvent {
            ce: json!({"id": "7"}),
            key: Some(key),
            ..DomainEvent::plain(&record, Value::Null)
        };
        let keys = [
            (json!({"id": 1}), Some(r#"{"id":1}"#)),
            (json!("o-2"), Some("o-2")),
            (json!(7), Some("7")),
            (json!(null), None),
        ];
        for (key, wanted) in keys {
            let made = mappings.map("shop.orders", &[event(key.clone())]).remove(0).result.unwrap().remove(0);
            assert_eq!((made.data, made.key.as_deref()), (json!([{"id": "7"}, key]), wanted));
        }
    }

    #[test]
    fn a_batch_has_one_budget_and_one_bound_of_events_and_fails_as_one() {
        let record = record();
        let members = |count: u32, payload: &Value| -> Vec<_> {
            (0..count).map(|member| DomainEvent { member, ..DomainEvent::plain(&record, payload.clone()) }).collect()
        };
        let fault = |fields: &str, events: &[DomainEvent<'_>]| {
            let mappings = mappings(&[&format!("mappings: [{{ name: a, from: shop.orders, {fields} }}]")]);
            mappings.map("shop.orders", events).remove(0).result.unwrap_err()
        };
        let costly = "when: 'lists.range(9999).all(x, x >= 0)', emit: { type: t }";
        assert_eq!(fault(costly, &members(200, &json!(1))).reason, FaultReason::Limit);
        let many = fault("each: payload, emit: { type: t }", &members(101, &json!(vec![0; 100])));
        assert_eq!((many.reason, many.field.as_deref()), (FaultReason::Limit, Some("emit")));
        let mut events = members(3, &json!({"x": 1}));
        events[1].payload = json!({});
        assert_eq!(fault("emit: { type: t, data: '${payload.x}' }", &events).reason, FaultReason::Map);
    }

    #[test]
    fn a_time_may_be_computed() {
        let emit = "emit: { type: t, time: '${timestamp(payload.at) + duration(\"90s\")}' }";
        let event = one(emit, r#"{"at": "2026-01-01T00:00:00Z"}"#).unwrap().remove(0);
        assert_eq!(event.time.to_string(), "2026-01-01T00:01:30.000Z");
    }

    #[test]
    fn only_mappings_of_the_topic_run_in_their_order_and_when_may_say_no() {
        let files = [
            "mappings: [{ name: a, from: /shop\\..*/, emit: { type: t } }, { name: b, from: crm, emit: { type: t } }]",
            "mappings: [{ name: c, from: [crm, shop.orders], when: payload == 2, emit: { type: t } }]",
        ];
        let mappings = mappings(&files);
        let mapped = map(&mappings, &record(), "1");
        let found: Vec<_> = mapped.iter().map(|m| (&*m.mapping, m.result.as_ref().unwrap().len())).collect();
        assert_eq!(found, [("a", 1), ("c", 0)]);
        assert_eq!(mappings.names().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(mappings.matches_topic("crm") && mappings.matches_topic("shop.x") && !mappings.matches_topic("crm2"));
        assert_eq!(mappings.topics().len(), 4);
    }

    #[test]
    fn a_record_that_when_refuses_is_not_looked_at_further() {
        let fields =
            "when: has(payload.lines), let: { n: payload.lines.size() }, each: payload.lines, emit: { type: t }";
        assert_eq!(one(fields, "{}").unwrap(), []);
    }

    #[test]
    fn a_let_runs_once_a_record_or_once_an_item() {
        let fields = "let: { rate: payload.rate, price: item * rate, list: payload.l }, each: list, \
                      emit: { type: t, data: '${price}' }";
        assert_eq!(data(fields, r#"{"rate": 3, "l": [1, 2]}"#), "3 6");
    }

    #[test]
    fn key_headers_and_record_are_in_scope() {
        let headers = vec![header("a", b"1"), header("a", b"2"), header("b", b"\xff")];
        let fields = "emit: { type: t, data: ['${key}', '${headers.a}', '${headers.b}', '${record}'] }";
        let mappings = mappings(&[&format!("mappings: [{{ name: a, from: shop.orders, {fields} }}]")]);
        let mapped = map(&mappings, &Record { headers, ..record() }, "1");
        let record = json!({
            "topic": "shop.orders", "partition": 2, "offset": 42, "timestamp": "2026-01-01T00:00:00.000Z"
        });
        assert_eq!(mapped[0].result.as_ref().unwrap()[0].data, json!(["o-1", "2", "/w==", record]));
    }

    #[test]
    fn a_number_that_is_copied_keeps_its_exact_text() {
        let payload = r#"{"n":12345678901234567890.10}"#;
        assert_eq!(data("emit: { type: t, data: { n: '${payload.n}' } }", payload), payload);
        assert_eq!(data("let: { p: payload }, emit: { type: t, data: '${p}' }", payload), payload);
    }

    #[test]
    fn a_tombstone_maps_like_any_event() {
        assert_eq!(
            data("when: payload == null, emit: { type: t, data: { gone: '${key}' } }", "null"),
            r#"{"gone":"o-1"}"#
        );
    }

    #[test]
    fn the_records_trace_goes_with_every_event() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let headers = vec![header("traceparent", trace.as_bytes())];
        let mappings = mappings(&["mappings: [{ name: a, from: shop.orders, each: payload, emit: { type: t } }]"]);
        let mapped = map(&mappings, &Record { headers, ..record() }, "[1, 2]");
        let traces =
            mapped[0].result.as_ref().unwrap().iter().map(|event| event.traceparent.as_deref().unwrap().text());
        assert_eq!(traces.collect::<Vec<_>>(), [trace; 2]);
    }

    #[test]
    fn a_fault_names_mapping_field_expression_and_reason() {
        let cases = [
            (
                "emit: { type: t, data: { a: { b: '${payload.x.y}' } } }",
                "emit.data.a.b",
                "payload.x.y",
                FaultReason::Map,
            ),
            ("emit: { type: t, key: '${payload.x}' }", "emit.key", "payload.x", FaultReason::Map),
            ("when: payload.x, emit: { type: t }", "when", "payload.x", FaultReason::Map),
            ("let: { n: payload.x + 1 }, emit: { type: t }", "let.n", "payload.x + 1", FaultReason::Map),
            ("each: payload, emit: { type: t }", "each", "payload", FaultReason::Map),
            ("emit: { type: '${payload.t}' }", "emit.type", "${payload.t}", FaultReason::Event),
            ("emit: { type: t, source: 'x ${payload.t}' }", "emit.source", "x ${payload.t}", FaultReason::Event),
            ("emit: { type: t, subject: '${payload.t}' }", "emit.subject", "${payload.t}", FaultReason::Event),
            ("emit: { type: t, time: '${payload.n}' }", "emit.time", "${payload.n}", FaultReason::Event),
            ("emit: { type: t, tenant: '${payload.l}' }", "emit.tenant", "${payload.l}", FaultReason::Event),
        ];
        for (fields, field, expression, reason) in cases {
            let fault = one(fields, r#"{"t": "", "n": 1767225600000, "l": [1]}"#).unwrap_err();
            assert_eq!((fault.mapping.as_deref(), fault.field.as_deref()), (Some("a"), Some(field)), "{fault:?}");
            assert_eq!((fault.expression.as_deref(), fault.reason), (Some(expression), reason), "{fault:?}");
            assert!(!fault.detail.is_empty());
        }
    }

    #[test]
    fn a_list_without_end_and_output_without_end_are_limits() {
        let many = format!("[{}0]", "0,".repeat(run::MAX_ITEMS));
        let fault = one("each: payload, emit: { type: t }", &many).unwrap_err();
        assert_eq!((fault.reason, fault.field.as_deref()), (FaultReason::Limit, Some("each")));
        let large = format!("[\"{}\"{}]", "x".repeat(10_000), ",0".repeat(1_000));
        let fault = one("each: payload, emit: { type: t, data: '${payload}' }", &large).unwrap_err();
        assert_eq!(fault.reason, FaultReason::Limit);
    }

    #[test]
    fn one_mapping_that_fails_does_not_touch_the_next() {
        let files = ["mappings:
  - { name: a, from: shop.orders, on_error: stop, emit: { type: t, key: '${payload.x}' } }
  - { name: b, from: shop.orders, on_error: drop, emit: { type: t } }"];
        let mapped = map(&mappings(&files), &record(), "{}");
        assert!(mapped[0].result.is_err() && mapped[0].on_error == OnError::Stop);
        let made = mapped[1].result.as_ref().unwrap();
        assert_eq!((made.len(), made[0].ord, mapped[1].on_error), (1, 0, OnError::Drop));
    }

    fn payload() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "-?[1-9][0-9]{0,30}(\\.[0-9]{1,20})?(e[0-9]{1,3})?".prop_map(|n| serde_json::from_str(&n).unwrap()),
        ];
        let keys = "type|id|lines|qty|price|customer|name|cc|merchant_id|placed_at|ship|to|sku|address|[a-z]{1,3}";
        leaf.prop_recursive(5, 60, 8, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(keys, inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_payload_makes_a_mapping_panic_and_the_same_gives_the_same(payload in payload(), known in any::<bool>()) {
            static MAPPINGS: LazyLock<Mappings> = LazyLock::new(|| mappings(&[SHOP]));
            let mut payload = payload;
            if let (true, Some(map)) = (known, payload.as_object_mut()) {
                map.insert("type".to_owned(), json!("OrderPlaced"));
            }
            let record = record();
            let events = [DomainEvent::plain(&record, payload)];
            let (first, second) = (MAPPINGS.map("shop.orders", &events), MAPPINGS.map("shop.orders", &events));
            for (first, second) in first.iter().zip(&second) {
                prop_assert_eq!(&first.result, &second.result);
            }
        }
    }
}
