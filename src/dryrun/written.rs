//! `tests:` of mapping files as their authors wrote it, read with all its mistakes.
//!
//! A test is a record and what becomes of it. `payload` and `payload_file` are what a decoder would give, `value` is the
//! record's text as Kafka holds it. Of an expected event what is written counts, and `data` as a whole.

use crate::dryrun::suite::{ATTRIBUTES, Brought, Expected, Test};
use crate::model::problem::Problems;
use crate::model::record::{Header, Origin, Record};
use crate::model::time::Timestamp;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Node};
use bytes::Bytes;
use serde_json::Value;
use std::io;
use std::path::Path;

/// The tests of all files.
#[derive(Debug, Default)]
pub struct Tests(Vec<Test>);

/// Reads the text of a file that a test names.
pub type Read<'r> = &'r dyn Fn(&Path) -> io::Result<String>;

/// When a test's record was written, where it does not say: always the same, so that a test has one outcome.
pub const WRITTEN_AT: &str = "2026-01-01T00:00:00Z";

// === impl Tests ===

impl Tests {
    /// Takes over the `tests` of a whole mapping file; `read` gets files that they name, by their path.
    pub fn add_file(&mut self, node: &Node, read: Read<'_>, problems: &mut Problems) {
        let Some(tests) = node.get("tests").filter(|tests| !tests.is_null()) else { return };
        for field in Field::new(tests, "tests").list(problems).unwrap_or_default() {
            self.0.extend(test(&field, read, problems));
        }
    }

    /// Ends the reading of files.
    #[must_use]
    pub fn finish(self) -> Vec<Test> {
        self.0
    }
}

fn test(field: &Field<'_>, read: Read<'_>, problems: &mut Problems) -> Option<Test> {
    let mut fields = Fields::of(field, problems)?;
    let name = fields.required("name", problems).and_then(|field| field.string(problems));
    let record = fields.required("record", problems).and_then(|field| record(&field, read, problems));
    let expect = fields.optional("expect").map(|field| expect(&field, problems));
    let fails = fields.optional("fails").map(|field| field.string(problems));
    fields.finish(problems);
    if expect.is_none() && fails.is_none() {
        let hint = "Say with `expect` which events it becomes ([] for none), or with `fails` why it cannot be mapped";
        field.problem(problems, "expects nothing", hint);
        return None;
    }
    let ((record, brought), expect, fails) = (record?, open(expect)?, open(fails)?);
    let (place, path) = (field.node.place.clone(), field.path.clone());
    Some(Test { name: name?, place, path, record, brought, expect, fails })
}

/// What is absent is fine; what is there and wrong is not.
#[allow(clippy::option_option, reason = "the one place that takes the two meanings apart")]
fn open<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// Reads a record as a test has it.
pub fn record(field: &Field<'_>, read: Read<'_>, problems: &mut Problems) -> Option<(Record, Brought)> {
    let mut fields = Fields::of(field, problems)?;
    let topic = fields.required("topic", problems).and_then(|field| field.string(problems));
    let key = fields.optional("key").map(|field| field.string(problems));
    let headers = fields.optional("headers").map(|field| headers(&field, problems));
    let whole = |field: Field<'_>, problems: &mut Problems| field.integer(0..=i64::MAX.unsigned_abs(), problems);
    let partition = fields.optional("partition").and_then(|field| whole(field, problems)).unwrap_or_default();
    let offset = fields.optional("offset").and_then(|field| whole(field, problems)).unwrap_or_default();
    let timestamp = fields.optional("timestamp").map(|field| time(&field, problems));
    let sources = [fields.present("payload"), fields.present("payload_file"), fields.present("value")];
    fields.finish(problems);
    let brought = match &sources {
        [Some(payload), None, None] => Some((payload_of(payload.node.to_json()), Brought::Payload)),
        [None, Some(file), None] => from_file(file, read, problems).map(|value| (payload_of(value), Brought::Payload)),
        [None, None, Some(value)] => value.string(problems).map(|text| (Some(text.into()), Brought::Value)),
        _ => {
            field.problem(
                problems,
                "needs one of `payload`, `payload_file` and `value`",
                "A tombstone is `payload: null`",
            );
            None
        }
    };
    let (value, brought) = brought?;
    let origin = Origin {
        topic: topic?.into(),
        partition: i32::try_from(partition).unwrap_or(i32::MAX),
        offset: i64::try_from(offset).unwrap_or(i64::MAX),
        timestamp: open(timestamp)?.or(Timestamp::parse(WRITTEN_AT)).expect("it is written as RFC 3339 says"),
    };
    let (key, headers) = (open(key)?.map(Bytes::from), open(headers)?.unwrap_or_default());
    Some((Record { origin, key, headers, value }, brought))
}

/// What stands for a payload in a record; null is a tombstone.
fn payload_of(payload: Value) -> Option<Bytes> {
    (!payload.is_null()).then(|| payload.to_string().into())
}

fn from_file(field: &Field<'_>, read: Read<'_>, problems: &mut Problems) -> Option<Value> {
    let path = field.text(problems)?;
    // Relative to the file that names it, so that tests move together with their mappings.
    let beside = Path::new(&*field.node.place.file).parent().unwrap_or(Path::new(""));
    let read = read(&beside.join(path)).map_err(|error| format!("{path} cannot be read: {error}"));
    let value = read.and_then(|text| {
        serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|error| format!("{path} is not JSON: {error}"))
    });
    value.map_err(|what| field.problem(problems, what, "Paths are relative to the mapping file")).ok()
}

fn headers(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<Header>> {
    let entries = field.entries(problems)?;
    let headers = entries.into_iter().map(|(entry, field)| {
        let value = if field.node.is_null() { None } else { Some(Bytes::from(field.string(problems)?)) };
        Some(Header { name: entry.key.clone(), value })
    });
    headers.collect::<Vec<_>>().into_iter().collect()
}

fn time(field: &Field<'_>, problems: &mut Problems) -> Option<Timestamp> {
    let time = Timestamp::parse(field.text(problems)?);
    if time.is_none() {
        field.problem(problems, "is no time", "Write it like 2026-01-01T00:00:00Z");
    }
    time
}

fn expect(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<Expected>> {
    let fields = field.list(problems)?;
    fields.iter().map(|field| expected(field, problems)).collect::<Vec<_>>().into_iter().collect()
}

fn expected(field: &Field<'_>, problems: &mut Problems) -> Option<Expected> {
    let mut fields = Fields::of(field, problems)?;
    let (mut written, mut whole) = (Vec::new(), true);
    for name in ATTRIBUTES {
        let Some(field) = fields.present(name) else { continue };
        let value = match (&field.node.data, name) {
            (Data::Null, _) => Some(Value::Null),
            (_, "time") => time(&field, problems).map(|time| Value::String(time.to_string())),
            _ => field.string(problems).map(Value::String),
        };
        whole &= value.is_some();
        written.extend(value.map(|value| (name, value)));
    }
    let data = fields.present("data").map(|field| ("data", field.node.to_json()));
    fields.finish(problems);
    whole.then(|| Expected(written.into_iter().chain(data).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::reader;
    use serde_json::json;

    fn read(text: &str) -> (Vec<Test>, Vec<String>) {
        let file = |path: &Path| match path.to_str() {
            Some("rules/order.json") => Ok(r#"{"id": 12345678901234567890.10}"#.to_owned()),
            Some("rules/broken.json") => Ok("{".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let (mut tests, mut problems) = (Tests::default(), Problems::default());
        tests.add_file(&reader::read(&"rules/m.yaml".into(), text).unwrap(), &file, &mut problems);
        (tests.finish(), problems.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_test_is_a_record_and_what_becomes_of_it() {
        let text = "\
tests:
  - name: all of it
    record:
      topic: shop.orders
      key: o-1
      headers: { source: web, empty: null }
      partition: 3
      offset: 7
      timestamp: 2026-02-01T00:00:00+01:00
      payload: { total: 10.10 }
    expect:
      - { type: a, subject: null, time: '2026-01-01T01:00:00+01:00', data: { b: 1 } }
  - { name: from a file, record: { topic: t, payload_file: order.json }, expect: [] }
  - { name: as in kafka, record: { topic: t, value: '{\"a\":' }, fails: not JSON }
  - { name: a tombstone, record: { topic: t, payload: null }, expect: [{ type: gone }] }
";
        let (tests, problems) = read(text);
        assert_eq!(problems, [""; 0]);
        let record = &tests[0].record;
        assert_eq!((&*record.origin.topic, record.origin.partition, record.origin.offset), ("shop.orders", 3, 7));
        assert_eq!(record.origin.timestamp.to_string(), "2026-01-31T23:00:00.000Z");
        assert_eq!(record.headers[1], Header { name: "empty".into(), value: None });
        assert_eq!(record.value.as_deref(), Some(&br#"{"total":10.10}"#[..]));
        let expected = [("type", json!("a")), ("subject", json!(null)), ("time", json!("2026-01-01T00:00:00.000Z"))];
        assert_eq!(tests[0].expect.as_ref().unwrap()[0].0, [&expected[..], &[("data", json!({"b": 1}))]].concat());
        assert_eq!((tests[0].path.as_str(), tests[0].place.line), ("tests[0]", 2));
        assert_eq!(tests[1].record.value.as_deref(), Some(&br#"{"id":12345678901234567890.10}"#[..]));
        assert_eq!(tests[1].record.origin.timestamp, Timestamp::parse(WRITTEN_AT).unwrap());
        assert_eq!((tests[2].brought, tests[2].fails.as_deref()), (Brought::Value, Some("not JSON")));
        assert_eq!(tests[3].record.value, None);
    }

    #[test]
    fn each_mistake_is_told_where_it_stands() {
        let text = "\
tests:
  - name: a
    record: { topic: t, payload: 1, value: x }
    expect: []
  - record: { payload_file: absent.json, tpic: t }
    expct: []
  - name: c
    record: { topic: t, payload_file: broken.json, timestamp: soon, headers: { a: 1 } }
    expect:
      - { type: 5, time: soon, dta: {} }
";
        let (tests, problems) = read(text);
        let expected = [
            "rules/m.yaml:3:13: tests[0].record: needs one of `payload`, `payload_file` and `value`",
            "rules/m.yaml:5:5: tests[1].name: is missing",
            "rules/m.yaml:5:13: tests[1].record.topic: is missing",
            "rules/m.yaml:5:42: tests[1].record.tpic: is not a known key. Did you mean `topic`?",
            "rules/m.yaml:5:29: tests[1].record.payload_file: absent.json cannot be read",
            "rules/m.yaml:6:5: tests[1].expct: is not a known key. Did you mean `expect`?",
            "rules/m.yaml:5:5: tests[1]: expects nothing. Say with `expect`",
            "rules/m.yaml:8:39: tests[2].record.payload_file: broken.json is not JSON",
            "rules/m.yaml:8:63: tests[2].record.timestamp: is no time",
            "rules/m.yaml:8:83: tests[2].record.headers.a: must be a string, not `1`. Quote it",
            "rules/m.yaml:10:17: tests[2].expect[0].type: must be a string, not `5`. Quote it",
            "rules/m.yaml:10:26: tests[2].expect[0].time: is no time",
            "rules/m.yaml:10:32: tests[2].expect[0].dta: is not a known key. Did you mean `data`?",
        ];
        for expected in expected {
            assert!(problems.iter().any(|found| found.starts_with(expected)), "{expected}\n{problems:#?}");
        }
        assert_eq!((problems.len(), tests.len()), (expected.len(), 0), "{problems:#?}");
    }
}
