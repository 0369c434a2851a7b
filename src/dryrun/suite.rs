//! The tests beside the mappings: each record passes through the rules, and what it becomes is held against what its
//! test expects, and against the catalogue.
//!
//! Pure: takes a [`Pipeline`] and tests, gives a [`Report`]; whoever loads rules may ask it before they come into force.

use crate::catalogue::published::Verdict;
use crate::catalogue::schema::Misfit;
use crate::decode::decoding::Decoding;
use crate::dryrun::diff::{self, Difference};
use crate::dryrun::explain;
use crate::expr::mistake::{did_you_mean, join};
use crate::map::mapping::OnError;
use crate::model::event::IntegrationEvent;
use crate::model::problem::{Place, Problems};
use crate::model::quarantine::Fault;
use crate::model::record::Record;
use crate::pipeline::Pipeline;
use serde_json::{Map, Value};
use std::fmt;

/// A test.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it promises.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Its path in that file: `tests[3]`.
    pub path: String,
    /// What comes in.
    pub record: Record,
    /// What the record's value is.
    pub brought: Brought,
    /// The events that come out, when they matter.
    pub expect: Option<Vec<Expected>>,
    /// Words of the reason for which it cannot be mapped.
    pub fails: Option<String>,
}

/// What the value of a test's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// JSON as a decoder gives it, whatever the format of the topic.
    Payload,
    /// What Kafka holds, in the format of the topic.
    Value,
}

/// What is expected of an event: attributes and `data` by their names; null: it has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected(pub Vec<(&'static str, Value)>);

/// The attributes that an expected event may name, besides `data`.
pub const ATTRIBUTES: [&str; 6] = ["type", "source", "subject", "time", "tenant", "key"];

/// What came of all tests, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Report(pub Vec<Ran>);

/// What came of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// Its path in that file.
    pub path: String,
    /// Why it failed; empty when it passed.
    pub failures: Vec<Failure>,
    /// What to write as its `expect` to make it pass; `None` when that would not, or need not.
    pub becomes: Option<Value>,
}

/// One reason why a test failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// No mapping reads its topic, so that it says nothing.
    Unread {
        /// The topic.
        topic: String,
        /// What may have been meant.
        hint: String,
    },
    /// The record cannot be decoded or mapped.
    Fault(Fault),
    /// It can, and should not.
    NoFault(String),
    /// An event is not as expected.
    Differs(Difference),
    /// An event's data does not fit the schema of its type.
    Misfit {
        /// Where in the events.
        path: String,
        /// The type.
        event_type: String,
        /// What is wrong.
        what: String,
    },
}

/// Runs all tests.
#[must_use]
pub fn run(pipeline: &Pipeline, tests: &[Test]) -> Report {
    Report(tests.iter().map(|test| one(pipeline, test)).collect())
}

fn one(pipeline: &Pipeline, test: &Test) -> Ran {
    let (events, faults) = made(pipeline, test);
    let mut failures: Vec<Failure> = unread(pipeline, &test.record.origin.topic).into_iter().collect();
    let wanted = |fault: &Fault| test.fails.as_ref().is_some_and(|words| told(fault).contains(words.as_str()));
    if let Some(words) = test.fails.as_ref().filter(|_| !faults.iter().any(|(fault, _)| wanted(fault))) {
        failures.push(Failure::NoFault(words.clone()));
    }
    // What a mapping drops when it fails is no event, as its author decided.
    let faults = faults.into_iter().filter(|(fault, on_error)| *on_error != OnError::Drop && !wanted(fault));
    failures.extend(faults.map(|(fault, _)| Failure::Fault(fault)));
    let sound = failures.is_empty();
    let differences = test.expect.as_ref().map_or(Vec::new(), |expected| differences(expected, &events));
    let becomes = test.expect.as_ref().filter(|_| sound && !differences.is_empty());
    let becomes = becomes.map(|expected| rewritten(expected, &events));
    failures.extend(differences.into_iter().map(Failure::Differs));
    for (at, event) in events.iter().enumerate() {
        failures.extend(misfits(pipeline, event, at));
    }
    Ran { name: test.name.clone(), place: test.place.clone(), path: test.path.clone(), failures, becomes }
}

/// What the record becomes, and what fails on it.
fn made(pipeline: &Pipeline, test: &Test) -> (Vec<IntegrationEvent>, Vec<(Fault, OnError)>) {
    let mapped = match test.brought {
        Brought::Payload => pipeline.mapped_as(&Decoding::default(), &test.record),
        Brought::Value => pipeline.mapped(&test.record),
    };
    let mapped = match mapped {
        Ok(mapped) => mapped,
        Err(undecoded) => return (Vec::new(), vec![(explain::fault(undecoded), OnError::Quarantine)]),
    };
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    for mapped in mapped {
        match mapped.result {
            Ok(made) => events.extend(made),
            Err(fault) => faults.push((fault, mapped.on_error)),
        }
    }
    (events, faults)
}

fn unread(pipeline: &Pipeline, topic: &str) -> Option<Failure> {
    let known = pipeline.topics(&[]);
    let hint = || match did_you_mean(topic, known.iter().map(String::as_str)) {
        Some(hint) => hint,
        None => format!("read are {}", known.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    (!pipeline.reads(topic)).then(|| Failure::Unread { topic: topic.to_owned(), hint: hint() })
}

fn differences(expected: &[Expected], events: &[IntegrationEvent]) -> Vec<Difference> {
    let mut found = Vec::new();
    for at in 0..expected.len().max(events.len()) {
        let path = format!("expect[{at}]");
        match (expected.get(at), events.get(at)) {
            (Some(Expected(fields)), Some(event)) => {
                for (name, wanted) in fields {
                    found.extend(diff::differences(wanted, &field(event, name), &join(&path, name)));
                }
            }
            (Some(expected), None) => {
                found.push(Difference { path, expected: Some(expected.to_json()), got: None });
            }
            (None, event) => found.push(Difference { path, expected: None, got: event.map(expectation) }),
        }
    }
    found
}

fn misfits(pipeline: &Pipeline, event: &IntegrationEvent, at: usize) -> Vec<Failure> {
    let misfits = match pipeline.catalogue().judge(&event.event_type, &event.data) {
        Verdict::Unknown | Verdict::Fits => return Vec::new(),
        Verdict::Misfits(misfits) => misfits,
    };
    let failure = |misfit: Misfit| Failure::Misfit {
        path: join(&format!("events[{at}].data"), &misfit.path),
        event_type: event.event_type.to_string(),
        what: misfit.what,
    };
    misfits.into_iter().map(failure).collect()
}

/// What a test would write to expect these events, each with what is expected of it now.
fn rewritten(expected: &[Expected], events: &[IntegrationEvent]) -> Value {
    let one = |(at, event): (usize, &IntegrationEvent)| match expected.get(at) {
        Some(Expected(fields)) if !fields.is_empty() => {
            Expected(fields.iter().map(|(name, _)| (*name, field(event, name))).collect()).to_json()
        }
        Some(_) | None => expectation(event),
    };
    events.iter().enumerate().map(one).collect()
}

/// What a test would write to expect this event.
#[must_use]
pub fn expectation(event: &IntegrationEvent) -> Value {
    let fields = ["type", "subject", "tenant"].map(|name| (name, field(event, name)));
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Expected(fields.chain([("data", event.data.clone())]).collect()).to_json()
}

/// An attribute of an event, or its data, as a test writes it.
fn field(event: &IntegrationEvent, name: &str) -> Value {
    let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::String);
    match name {
        "type" => Value::String(event.event_type.to_string()),
        "source" => Value::String(event.source.to_string()),
        "subject" => optional(&event.subject),
        "time" => Value::String(event.time.to_string()),
        "tenant" => optional(&event.tenant),
        "key" => optional(&event.key),
        _ => event.data.clone(),
    }
}

/// A fault in one line.
fn told(fault: &Fault) -> String {
    let parts = [fault.mapping.as_deref(), fault.field.as_deref(), Some(fault.detail.as_str())];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

// === impl Expected ===

impl Expected {
    fn to_json(&self) -> Value {
        Value::Object(self.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>())
    }
}

// === impl Ran ===

impl Ran {
    /// Whether it went as it should.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

// === impl Report ===

impl Report {
    /// Whether every test went as it should.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.0.iter().all(Ran::passed)
    }

    /// How many failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.0.iter().filter(|ran| !ran.passed()).count()
    }

    /// What failed, as mistakes at the places of the tests.
    #[must_use]
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        for ran in self.0.iter().filter(|ran| !ran.passed()) {
            for failure in &ran.failures {
                let failure = failure.to_string().lines().map(str::trim).collect::<Vec<_>>().join(", ");
                problems.add(&ran.place, ran.path.clone(), format!("the test `{}` fails: {failure}", ran.name), "");
            }
        }
        problems
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { topic, hint } => write!(f, "no mapping reads the topic `{topic}`: {hint}"),
            Self::Fault(fault) => {
                write!(f, "the record cannot be mapped: {}", told(fault))?;
                fault.expression.as_ref().map_or(Ok(()), |source| write!(f, "\n  in {source}"))
            }
            Self::NoFault(words) => write!(f, "no mapping fails with `{words}`"),
            Self::Differs(difference) => difference.fmt(f),
            Self::Misfit { path, event_type, what } => {
                write!(f, "{path}: does not fit the schema of {event_type}: {what}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::written::Events;
    use crate::decode::format::Format;
    use crate::dryrun::written::Tests;
    use crate::map::mapping::TopicSelector;
    use crate::map::written::Rules;
    use crate::yaml::reader;
    use serde_json::json;

    const RULES: &str = "
mappings:
  - name: placed
    from: shop.orders
    when: payload.type == 'OrderPlaced'
    emit: { type: com.acme.placed, subject: '${payload.id}', data: { total: '${payload.total}', note?: '${payload.note}' } }
  - name: lines
    from: shop.orders
    on_error: drop
    each: payload.lines
    emit: { type: com.acme.line, key: '${index}', data: '${item}' }
events:
  com.acme.placed: { schema: { properties: { total: { type: number } } } }
";

    fn ran(tests: &str) -> Report {
        let node = reader::read(&"m.yaml".into(), &format!("{RULES}tests:\n{tests}")).unwrap();
        let (mut rules, mut events, mut tests) = (Rules::default(), Events::default(), Tests::default());
        let mut problems = Problems::default();
        rules.add_file(&node, &mut problems);
        events.add_file(&node, &mut problems);
        tests.add_file(&node, &|_| unreachable!("no test names a file"), &mut problems);
        let mappings = rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        let formats = vec![(
            TopicSelector::parse("shop.orders").unwrap(),
            Decoding { format: Format::Text, ..Decoding::default() },
        )];
        let pipeline = Pipeline::new(mappings, formats, 1 << 20).publishing(events.finish(), Default::default());
        run(&pipeline, &tests.finish())
    }

    /// What is told of one test.
    fn told(record: &str, expect: &str) -> Vec<String> {
        let report = ran(&format!("  - {{ name: it, record: {{ topic: shop.orders, {record} }}, {expect} }}\n"));
        report.0[0].failures.iter().map(ToString::to_string).collect()
    }

    const PLACED: &str = "payload: { type: OrderPlaced, id: o-1, total: 10.10, lines: [1] }";

    #[test]
    fn what_is_written_of_an_event_counts_and_nothing_else() {
        let whole = "expect: [{ type: com.acme.placed, subject: o-1, tenant: null, data: { total: 10.1 } }, { key: '0', data: 1 }]";
        assert_eq!(told(PLACED, whole), [""; 0]);
        assert_eq!(told(PLACED, "expect: [{}, {}]"), [""; 0]);
        assert_eq!(told("payload: { type: Other, lines: [] }", "expect: []"), [""; 0]);
        assert_eq!(told("payload: { type: Other }", "expect: []"), [""; 0], "what is dropped is no event");
    }

    #[test]
    fn each_difference_is_told_by_its_path() {
        let expect =
            "expect: [{ type: com.acme.placd, subject: null, data: { total: 9, note: x } }, { data: 1 }, { data: 2 }]";
        let expected = [
            "expect[0].type: differs\n  expected \"com.acme.placd\"\n  got      \"com.acme.placed\"",
            "expect[0].subject: differs\n  expected null\n  got      \"o-1\"",
            "expect[0].data.total: differs\n  expected 9\n  got      10.10",
            "expect[0].data.note: is missing\n  expected \"x\"",
            "expect[2]: is missing\n  expected {\"data\":2}",
        ];
        assert_eq!(told(PLACED, expect), expected);
        let more = told(PLACED, "expect: [{}]");
        assert_eq!(more, ["expect[1]: is not expected\n  got      {\"type\":\"com.acme.line\",\"data\":1}"]);
    }

    #[test]
    fn a_record_that_cannot_be_mapped_fails_its_test_unless_that_is_expected() {
        let record = "payload: { type: OrderPlaced, id: o-1, lines: [] }";
        let [failure] = &told(record, "expect: []")[..] else { panic!("one failure") };
        assert!(failure.starts_with("the record cannot be mapped: placed: emit.data.total: no such key"), "{failure}");
        assert!(failure.ends_with("\n  in payload.total"), "{failure}");
        assert_eq!(told(record, "fails: no such key `total`"), [""; 0]);
        assert_eq!(told(PLACED, "fails: no such key"), ["no mapping fails with `no such key`"]);
        assert_eq!(told(record, "fails: no such planet").len(), 2, "the words and the fault");
        assert_eq!(told("payload: { type: Other }", "fails: no such key `lines`"), [""; 0], "dropped ones fail, too");
    }

    #[test]
    fn data_is_held_against_the_schema_of_its_type() {
        let record = "payload: { type: OrderPlaced, id: o-1, total: '10', lines: [] }";
        let expected =
            "events[0].data.total: does not fit the schema of com.acme.placed: \"10\" is not of type \"number\"";
        assert_eq!(told(record, "expect: [{ data: { total: '10' } }]"), [expected]);
    }

    #[test]
    fn a_payload_is_decoded_already_and_a_value_is_what_the_topic_holds() {
        // The topic holds text: the payload of a value is a string, which has no type.
        let [failure] = &told("value: '{\"type\": \"Other\", \"lines\": []}'", "expect: []")[..] else { panic!("one") };
        assert!(failure.contains("placed: when: "), "{failure}");
    }

    #[test]
    fn a_topic_that_nobody_reads_proves_nothing() {
        let report = ran("  - { name: it, record: { topic: shop.order, payload: {} }, expect: [] }\n");
        let expected = "no mapping reads the topic `shop.order`: did you mean `shop.orders`?";
        assert_eq!(report.0[0].failures[0].to_string(), expected);
        assert_eq!(report.0[0].becomes, None);
    }

    #[test]
    fn what_failed_is_a_mistake_at_the_place_of_its_test_and_says_what_would_pass() {
        let tests = format!(
            "  - {{ name: good, record: {{ topic: shop.orders, {PLACED} }}, expect: [{{}}, {{}}] }}
  - {{ name: bad, record: {{ topic: shop.orders, {PLACED} }}, expect: [{{ subject: x, time: '2026-01-01T00:00:00Z' }}] }}
"
        );
        let report = ran(&tests);
        assert!(!report.passed() && report.failed() == 1 && report.0[0].passed() && report.0[0].becomes.is_none());
        let problems = report.problems();
        let expected =
            "m.yaml:16:5: tests[1]: the test `bad` fails: expect[0].subject: differs, expected \"x\", got      \"o-1\"";
        assert_eq!(problems.0[0].to_string(), expected);
        let becomes =
            json!([{"subject": "o-1", "time": "2026-01-01T00:00:00.000Z"}, {"type": "com.acme.line", "data": 1}]);
        assert_eq!(report.0[1].becomes, Some(becomes));
    }
}
