//! JSON that a JSON Schema describes: read as JSON, and valid or a fault.
//!
//! A schema without `$schema` is of draft 7, as Confluent's serializers write. References are looked for among what
//! the registry holds for the schema, never anywhere else.

use crate::decode::json;
use crate::model::schema::Reference;
use jsonschema::{Draft, PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;
use std::collections::HashMap;
use std::error::Error;

/// The longest reason, in characters: it is kept with every record that is not valid.
const REASON: usize = 300;

/// A compiled JSON Schema.
#[derive(Debug)]
pub struct JsonSchema(Validator);

/// The schemas that may be referred to, by name.
struct Referred(HashMap<String, Value>);

// === impl JsonSchema ===

impl JsonSchema {
    pub(crate) fn compile(text: &str, references: &[Reference]) -> Result<Self, String> {
        let schema = parsed(text)?;
        let mut referred = HashMap::new();
        for reference in references {
            let text =
                parsed(&reference.text).map_err(|why| format!("{}, which it refers to: {why}", reference.name))?;
            referred.insert(reference.name.clone(), text);
        }
        let mut options = jsonschema::options()
            .with_retriever(Referred(referred))
            // Patterns are part of the schema, values are not: no value makes a search take long.
            .with_pattern_options(PatternOptions::regex());
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft7);
        }
        options.build(&schema).map(Self).map_err(|error| shortened(&error.to_string()))
    }

    pub(crate) fn decode(&self, payload: &[u8]) -> Result<Value, String> {
        let value = json::decode(payload)?;
        match self.0.validate(&value) {
            Ok(()) => Ok(value),
            // The value itself is not repeated: reasons go into the log.
            Err(error) => Err(shortened(&format!("not valid at `{}`: {}", error.instance_path(), error.masked()))),
        }
    }
}

// === impl Referred ===

impl Retrieve for Referred {
    /// A relative name was made absolute by what refers to it: then it is the end of the URI.
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let uri = uri.as_str();
        let is = |name: &str| uri == name || uri.strip_suffix(name).is_some_and(|before| before.ends_with('/'));
        let found = self.0.iter().filter(|(name, _)| is(name)).max_by_key(|(name, _)| name.len());
        let found = found.map(|(_, schema)| schema.clone());
        found.ok_or_else(|| "it is not among the schema's references in the registry".into())
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))
}

fn shortened(reason: &str) -> String {
    reason.chars().take(REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reference(name: &str, schema: &Value) -> Reference {
        Reference { name: name.into(), text: schema.to_string() }
    }

    #[test]
    fn what_is_valid_is_read_with_exact_numbers_and_what_is_not_says_where_without_the_value() {
        let schema = json!({"type": "object", "required": ["id"],
            "properties": {"id": {"type": "string", "pattern": "^o-"}, "total": {"type": "number", "minimum": 0}}});
        let schema = JsonSchema::compile(&schema.to_string(), &[]).unwrap();
        let value = schema.decode(br#"{"id":"o-1","total":12345678901234567890.10}"#).unwrap();
        assert_eq!(value["total"].to_string(), "12345678901234567890.10");
        let told = |text: &str| schema.decode(text.as_bytes()).unwrap_err();
        assert_eq!(told(r#"{"id":"o-1","total":-5}"#), "not valid at `/total`: value is less than the minimum of 0");
        assert!(
            told(r#"{"id":"hunter2"}"#).starts_with("not valid at `/id`")
                && !told(r#"{"id":"hunter2"}"#).contains("hunter2")
        );
        assert!(told("{}").contains("\"id\" is a required property"), "{}", told("{}"));
        assert!(told("{").starts_with("the value is not JSON"));
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        let schema = JsonSchema::compile(r#"{"type": "integer"}"#, &[]).unwrap();
        for (text, valid) in
            [("7", true), ("-9223372036854775808", true), ("18446744073709551615", true), ("7.5", false)]
        {
            assert_eq!(schema.decode(text.as_bytes()).is_ok(), valid, "{text}");
        }
    }

    #[test]
    fn references_are_found_by_name_relative_or_not_and_nowhere_else() {
        let money = json!({"type": "object", "required": ["n"], "properties": {"c": {"$ref": "currency.json"}}});
        let references = [
            reference("money.json", &money),
            reference("currency.json", &json!({"enum": ["EUR"]})),
            reference("http://acme.com/id.json", &json!({"type": "string"})),
        ];
        for id in [Value::Null, json!("http://acme.com/schemas/order.json")] {
            let mut schema =
                json!({"properties": {"m": {"$ref": "money.json"}, "i": {"$ref": "http://acme.com/id.json"}}});
            if !id.is_null() {
                schema["$id"] = id;
            }
            let schema = JsonSchema::compile(&schema.to_string(), &references).unwrap();
            assert!(schema.decode(br#"{"m":{"n":1,"c":"EUR"},"i":"x"}"#).is_ok());
            for bad in [r#"{"m":{}}"#, r#"{"i":5}"#, r#"{"m":{"n":1,"c":"USD"}}"#] {
                assert!(schema.decode(bad.as_bytes()).is_err(), "{bad}");
            }
        }
        let told = JsonSchema::compile(r#"{"$ref": "http://127.0.0.1:9/none.json"}"#, &references).unwrap_err();
        assert!(told.contains("none.json"), "{told}");
    }
}
