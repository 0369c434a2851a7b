//! The catalogue as one JSON Schema (2020-12): what a receiver of structured CloudEvents can hold every body against.

use crate::catalogue::parts;
use crate::catalogue::published::Catalogue;
use serde_json::{Map, Value, json};

/// The document: the data of each type under `$defs`, and which of them holds by the event's type.
#[must_use]
pub fn document(catalogue: &Catalogue) -> Value {
    let types = parts::named(catalogue);
    let known: Vec<&str> = catalogue.types().iter().map(|one| one.name.as_str()).collect();
    let branches = types.iter().map(|(name, one)| {
        json!({
            "if": { "properties": { "type": { "const": one.name } }, "required": ["type"] },
            "then": { "properties": { "data": { "$ref": format!("#/$defs/{name}") } } },
        })
    });
    let defs: Map<String, Value> =
        types.iter().map(|(name, one)| (name.clone(), parts::data(one, &format!("#/$defs/{name}")))).collect();
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": catalogue.about.title,
        "type": "object",
        "required": ["type"],
        "properties": { "type": { "enum": known } },
    });
    if let Some(description) = &catalogue.about.description {
        document["description"] = json!(description);
    }
    if !defs.is_empty() {
        document["allOf"] = branches.collect();
        document["$defs"] = Value::Object(defs);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::parts::tests::catalogue;
    use crate::catalogue::published::Catalogue;

    #[test]
    fn an_event_is_held_against_the_schema_of_its_type() {
        let schema = jsonschema::options().build(&document(&catalogue())).unwrap();
        let fits = |event: Value| schema.is_valid(&event);
        assert!(fits(json!({"type": "com.acme.placed.v1", "data": {"total": 1}})));
        assert!(!fits(json!({"type": "com.acme.placed.v1", "data": {"total": "1"}})));
        assert!(fits(json!({"type": "com/acme:gone", "data": {"total": "1"}})));
        assert!(fits(json!({"type": "com_acme_gone"})) && !fits(json!({"type": "com_acme_gone", "data": 1})));
        assert!(!fits(json!({"type": "com.acme.other"})) && !fits(json!({})));
    }

    #[test]
    fn an_empty_catalogue_is_a_schema_too() {
        assert!(jsonschema::options().build(&document(&Catalogue::default())).is_ok());
    }
}
