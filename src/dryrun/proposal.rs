//! Records of a topic become a mapping file to begin with: every field copied by its path, a schema, a test.
//!
//! Takes decoded records, gives YAML. Where a field tells kinds of records apart (`type`, `kind` ...), each kind gets a
//! mapping. What is proposed has been tried: it maps every record that was seen, and each event fits its schema.

use crate::catalogue::published::Verdict;
use crate::catalogue::shape::{Format, Presence, Shape};
use crate::catalogue::written::Events;
use crate::decode::decoding::Decoding;
use crate::dryrun::suite;
use crate::expr::path::is_word;
use crate::map::written::Rules;
use crate::model::event::IntegrationEvent;
use crate::model::problem::Problems;
use crate::model::record::Record;
use crate::pipeline::Pipeline;
use crate::yaml::{reader, writer};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A record of the topic.
#[derive(Clone, Debug)]
pub struct Sample {
    /// As Kafka holds it.
    pub record: Record,
    /// As it was decoded.
    pub payload: Value,
}

/// What the proposal is for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The topic.
    pub topic: String,
    /// What event types begin with.
    pub prefix: String,
    /// Names of mappings that are given already.
    pub taken: Vec<String>,
}

/// A mapping file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its text.
    pub text: String,
    /// How many mappings it holds.
    pub mappings: usize,
    /// How many of the records become events.
    pub mapped: usize,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProposal {
    /// There is nothing to look at.
    #[error("there is no record with a value")]
    NoRecord,
    /// A mistake of ours: what was written does not do what it should.
    #[error("no mapping was found that maps every record")]
    NotFound,
}

/// Fields that tell what kind of record it is, the likeliest first.
const KINDS: [&str; 6] = ["type", "event_type", "eventType", "event", "kind", "action"];
/// More kinds are no kinds.
const MOST_KINDS: usize = 12;
/// Fields that say when it happened, the likeliest first.
const TIMES: [&str; 8] =
    ["time", "timestamp", "occurred_at", "occurredAt", "created_at", "createdAt", "updated_at", "updatedAt"];
/// Objects below this depth are copied whole: nobody leaves out a field that deep.
const DEPTH: usize = 5;
/// The longest name that a mapping may have.
const NAME: usize = 100;

/// Records of one kind.
struct Kind<'s> {
    /// The field that tells, and what it says; `None`: all are of one kind.
    told: Option<(&'static str, &'s str)>,
    samples: Vec<&'s Sample>,
    shape: Shape,
}

/// Whether an event also gets a subject and a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attributes {
    Guessed,
    Left,
}

/// Proposes a mapping file for records like these.
///
/// # Errors
/// There is no record to look at.
pub fn propose(samples: &[Sample], asked: &Asked) -> Result<Proposal, NoProposal> {
    let valued: Vec<&Sample> = samples.iter().filter(|sample| !sample.payload.is_null()).collect();
    if valued.is_empty() {
        return Err(NoProposal::NoRecord);
    }
    let tombstones = valued.len() < samples.len();
    let kinds = kinds(&valued);
    for attributes in [Attributes::Guessed, Attributes::Left] {
        let mappings = mappings(&kinds, asked, (attributes, tombstones));
        let events = events(&kinds, asked);
        if let Some(tests) = tried(&kinds, (&mappings, &events), asked) {
            let text = text(asked, valued.len(), [&mappings, &events, &tests]);
            return Ok(Proposal { text, mappings: kinds.len(), mapped: valued.len() });
        }
    }
    Err(NoProposal::NotFound)
}

/// The kinds of records, in the order of their words.
fn kinds<'s>(samples: &[&'s Sample]) -> Vec<Kind<'s>> {
    let told = KINDS.iter().find_map(|field| {
        let mut kinds: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in samples {
            let word = sample.payload.get(field)?.as_str().filter(|word| is_kind(word))?;
            kinds.entry(word).or_default().push(sample);
        }
        // As many kinds as records is a name for each, not a kind.
        (kinds.len() <= MOST_KINDS && (kinds.len() == 1 || kinds.len() < samples.len())).then_some((*field, kinds))
    });
    let kind = |told, samples: Vec<&'s Sample>| {
        let mut shape = Shape::default();
        samples.iter().for_each(|sample| shape.observe(&sample.payload));
        Kind { told, samples, shape }
    };
    match told {
        Some((field, kinds)) => kinds.into_iter().map(|(word, samples)| kind(Some((field, word)), samples)).collect(),
        None => vec![kind(None, samples.to_vec())],
    }
}

fn is_kind(word: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    (1..=64).contains(&word.len()) && word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.chars().all(allowed)
}

fn mappings(kinds: &[Kind<'_>], asked: &Asked, (attributes, tombstones): (Attributes, bool)) -> Value {
    let mut taken = asked.taken.clone();
    let mapping = |kind: &Kind<'_>| {
        let mut emit = Map::new();
        emit.insert("type".into(), json!(event_type(kind, asked)));
        if attributes == Attributes::Guessed {
            let guess = [("subject", subject(kind)), ("time", time(&kind.shape))];
            emit.extend(guess.into_iter().filter_map(|(name, path)| Some((name.to_owned(), json!(path?)))));
        }
        emit.insert("data".into(), layout(&kind.shape, "payload", DEPTH));
        let mut mapping = Map::new();
        mapping.insert("name".into(), json!(name(kind, asked, &mut taken)));
        mapping.insert("from".into(), json!(asked.topic));
        let told = kind.told.map(|(field, word)| format!("payload.{field} == \"{word}\""));
        let valued = tombstones.then(|| "payload != null".to_owned());
        let when: Vec<String> = valued.into_iter().chain(told).collect();
        if !when.is_empty() {
            mapping.insert("when".into(), json!(when.join(" && ")));
        }
        mapping.insert("emit".into(), Value::Object(emit));
        Value::Object(mapping)
    };
    kinds.iter().map(mapping).collect()
}

fn events(kinds: &[Kind<'_>], asked: &Asked) -> Value {
    let event = |kind: &Kind<'_>| (event_type(kind, asked), json!({ "schema": kind.shape.schema() }));
    Value::Object(kinds.iter().map(event).collect())
}

/// Each field by its path; whole where its keys say nothing, or where it is not always an object.
fn layout(shape: &Shape, path: &str, depth: usize) -> Value {
    let whole = || Value::String(format!("${{{path}}}"));
    let Some(fields) = shape.fields().filter(|fields| depth > 0 && !fields.is_empty()) else { return whole() };
    if !fields.iter().all(|(key, ..)| is_writable(key)) {
        return whole();
    }
    let field = |(key, shape, presence): (&str, &Shape, Presence)| {
        let path = if is_word(key) { format!("{path}.{key}") } else { format!("{path}[\"{key}\"]") };
        match presence {
            Presence::Always => (key.to_owned(), layout(shape, &path, depth - 1)),
            Presence::Sometimes => (format!("{key}?"), Value::String(format!("${{{path}}}"))),
        }
    };
    Value::Object(fields.into_iter().map(field).collect())
}

/// Whether a key can stand in a template and in a path as it is.
fn is_writable(key: &str) -> bool {
    (1..=64).contains(&key.len()) && key.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c))
}

/// What the event is about: what the record's key says, else its id.
fn subject(kind: &Kind<'_>) -> Option<String> {
    let fields = kind.shape.fields()?;
    let is_key = |field: &str| {
        let same = |sample: &&Sample| {
            let key = sample.record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            match sample.payload.get(field) {
                Some(Value::String(text)) => Some(text.as_str()) == key,
                Some(Value::Number(number)) => Some(number.to_string().as_str()) == key,
                _ => false,
            }
        };
        kind.samples.iter().all(same)
    };
    let mut names =
        fields.iter().filter(|(key, shape, presence)| is_word(key) && *presence == Presence::Always && shape.is_name());
    let found = names.clone().find(|(key, ..)| is_key(key)).or_else(|| names.find(|(key, ..)| *key == "id"));
    found.map(|(key, ..)| format!("${{payload.{key}}}"))
}

/// When it happened: what is called so, else the only time there is.
fn time(shape: &Shape) -> Option<String> {
    let fields = shape.fields()?;
    let times: Vec<&str> = fields
        .iter()
        .filter(|(key, shape, presence)| {
            is_word(key) && *presence == Presence::Always && shape.is_always(Format::DateTime)
        })
        .map(|(key, ..)| *key)
        .collect();
    let named = TIMES.iter().find(|name| times.contains(name)).copied();
    let only = if let [only] = times[..] { Some(only) } else { None };
    named.or(only).map(|key| format!("${{payload.{key}}}"))
}

fn event_type(kind: &Kind<'_>, asked: &Asked) -> String {
    let topic = asked.topic.split('.').map(|part| words(part).join("_")).filter(|part| !part.is_empty());
    let told = kind.told.map(|(_, word)| words(word).join("_"));
    let parts: Vec<String> = topic.chain(told).collect();
    format!("{}.{}.v1", asked.prefix, parts.join("."))
}

/// A name for the mapping that is not given yet.
fn name(kind: &Kind<'_>, asked: &Asked, taken: &mut Vec<String>) -> String {
    let told = kind.told.map(|(_, word)| words(word)).unwrap_or_default();
    let mut base = [words(&asked.topic), told].concat().join("-");
    base.truncate(NAME - 3); // ASCII, with room for a number
    let base = if base.is_empty() { "mapping".to_owned() } else { base };
    let numbered = (2..).map(|n| format!("{base}-{n}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.expect("there are more numbers than names");
    taken.push(free.clone());
    free
}

/// `OrderPlaced`, `order-placed` and `order.placed` are the words order and placed.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut before): (Vec<String>, Option<char>) = (Vec::new(), None);
    for c in text.chars() {
        let joined =
            before.is_some_and(|b| b.is_ascii_alphanumeric() && (b.is_ascii_uppercase() || !c.is_ascii_uppercase()));
        if c.is_ascii_alphanumeric() {
            match words.last_mut().filter(|_| joined) {
                Some(word) => word.push(c.to_ascii_lowercase()),
                None => words.push(c.to_ascii_lowercase().to_string()),
            }
        }
        before = Some(c);
    }
    words
}

/// A test for each kind, when every record is mapped and every event is what the schema says.
fn tried(kinds: &[Kind<'_>], (mappings, events): (&Value, &Value), asked: &Asked) -> Option<Value> {
    let file = json!({ "mappings": mappings, "events": events });
    let node = reader::read(&"proposal".into(), &writer::block(&file, 0)).ok()?;
    let (mut rules, mut types, mut problems) = (Rules::default(), Events::default(), Problems::default());
    rules.add_file(&node, &mut problems);
    types.add_file(&node, &mut problems);
    let mappings = rules.finish(&mut problems);
    if !problems.is_empty() {
        return None;
    }
    let pipeline = Pipeline::new(mappings, Vec::new(), u64::MAX).publishing(types.finish(), Default::default());
    let mut tests = Vec::new();
    for kind in kinds {
        let all: Option<Vec<_>> = kind.samples.iter().map(|sample| made(&pipeline, sample)).collect();
        let all = all?;
        // The smallest record is the test that people read.
        let (event, sample) = all.iter().zip(&kind.samples).min_by_key(|(_, sample)| sample.record.size())?;
        tests.push(test(kind, (sample, event), asked));
    }
    Some(Value::Array(tests))
}

/// The one event that a record becomes, when it is what the catalogue promises.
fn made(pipeline: &Pipeline, sample: &Sample) -> Option<IntegrationEvent> {
    let record = Record { value: Some(sample.payload.to_string().into()), ..sample.record.clone() };
    let mut events = Vec::new();
    for mapped in pipeline.mapped_as(&Decoding::default(), &record).ok()? {
        events.extend(mapped.result.ok()?);
    }
    let [event] = <[IntegrationEvent; 1]>::try_from(events).ok()?;
    (pipeline.catalogue().judge(&event.event_type, &event.data) == Verdict::Fits).then_some(event)
}

fn test(kind: &Kind<'_>, (sample, event): (&Sample, &IntegrationEvent), asked: &Asked) -> Value {
    let mut record = Map::new();
    record.insert("topic".into(), json!(asked.topic));
    if let Some(key) = sample.record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()) {
        record.insert("key".into(), json!(key));
    }
    record.insert("payload".into(), sample.payload.clone());
    let name = match kind.told {
        Some((_, word)) => format!("{word} is announced"),
        None => format!("a record of {} is announced", asked.topic),
    };
    json!({ "name": name, "record": record, "expect": [suite::expectation(event)] })
}

fn text(asked: &Asked, records: usize, [mappings, events, tests]: [&Value; 3]) -> String {
    let topic = &asked.topic;
    let records = if records == 1 { "1 record".to_owned() } else { format!("{records} records") };
    format!(
        "# Proposed from {records} of {topic}. Name the event types as they should be called for ever, leave out
# what must stay inside, then: hookline check && hookline test
mappings:{}

# What subscribers may rely on, as far as these records tell: loosen or tighten it.
events:{}

# From a real record: replace what is personal or secret in it before it is shared.
tests:{}
",
        writer::behind_key(mappings, 0),
        writer::behind_key(events, 0),
        writer::behind_key(tests, 0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dryrun::written::Tests;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use proptest::prelude::*;

    fn sample(offset: i64, payload: Value) -> Sample {
        let origin = Origin { topic: "shop.orders".into(), partition: 0, offset, timestamp: Timestamp::from_millis(0) };
        let key = payload.get("id").and_then(Value::as_str).map(|id| id.to_owned().into());
        let value = (!payload.is_null()).then(|| payload.to_string().into());
        Sample { record: Record { origin, key, headers: Vec::new(), value }, payload }
    }

    fn asked() -> Asked {
        Asked { topic: "shop.orders".into(), prefix: "com.acme".into(), taken: vec!["shop-orders-order-placed".into()] }
    }

    fn proposed(payloads: &[Value]) -> Proposal {
        let samples: Vec<Sample> = payloads.iter().zip(0..).map(|(payload, at)| sample(at, payload.clone())).collect();
        propose(&samples, &asked()).unwrap()
    }

    /// That the file is valid, and its tests pass.
    fn assert_holds(proposal: &Proposal) {
        let node = reader::read(&"p.yaml".into(), &proposal.text).unwrap_or_else(|p| panic!("{p}\n{}", proposal.text));
        let (mut rules, mut events, mut tests) = (Rules::default(), Events::default(), Tests::default());
        let mut problems = Problems::default();
        rules.add_file(&node, &mut problems);
        events.add_file(&node, &mut problems);
        tests.add_file(&node, &|_| unreachable!("no file is named"), &mut problems);
        let pipeline = Pipeline::new(rules.finish(&mut problems), Vec::new(), 1 << 20);
        assert!(problems.is_empty(), "{problems}\n{}", proposal.text);
        let report = suite::run(&pipeline.publishing(events.finish(), Default::default()), &tests.finish());
        assert!(report.passed() && !report.0.is_empty(), "{}\n{}", report.problems(), proposal.text);
    }

    #[test]
    fn an_orders_topic_gets_a_mapping_a_schema_and_a_test_for_each_kind_of_record() {
        let placed = |n: i64| {
            let note = if n % 2 == 0 { json!(null) } else { json!("soon") };
            let mut order = json!({
                "type": "OrderPlaced", "id": format!("o-{n}"), "placed_at": "2026-01-01T00:00:00Z", "total": 10.50,
                "note": note, "customer": {"name": "Ada", "mail": "ada@example.com"}, "lines": [{"sku": "a", "qty": n}],
                "my key": 1,
            });
            if n == 1 {
                order["coupon"] = json!("SPRING");
            }
            order
        };
        let mut payloads: Vec<Value> = (0..4).map(placed).collect();
        payloads.extend([json!({"type": "order.viewed", "id": "o-1"}), Value::Null]);
        let proposal = proposed(&payloads);
        assert_holds(&proposal);
        assert_eq!((proposal.mappings, proposal.mapped), (2, 5));
        let expected = "\
mappings:
  - name: shop-orders-order-placed-2
    from: shop.orders
    when: payload != null && payload.type == \"OrderPlaced\"
    emit:
      type: com.acme.shop.orders.order_placed.v1
      subject: ${payload.id}
      time: ${payload.placed_at}
      data:
        type: ${payload.type}
        id: ${payload.id}
        placed_at: ${payload.placed_at}
        total: ${payload.total}
        note: ${payload.note}
        customer:
          name: ${payload.customer.name}
          mail: ${payload.customer.mail}
        lines: ${payload.lines}
        my key: ${payload[\"my key\"]}
        coupon?: ${payload.coupon}
  - name: shop-orders-order-viewed
";
        assert!(proposal.text.contains(expected), "{}", proposal.text);
    }

    #[test]
    fn what_has_no_keys_to_rely_on_is_copied_whole() {
        for payloads in [
            vec![json!("text"), json!("more")],
            vec![json!([1]), json!({"a": 1})],
            vec![json!({"$odd?": 1, "${x}": 2})],
            vec![json!({})],
            vec![json!({"type": "a b", "id": ""}), json!({"type": 5})],
        ] {
            let proposal = proposed(&payloads);
            assert_holds(&proposal);
            assert_eq!(proposal.mappings, 1);
        }
        assert!(proposed(&[json!({"$odd": 1})]).text.contains("data: ${payload}\n"));
    }

    #[test]
    fn tombstones_alone_say_nothing() {
        assert_eq!(propose(&[sample(0, Value::Null)], &asked()), Err(NoProposal::NoRecord));
    }

    #[test]
    fn words_are_found_whatever_the_habit() {
        for text in ["OrderPlaced", "order-placed", "order.placed", "ORDER_PLACED", "orderPlaced"] {
            assert_eq!(words(text), ["order", "placed"], "{text}");
        }
        assert!(words("...").is_empty());
    }

    fn any_payload() -> impl Strategy<Value = Value> {
        let key =
            prop_oneof!["[a-d]", "[ -~]{0,4}", Just("type".to_owned()), Just("id".to_owned()), Just("time".to_owned())];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            "[A-Za-z${}\"' ]{0,5}".prop_map(Value::from),
            Just(json!("2026-01-01T00:00:00Z")),
        ];
        leaf.prop_recursive(3, 16, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                proptest::collection::vec((key.clone(), inner), 0..5)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_the_records_hold_every_one_is_mapped(payloads in proptest::collection::vec(any_payload(), 1..6)) {
            prop_assume!(payloads.iter().any(|payload| !payload.is_null()));
            assert_holds(&proposed(&payloads));
        }
    }
}
