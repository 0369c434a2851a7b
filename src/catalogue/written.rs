//! `events:` of mapping files as their authors wrote it, read with all its mistakes.

use crate::catalogue::event_type::{EventType, Lifecycle};
use crate::catalogue::published::Catalogue;
use crate::catalogue::schema::{Schema, SchemaError};
use crate::expr::mistake::join;
use crate::model::problem::{Place, Problems};
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Entry, Node};
use serde_json::Value;

/// The event types of all files on their way to be a catalogue.
#[derive(Debug, Default)]
pub struct Events {
    types: Vec<EventType>,
    names: Vec<(String, Place)>,
}

/// The longest name of an event type: it goes into headers.
const NAME: usize = 256;

// === impl Events ===

impl Events {
    /// Takes over the `events` of a whole mapping file.
    pub fn add_file(&mut self, node: &Node, problems: &mut Problems) {
        let Some(events) = node.get("events").filter(|events| !events.is_null()) else { return };
        for (entry, field) in Field::new(events, "events").entries(problems).unwrap_or_default() {
            let known = self.names.iter().find(|(name, _)| *name == entry.key);
            if let Some((_, first)) = known {
                let hint = format!("The first is at {first}");
                problems.add(&entry.place, field.path, "there are two events of this type", hint);
                continue;
            }
            self.names.push((entry.key.clone(), entry.place.clone()));
            self.types.extend(read(entry, &field, problems));
        }
    }

    /// Ends the reading of files.
    #[must_use]
    pub fn finish(self) -> Catalogue {
        Catalogue::new(self.types)
    }
}

fn read(entry: &Entry, field: &Field<'_>, problems: &mut Problems) -> Option<EventType> {
    if entry.key.is_empty()
        || entry.key.len() > NAME
        || entry.key.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        let hint = format!("Use 1 to {NAME} characters without spaces, as `emit.type` has it");
        problems.add(&entry.place, field.path.clone(), "is not a type of events", hint);
    }
    // A type may be listed with nothing said about it.
    let empty = Node { place: field.node.place.clone(), data: Data::Map(Vec::new()) };
    let node = if field.node.is_null() { &empty } else { field.node };
    let mut fields = Fields::of(&Field::new(node, field.path.clone()), problems)?;
    let mut text = |key: &str, problems: &mut Problems| fields.optional(key).and_then(|field| field.string(problems));
    let (title, description) = (text("title", problems), text("description", problems));
    let version = text("version", problems);
    let lifecycle = fields.optional("deprecated").map_or(Lifecycle::Current, |field| lifecycle(&field, problems));
    let schema = fields.optional("schema").and_then(|field| schema(&field, problems));
    let mut examples: Vec<Field<'_>> = fields.present("example").into_iter().collect();
    examples.extend(fields.optional("examples").and_then(|field| field.list(problems)).unwrap_or_default());
    fields.finish(problems);
    examples.iter().for_each(|example| check(example, schema.as_ref(), problems));
    let examples: Vec<Value> = examples.iter().map(|example| example.node.to_json()).collect();
    Some(EventType { name: entry.key.clone(), title, description, version, lifecycle, schema, examples })
}

fn lifecycle(field: &Field<'_>, problems: &mut Problems) -> Lifecycle {
    match &field.node.data {
        Data::Bool(false) => Lifecycle::Current,
        Data::Bool(true) => Lifecycle::Deprecated(None),
        Data::String(instead) => Lifecycle::Deprecated(Some(instead.clone())),
        _ => {
            field.problem(problems, "must be true, false or a text", "Say what comes instead");
            Lifecycle::Current
        }
    }
}

fn schema(field: &Field<'_>, problems: &mut Problems) -> Option<Schema> {
    match Schema::compile(field.node.to_json()) {
        Ok(schema) => Some(schema),
        Err(mistakes) => {
            for SchemaError { path, what } in mistakes {
                let what = format!("the schema cannot be used: {what}");
                problems.add(&field.node.nearest(&path).place, join(&field.path, &path), what, "");
            }
            None
        }
    }
}

fn check(example: &Field<'_>, schema: Option<&Schema>, problems: &mut Problems) {
    let Some(schema) = schema else { return };
    for misfit in schema.misfits(&example.node.to_json()) {
        let place = &example.node.nearest(&misfit.path).place;
        let what = format!("the example does not fit the schema: {}", misfit.what);
        problems.add(place, join(&example.path, &misfit.path), what, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::published::Verdict;
    use crate::yaml::reader;
    use serde_json::json;

    fn events(files: &[&str]) -> (Catalogue, Vec<String>) {
        let (mut events, mut problems) = (Events::default(), Problems::default());
        for (i, text) in files.iter().enumerate() {
            events.add_file(&reader::read(&format!("{i}.yaml").into(), text).unwrap(), &mut problems);
        }
        (events.finish(), problems.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn everything_that_is_said_of_a_type_is_kept() {
        let text = "\
events:
  com.acme.placed.v1:
    title: An order was placed
    description: Once it is paid.
    version: '1.2'
    deprecated: take com.acme.placed.v2
    schema: { type: object, required: [total], properties: { total: { type: number } } }
    example: { total: 10.10 }
    examples: [{ total: 1 }]
  com.acme.bare:
";
        let (catalogue, problems) =
            events(&[text, "events: { com.acme.gone: { deprecated: true } }", "mappings: []", ""]);
        assert_eq!(problems, [""; 0]);
        let placed = catalogue.get("com.acme.placed.v1").unwrap();
        assert_eq!((placed.summary(), placed.version.as_deref()), ("An order was placed", Some("1.2")));
        assert_eq!(placed.story().as_deref(), Some("Deprecated: take com.acme.placed.v2\n\nOnce it is paid."));
        assert_eq!(placed.examples[0].to_string(), r#"{"total":10.10}"#);
        assert_eq!(placed.examples.len(), 2);
        assert_eq!(catalogue.judge("com.acme.placed.v1", &json!({"total": 5})), Verdict::Fits);
        assert!(matches!(catalogue.judge("com.acme.placed.v1", &json!({})), Verdict::Misfits(m) if m.len() == 1));
        assert_eq!(catalogue.judge("com.acme.bare", &json!({})), Verdict::Unknown);
        assert_eq!(catalogue.get("com.acme.bare").unwrap().summary(), "com.acme.bare");
        assert!(catalogue.get("com.acme.gone").unwrap().lifecycle.is_deprecated());
        assert_eq!(catalogue.types().len(), 3);
    }

    #[test]
    fn each_mistake_is_told_where_it_stands() {
        let text = "\
events:
  com.acme.a:
    titel: x
    schema:
      type: object
      properties:
        total: { type: nummer }
  com.acme.b:
    deprecated: [1]
    schema: { properties: { lines: { items: { properties: { sku: { type: string } } } } } }
    example:
      lines:
        - { sku: a }
        - { sku: 5 }
  a b: {}
";
        let (_, found) = events(&[text, "events: { com.acme.a: {} }", "events: []"]);
        let expected = [
            "0.yaml:3:5: events.com.acme.a.titel: is not a known key. Did you mean `title`?",
            "0.yaml:7:24: events.com.acme.a.schema.properties.total.type: the schema cannot be used: \"nummer\" is no type",
            "0.yaml:9:17: events.com.acme.b.deprecated: must be true, false or a text",
            "0.yaml:14:18: events.com.acme.b.example.lines[1].sku: the example does not fit the schema: 5 is not of type",
            "0.yaml:15:3: events.a b: is not a type of events",
            "1.yaml:1:11: events.com.acme.a: there are two events of this type. The first is at 0.yaml:2:3",
            "2.yaml:1:9: events: must be a map, not a list",
        ];
        for expected in expected {
            assert!(found.iter().any(|found| found.starts_with(expected)), "{expected}\n{found:#?}");
        }
        assert_eq!(found.len(), expected.len(), "{found:#?}");
    }
}
