//! What all documents share: names of components, the data of a type as a schema, the envelope, the headers.

use crate::catalogue::event_type::EventType;
use crate::catalogue::published::Catalogue;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// The types with the names under which a document may list them: letters, digits, `.`, `-` and `_`.
pub(crate) fn named(catalogue: &Catalogue) -> Vec<(String, &EventType)> {
    let mut taken = HashSet::new();
    let mut named = Vec::new();
    for one in catalogue.types() {
        let fit = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' };
        let mut name: String = one.name.chars().map(fit).collect();
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        named.push((name, one));
    }
    named
}

/// The data of a type as a schema that stands at the pointer `at` of a document, with what is said of the type.
pub(crate) fn data(one: &EventType, at: &str) -> Value {
    let mut schema = match one.schema.as_ref().map(|schema| schema.written()) {
        Some(Value::Object(schema)) => schema.clone(),
        // `false` fits nothing, and nothing is what is sent then.
        Some(Value::Bool(false)) => Map::from_iter([("not".to_owned(), json!({}))]),
        Some(_) | None => Map::new(),
    };
    // With an `$id` of its own, its references are its own, too.
    if !schema.contains_key("$id") {
        schema.iter_mut().for_each(|(key, value)| move_references(key, value, at));
    }
    let mut say = |key: &str, value: Value| {
        if !value.is_null() && !schema.contains_key(key) {
            schema.insert(key.to_owned(), value);
        }
    };
    say("title", json!(one.title));
    say("description", json!(one.story()));
    if one.lifecycle.is_deprecated() {
        say("deprecated", json!(true));
    }
    if !one.examples.is_empty() {
        say("examples", json!(one.examples));
    }
    Value::Object(schema)
}

/// Makes references that begin at the schema's root go on to do so where its root is at `at`.
fn move_references(key: &str, value: &mut Value, at: &str) {
    match value {
        Value::String(to) if key == "$ref" => {
            if let Some(rest) = to.strip_prefix('#').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                *to = format!("{at}{rest}");
            }
        }
        // What stands there is data.
        _ if ["const", "enum", "default", "example", "examples"].contains(&key) => {}
        Value::Object(map) => map.iter_mut().for_each(|(key, value)| move_references(key, value, at)),
        Value::Array(items) => items.iter_mut().for_each(|item| move_references("", item, at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A structured CloudEvent of a type; `data` is the schema of what it carries.
pub(crate) fn envelope(name: &str, data: Value) -> Value {
    json!({
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time"],
        "properties": {
            "specversion": { "const": "1.0" },
            "id": { "type": "string", "description": "The same at every attempt, as webhook-id: drop what came before" },
            "source": { "type": "string", "format": "uri-reference" },
            "type": { "const": name },
            "subject": { "type": "string" },
            "time": { "type": "string", "format": "date-time" },
            "traceparent": { "type": "string" },
            "tracestate": { "type": "string" },
            "datacontenttype": { "const": "application/json" },
            "data": data,
        },
    })
}

/// The headers of every webhook: name, schema, meaning.
pub(crate) const HEADERS: [(&str, &str, &str); 3] = [
    ("webhook-id", "string", "The identity of the event: the same at every attempt"),
    ("webhook-timestamp", "integer", "When this attempt was made, in seconds since 1970"),
    ("webhook-signature", "string", "One signature for each secret, as Standard Webhooks writes them"),
];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::catalogue::settings::About;
    use crate::catalogue::written::Events;
    use crate::model::problem::Problems;
    use crate::yaml::reader;

    /// A catalogue with one type of each kind.
    pub(crate) fn catalogue() -> Catalogue {
        let text = "\
events:
  com.acme.placed.v1:
    title: An order was placed
    description: Once it is paid.
    version: '1.2'
    schema: { type: object, required: [total], properties: { total: { $ref: '#/$defs/money' } }, $defs: { money: { type: number } } }
    example: { total: 10.10 }
  com/acme:gone:
    deprecated: take com.acme.placed.v1
  com_acme_gone: { schema: false }
";
        let (mut events, mut problems) = (Events::default(), Problems::default());
        events.add_file(&reader::read(&"f".into(), text).unwrap(), &mut problems);
        assert!(problems.is_empty(), "{problems}");
        let about = About { title: "Acme".into(), version: "2".into(), description: Some("What happens.".into()) };
        events.finish().headed(about)
    }

    #[test]
    fn every_type_has_a_name_of_its_own() {
        let catalogue = catalogue();
        let names: Vec<String> = named(&catalogue).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["com.acme.placed.v1", "com_acme_gone", "com_acme_gone_"]);
    }

    #[test]
    fn a_schema_that_stands_in_another_document_still_finds_its_own_parts() {
        let catalogue = catalogue();
        let parts: Vec<Value> = catalogue.types().iter().map(|one| data(one, "#/parts/a")).collect();
        let schema = jsonschema::options().build(&json!({ "parts": { "a": parts[0] }, "$ref": "#/parts/a" })).unwrap();
        assert!(schema.is_valid(&json!({"total": 1})) && !schema.is_valid(&json!({"total": "1"})));
        assert_eq!(parts[0]["examples"].to_string(), r#"[{"total":10.10}]"#);
        assert_eq!(parts[1]["deprecated"], json!(true));
        assert_eq!(parts[2]["not"], json!({}));
    }
}
