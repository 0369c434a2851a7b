//! The stations that take what others wrote, each as a function of bytes that may do anything but panic, hang, overflow
//! its stack or fill the memory.
//!
//! An input of several parts has a NUL between them, so that seeds can be written by hand. Whatever can be said about
//! the outcome beyond "it came back" is asserted: what is pure gives the same twice, a place in a text lies in it.

#![allow(unreachable_pub, reason = "for the fuzz targets it is another crate, for tests/corpus.rs a module")]

use hookline::catalogue::settings::Validate;
use hookline::catalogue::written::Events;
use hookline::config::Config;
use hookline::decode::decoding::{Compression, Decoding, Envelope, Names as Spelling};
use hookline::decode::format::Format;
use hookline::decode::schema::Schema;
use hookline::decode::schemas::Schemas;
use hookline::decode::{self, Undecoded};
use hookline::deliver::format;
use hookline::dryrun::suite;
use hookline::dryrun::written::Tests;
use hookline::expr::expression::Expression;
use hookline::expr::failure::Failure;
use hookline::expr::fragments::Fragments;
use hookline::expr::limits::{Budget, Limits, weigh};
use hookline::expr::mistake::Mistake;
use hookline::expr::scope::{Names, Scope};
use hookline::expr::secrets::Secrets;
use hookline::expr::template::Template;
use hookline::map::mapping::TopicSelector;
use hookline::map::written::Rules;
use hookline::map::{Mapped, Mappings};
use hookline::matching::cesql::Query;
use hookline::matching::cesql::value::Value as Attribute;
use hookline::model::event::{DomainEvent, IntegrationEvent};
use hookline::model::problem::Problems;
use hookline::model::quarantine::REASON;
use hookline::model::record::{Header, Origin, Record};
use hookline::model::schema::{Language, Reference, SchemaId, SchemaText};
use hookline::model::subscription::Format as Body;
use hookline::model::time::Timestamp;
use hookline::pipeline::Pipeline;
use hookline::yaml::{reader, report, writer};
use serde_json::{Map, Value};
use std::io;
use std::sync::{Arc, LazyLock};

/// Takes one input.
pub type Entry = fn(&[u8]);

/// All of them, by the name of their fuzz target.
pub const ENTRIES: [(&str, Entry); 10] = [
    ("avro", avro),
    ("cesql", cesql),
    ("cloudevents", cloudevents),
    ("config", config),
    ("expression", expression),
    ("frame", frame),
    ("mappings", mappings),
    ("protobuf", protobuf),
    ("template", template),
    ("yaml", yaml),
];

/// The most bytes of a record, as `limits.event_bytes` has them.
const EVENT_BYTES: u64 = 1 << 20;

/// An Avro schema, NUL, what it wrote.
pub fn avro(bytes: &[u8]) {
    let Some((schema, data)) = text_and_rest(bytes) else { return };
    let text = SchemaText { language: Language::Avro, text: schema.to_owned(), references: Vec::new() };
    if let Ok(schema) = Schema::compile(&text) {
        let decoding = Decoding { format: Format::Given(Arc::new(schema)), ..Decoding::default() };
        decoded(&decoding, &record(Vec::new(), Some(data)), &Schemas::default());
    }
}

/// A `.proto` file, NUL, what stands behind the number of its schema: message indexes, then a message.
pub fn protobuf(bytes: &[u8]) {
    let Some((file, rest)) = text_and_rest(bytes) else { return };
    let (schemas, id) = (Schemas::default(), SchemaId::Number(1));
    let text = SchemaText { language: Language::Protobuf, text: file.to_owned(), references: Vec::new() };
    if schemas.learn(id, &text).is_ok() {
        let value = [&[0, 0, 0, 0, 1], rest].concat();
        let decoding = Decoding { format: Format::Registered(Language::Protobuf), ..Decoding::default() };
        decoded(&decoding, &record(Vec::new(), Some(&value)), &schemas);
    }
}

/// A record as a topic of a registry has it: a byte that says how it is decoded, the length of the header that names its
/// schema (0: none), the header, the value. The schemas are those of the fixture.
pub fn frame(bytes: &[u8]) {
    static SCHEMAS: LazyLock<Schemas> = LazyLock::new(fixture);
    let [how, length, rest @ ..] = bytes else { return };
    let Some((header, value)) = rest.split_at_checked((*length).into()) else { return };
    let language = Language::ALL[usize::from(how & 3) % Language::ALL.len()];
    let decoding = Decoding {
        format: Format::Registered(language),
        envelope: if how & 4 == 0 { Envelope::None } else { Envelope::Debezium },
        compression: if how & 8 == 0 { Compression::None } else { Compression::Auto },
        ..Decoding::default()
    };
    let named = |name: &str| Header { name: name.to_owned(), value: Some(header.to_vec().into()) };
    let headers =
        if header.is_empty() { Vec::new() } else { vec![named("__value_schema_id"), named("__key_schema_id")] };
    let record = Record { key: Some(value.to_vec().into()), ..record(headers, Some(value)) };
    decoded(&decoding, &record, &SCHEMAS);
}

/// Headers as HTTP writes them, an empty line, the value; without that line a tombstone. What it becomes is mapped
/// and written in every format.
pub fn cloudevents(bytes: &[u8]) {
    static MAPPINGS: LazyLock<Mappings> = LazyLock::new(|| {
        let every = "mappings: [{ name: all, from: t, emit: { type: '${ce.?type.orValue(\"t\")}', subject: '${ce.?subject}', \
                     source: '${ce.?source.orValue(\"/s\")}', extensions: { ext: '${ce.?ext}' }, data: '${payload}' } }]";
        let mut problems = Problems::default();
        let mut rules = Rules::default();
        rules.add_file(&reader::read(&"m".into(), every).expect("the mapping above is YAML"), &mut problems);
        let mappings = rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        mappings
    });
    let end = bytes.windows(2).position(|two| two == b"\n\n");
    let (head, value) = end.map_or((bytes, None), |end| (&bytes[..end], Some(&bytes[end + 2..])));
    let lines = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.windows(2).position(|two| two == b": ")?;
        let name = std::str::from_utf8(&line[..colon]).ok()?.to_owned();
        Some(Header { name, value: Some(line[colon + 2..].to_vec().into()) })
    });
    let record = record(lines.collect(), value);
    for names in [Spelling::Exact, Spelling::AnyCase] {
        let decoding = Decoding { format: Format::CloudEvents, names, ..Decoding::default() };
        for mapped in MAPPINGS.map("t", &decoded(&decoding, &record, &Schemas::default())) {
            for event in made(mapped) {
                for body in Body::ALL {
                    drop(format::render(body, &event));
                    format::add_headers(body, &event, &mut http::HeaderMap::new());
                }
            }
        }
    }
}

/// A CEL expression; NUL and the payload that it runs over, when not the usual one.
pub fn expression(bytes: &[u8]) {
    let Some((source, payload)) = text_and_rest(bytes) else { return };
    match Expression::compile(source, &names()) {
        Err(mistake) => placed(&mistake, source),
        Ok(expression) => {
            let payload = payload_of(payload);
            let mut scope = Scope::new();
            scope.bind("payload", &payload);
            bounded(|budget| expression.eval(&scope, budget));
        }
    }
}

/// A template in JSON; NUL and the payload that it is rendered over, when not the usual one.
pub fn template(bytes: &[u8]) {
    let Some((written, payload)) = text_and_rest(bytes) else { return };
    let Ok(written) = serde_json::from_str(written) else { return };
    let fragments = Fragments::new(names(), [("id".to_owned(), Value::from("${payload.id}"))].into());
    if let Ok(template) = Template::compile(&written, &names(), &fragments) {
        let payload = payload_of(payload);
        let mut scope = Scope::new();
        scope.bind("payload", &payload);
        bounded(|budget| template.render(&scope, budget));
    }
}

/// A CESQL expression; NUL and the text of the attribute `t`.
pub fn cesql(bytes: &[u8]) {
    let Some((source, text)) = text_and_rest(bytes) else { return };
    let text = String::from_utf8_lossy(text);
    let attribute = |name: &str| match name {
        "t" => Some(Attribute::Text(text.clone().into_owned())),
        "n" => Some(Attribute::Integer(i32::MIN)),
        "b" => Some(Attribute::Boolean(true)),
        _ => None,
    };
    match Query::compile(source) {
        Err(mistake) => placed(&mistake, source),
        Ok(query) => assert_eq!(query.value(&attribute), query.value(&attribute)),
    }
}

/// A YAML document: read, told of when it is wrong, and written again when it is right.
pub fn yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match reader::read(&"f".into(), text) {
        Err(problems) => drop(report::report(&problems, &|_| Some(text.to_owned()))),
        Ok(node) => {
            let value = node.to_json();
            let written = writer::block(&value, 0);
            // Aliases are written out, which may take more than a file may have.
            if written.len() <= reader::MAX_BYTES {
                assert_eq!(reader::read(&"g".into(), &written).map(|node| node.to_json()), Ok(value));
            }
        }
    }
}

/// A mapping file; when nothing is wrong with it, its tests are run and its mappings map a record.
pub fn mappings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(node) = reader::read(&"f".into(), text) else { return };
    let (mut rules, mut events, mut tests) = (Rules::knowing(Secrets::Unread), Events::default(), Tests::default());
    let mut problems = Problems::default();
    let no_files = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
    rules.add_file(&node, &mut problems);
    events.add_file(&node, &mut problems);
    tests.add_file(&node, &no_files, &mut problems);
    let rules = rules.finish(&mut problems);
    if !problems.is_empty() {
        drop(report::report(&problems, &|_| Some(text.to_owned())));
        return;
    }
    let topic = rules.topics().iter().find_map(|selector| match selector {
        TopicSelector::Name(name) => Some(name.clone()),
        TopicSelector::Pattern(_) => None,
    });
    let pipeline = Pipeline::new(rules, Vec::new(), EVENT_BYTES).publishing(events.finish(), Validate::All);
    drop(suite::run(&pipeline, &tests.finish()).problems());
    let record = record(Vec::new(), None);
    let event = DomainEvent::plain(&record, payload_of(b""));
    for mapped in topic.map(|topic| pipeline.rules().map(&topic, &[event])).into_iter().flatten() {
        made(mapped).iter().for_each(|event| drop(pipeline.judge(event)));
    }
}

/// A configuration file, in a folder of its own.
pub fn config(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a machine that tests has a folder for that");
    let file = folder.path().join("hookline.yaml");
    std::fs::write(&file, bytes).expect("the folder was just made");
    match Config::load(&file, &[]) {
        Ok(config) => drop(format!("{config:?}")),
        Err(error) => drop(error.report()),
    }
}

/// The events of a record, which are the same when it is decoded again.
fn decoded<'r>(decoding: &Decoding, record: &'r Record, schemas: &Schemas) -> Vec<DomainEvent<'r>> {
    let decode = || decode::decode(decoding, record, schemas, EVENT_BYTES);
    let told = |events: &Vec<DomainEvent<'_>>| events.iter().map(|event| event.payload.to_string()).collect::<Vec<_>>();
    let (events, again) = (decode(), decode());
    assert_eq!(events.as_ref().map(told), again.as_ref().map(told));
    if let Err(Undecoded::Fault(fault)) = &events {
        assert!(fault.detail.len() <= REASON, "{} bytes of reason", fault.detail.len());
    }
    events.unwrap_or_default()
}

/// The events that a mapping made, or none when it told why not.
fn made(mapped: Mapped) -> Vec<IntegrationEvent> {
    if let Err(fault) = &mapped.result {
        assert!(fault.detail.len() <= REASON, "{} bytes of reason", fault.detail.len());
    }
    mapped.result.unwrap_or_default()
}

/// Runs `what` twice within the limits of a record.
fn bounded(what: impl Fn(&mut Budget) -> Result<Value, Failure>) {
    let limits = Limits::default();
    let run = || what(&mut Budget::new(&limits)).map(|value| (weigh(&value), value.to_string()));
    let given = run();
    assert_eq!(given, run(), "it gives something else the second time");
    match given {
        Ok((weight, _)) => assert!(weight as u64 <= limits.output_bytes, "{weight} bytes of output"),
        Err(failure) => assert!(failure.what.len() <= REASON, "{} bytes of reason", failure.what.len()),
    }
}

fn placed(mistake: &Mistake, source: &str) {
    assert!(mistake.at.is_none_or(|at| at <= source.chars().count()), "{mistake} is placed behind `{source}`");
}

fn names() -> Names {
    Names::new(["payload"]).knowing(Secrets::Unread)
}

/// The text before the first NUL, and what stands behind it.
fn text_and_rest(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Some((std::str::from_utf8(&bytes[..end]).ok()?, bytes.get(end + 1..).unwrap_or_default()))
}

/// The payload in `bytes`; one with something of each kind, when there is none.
fn payload_of(bytes: &[u8]) -> Value {
    const USUAL: &str = r#"{"id":"o-1","n":7,"big":12345678901234567890.10,"none":null,"ok":true,"at":"2026-01-31T10:30:00Z",
        "lines":[{"sku":"a","qty":2,"price":9.50},{"sku":"b","qty":0,"price":1}],"m":{"b":2,"a":1},"t":"Hé llo"}"#;
    serde_json::from_slice(bytes).unwrap_or_else(|_| serde_json::from_str(USUAL).expect("it is written above"))
}

fn record(headers: Vec<Header>, value: Option<&[u8]>) -> Record {
    let origin = Origin { topic: "t".into(), partition: 0, offset: 7, timestamp: Timestamp::from_millis(0) };
    Record { origin, key: None, headers, value: value.map(|value| value.to_vec().into()) }
}

/// The schemas that the official clients registered.
fn fixture() -> Schemas {
    let held: Value = serde_json::from_str(include_str!("../../tests/fixtures/registry/frames.json")).expect("JSON");
    let held = held["schemas"].as_array().expect("a list of schemas");
    let text = |schema: &Map<String, Value>, key: &str| schema[key].as_str().unwrap_or_default().to_owned();
    let schemas = Schemas::default();
    for schema in held.iter().filter_map(Value::as_object) {
        let language = match schema["schemaType"].as_str() {
            Some("AVRO") => Language::Avro,
            Some("PROTOBUF") => Language::Protobuf,
            _ => Language::JsonSchema,
        };
        let references = schema["references"].as_array().into_iter().flatten().filter_map(Value::as_object);
        let references = references.filter_map(|reference| {
            let same = |one: &&Value| one["subject"] == reference["subject"] && one["version"] == reference["version"];
            let found = held.iter().find(same)?.as_object()?;
            Some(Reference { name: text(reference, "name"), text: text(found, "schema") })
        });
        let schema_text = SchemaText { language, text: text(schema, "schema"), references: references.collect() };
        let id = schema["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("a number");
        schemas.learn(SchemaId::Number(id), &schema_text).expect("the official clients could use it");
    }
    schemas
}
