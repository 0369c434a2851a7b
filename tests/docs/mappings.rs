//! docs/mappings.md: each mapping with its record gives the events that stand behind it, each expression its value.

use crate::blocks::{self, Block};
use crate::setting::{pipeline, record};
use hookline::expr::expression::Expression;
use hookline::expr::functions::{BUILT_IN, all};
use hookline::expr::limits::{Budget, Limits};
use hookline::expr::scope::{Names, Scope};
use hookline::expr::secrets::Secrets;
use hookline::model::event::IntegrationEvent;
use hookline::model::secret::Secret;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const PAGE: &str = "mappings.md";

/// The parts of an event that the page writes out, as it writes them.
fn told(event: &IntegrationEvent, wanted: &Map<String, Value>) -> Value {
    let extensions: Map<_, _> =
        event.extensions.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let part = |name: &str| match name {
        "type" => json!(&*event.event_type),
        "source" => json!(&*event.source),
        "subject" => json!(event.subject),
        "time" => json!(event.time.to_string()),
        "tenant" => json!(event.tenant),
        "key" => json!(event.key),
        "extensions" => Value::Object(extensions.clone()),
        "data" => event.data.clone(),
        other => panic!("an event has no {other}"),
    };
    Value::Object(wanted.keys().map(|name| (name.clone(), part(name))).collect())
}

/// The mapping, its record, the files beside it: what stands in front of a result.
#[derive(Default)]
pub(crate) struct Example<'b> {
    pub(crate) config: &'b str,
    pub(crate) mapping: &'b str,
    pub(crate) record: Value,
    pub(crate) files: Vec<(&'b str, &'b str)>,
}

/// Holds what becomes of an example against the block of `page` behind it.
pub(crate) fn judge(page: &str, example: &Example<'_>, wanted: &Block) {
    let at = format!("{page}:{}", wanted.line);
    let pipeline =
        pipeline(example.config, example.mapping, &example.files).unwrap_or_else(|told| panic!("{at}: {told}"));
    let passage = pipeline.pass(&record(&example.record));
    if wanted.kind == "text fault" {
        let told: Vec<_> = passage
            .faults
            .iter()
            .map(|fault| format!("{}: {}", fault.field.as_deref().unwrap_or_default(), fault.detail))
            .collect();
        assert_eq!(told, [wanted.text.trim()], "{at}");
        return;
    }
    assert!(passage.faults.is_empty(), "{at}: {:?}", passage.faults);
    let Value::Array(wanted) = wanted.json() else { panic!("{at}: a list of events") };
    assert_eq!(passage.events.len(), wanted.len(), "{at}");
    for (emitted, wanted) in passage.events.iter().zip(wanted) {
        // As text: numbers digit for digit, keys in their order.
        assert_eq!(told(&emitted.event, wanted.as_object().unwrap()).to_string(), wanted.to_string(), "{at}");
    }
}

#[test]
fn every_mapping_of_the_page_makes_the_events_that_stand_behind_it() {
    let blocks = blocks::of(PAGE);
    let (mut example, mut count) = (Example::default(), 0);
    for block in &blocks {
        match block.kind.as_str() {
            "yaml config" => example.config = &block.text,
            "yaml mapping" => example = Example { mapping: &block.text, config: example.config, ..Example::default() },
            "json record" => example.record = block.json(),
            "json events" | "text fault" => {
                judge(PAGE, &example, block);
                count += 1;
                example.config = "";
            }
            "json payload" | "cel" => {}
            _ => example.files.push((block.file().unwrap_or_else(|| panic!("{}", block.kind)), &block.text)),
        }
    }
    assert!(count >= 10, "{count} examples");
}

#[test]
fn every_function_has_an_example_on_the_page_and_gives_what_it_says() {
    let blocks = blocks::of(PAGE);
    let payload = blocks.iter().find(|block| block.kind == "json payload").unwrap().json();
    let secrets = [("partner".to_owned(), Secret::new("key"))].into();
    let names = Names::new(["payload"]).knowing(Secrets::Known(Arc::new(secrets)));
    let mut scope = Scope::new();
    scope.bind("payload", &payload);
    let mut examples = String::new();
    for block in blocks.iter().filter(|block| block.kind == "cel") {
        for (number, line) in block.text.lines().enumerate() {
            let at = format!("{PAGE}:{}", block.line + number + 1);
            let (source, wanted) = line.rsplit_once(" => ").unwrap_or_else(|| panic!("{at}: {line}"));
            let compiled = Expression::compile(source, &names).unwrap_or_else(|mistake| panic!("{at}: {mistake}"));
            let value = compiled.eval(&scope, &mut Budget::new(&Limits::default()));
            let value = value.unwrap_or_else(|failure| panic!("{at}: {failure}"));
            assert_eq!(value.to_string(), wanted, "{at}: {source}");
            examples.extend([source, "\n"]);
        }
    }
    let shown = |name: &str| {
        let call = format!("{name}(");
        let mut found = examples.match_indices(&call);
        found.any(|(at, _)| !examples[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    let missing: Vec<_> =
        all().map(|function| function.name).chain(BUILT_IN.iter().copied()).filter(|name| !shown(name)).collect();
    assert!(missing.is_empty(), "no example of {missing:?}");
}
