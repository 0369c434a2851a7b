//! JSON Schema: compiled once, data held against it. Names the crate that knows the standard.
//!
//! Draft 2020-12 unless `$schema` says another. `format` is checked, not only noted. Patterns run in linear time, and
//! nothing is fetched: a schema is whole in itself. Numbers are compared as doubles.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ReferencingError, ValidationError, Validator};
use serde_json::Value;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    written: Value,
    validator: Validator,
}

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SchemaError {
    /// Where in it.
    pub path: String,
    /// What.
    pub what: String,
}

/// Where data is not what its schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Where in the data: `lines[0].sku`.
    pub path: String,
    /// What is wrong there, in the words of the schema's keyword.
    pub what: String,
    /// The same without what stands there, for logs.
    pub discreet: String,
}

/// The most misfits that are told of one value; more help nobody.
const MISFITS: usize = 20;

// === impl Schema ===

impl Schema {
    /// Compiles what was written.
    ///
    /// # Errors
    /// It is no JSON Schema, or names another document: all mistakes that can be found.
    pub fn compile(written: Value) -> Result<Self, Vec<SchemaError>> {
        let draft = draft(&written).map_err(|error| vec![error])?;
        let mistakes: Vec<_> = rules(draft).iter_errors(&written).map(|error| mistake(&error, &written)).collect();
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let options = jsonschema::options()
            .with_draft(draft)
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::regex())
            .offline();
        match options.build(&written) {
            Ok(validator) => Ok(Self { written, validator }),
            Err(error) => Err(vec![mistake(&error, &written)]),
        }
    }

    /// The schema as it was written.
    #[must_use]
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// Whether `data` is as it says.
    #[must_use]
    pub fn fits(&self, data: &Value) -> bool {
        self.validator.is_valid(data)
    }

    /// Where `data` is not as it says, the first few of it.
    #[must_use]
    pub fn misfits(&self, data: &Value) -> Vec<Misfit> {
        let misfit = |error: jsonschema::ValidationError<'_>| Misfit {
            path: path(error.instance_path().as_str(), data),
            what: shortened(&error.to_string()),
            discreet: shortened(&error.masked().to_string()),
        };
        self.validator.iter_errors(data).take(MISFITS).map(misfit).collect()
    }
}

/// What a schema of this dialect must itself be.
fn rules(draft: Draft) -> jsonschema::meta::MetaValidator<'static> {
    match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validator(),
        Draft::Draft6 => jsonschema::draft6::meta::validator(),
        Draft::Draft7 => jsonschema::draft7::meta::validator(),
        Draft::Draft201909 => jsonschema::draft201909::meta::validator(),
        _ => jsonschema::draft202012::meta::validator(),
    }
}

/// A mistake in a schema, in words for people.
fn mistake(error: &ValidationError<'_>, written: &Value) -> SchemaError {
    let path = path(error.instance_path().as_str(), written);
    let what = match error.kind() {
        ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }) => {
            format!("it refers to {uri}, and nothing is fetched: copy that into `$defs`")
        }
        _ if path == "type" || path.ends_with(".type") => {
            let found = error.instance();
            format!("{found} is no type: string, number, integer, boolean, object, array, null, or a list of them")
        }
        _ => shortened(&error.to_string()),
    };
    SchemaError { path, what }
}

/// The dialect that a schema names.
fn draft(written: &Value) -> Result<Draft, SchemaError> {
    let Some(named) = written.get("$schema").and_then(Value::as_str) else { return Ok(Draft::Draft202012) };
    let known = [
        ("draft-04", Draft::Draft4),
        ("draft-06", Draft::Draft6),
        ("draft-07", Draft::Draft7),
        ("2019-09", Draft::Draft201909),
        ("2020-12", Draft::Draft202012),
    ];
    let found = known.iter().find(|(word, _)| named.contains(word) && named.contains("json-schema.org"));
    found.map(|(_, draft)| *draft).ok_or_else(|| SchemaError {
        path: "$schema".into(),
        what: format!("`{named}` is no dialect that is known: leave it out for draft 2020-12"),
    })
}

/// A JSON pointer as paths are written: `/lines/0/sku` is `lines[0].sku`.
fn path(pointer: &str, document: &Value) -> String {
    let (mut path, mut here) = (String::new(), Some(document));
    for step in pointer.split('/').skip(1) {
        let key = step.replace("~1", "/").replace("~0", "~");
        match here {
            Some(Value::Array(items)) => {
                path = format!("{path}[{key}]");
                here = key.parse::<usize>().ok().and_then(|index| items.get(index));
            }
            _ => {
                let dot = if path.is_empty() { "" } else { "." };
                path = format!("{path}{dot}{key}");
                here = here.and_then(|value| value.get(&key));
            }
        }
    }
    path
}

/// A sentence that may repeat a whole document, as much of it as helps.
fn shortened(what: &str) -> String {
    /// About two lines of a terminal.
    const MOST: usize = 240;
    match what.char_indices().nth(MOST) {
        None => what.to_owned(),
        Some(_) => {
            // The end says what was expected, the beginning what was found.
            let (letters, half) = (what.chars().collect::<Vec<_>>(), MOST / 2);
            let part = |letters: &[char]| letters.iter().collect::<String>();
            format!("{} ... {}", part(&letters[..half]), part(&letters[letters.len() - half..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fits(schema: Value, data: &str) -> bool {
        Schema::compile(schema).unwrap().fits(&serde_json::from_str(data).unwrap())
    }

    #[test]
    fn numbers_count_by_value() {
        assert!(fits(json!({"const": 10.1}), "10.10"));
        assert!(fits(json!({"enum": [1, 2.5]}), "2.50"));
        assert!(fits(json!({"type": "integer"}), "10.0"));
        assert!(fits(json!({"multipleOf": 0.01}), "19.99"));
        assert!(fits(json!({"type": "integer", "minimum": 10}), "123456789012345678901234567890"));
        assert!(!fits(json!({"multipleOf": 0.01}), "19.999"));
        assert!(!fits(json!({"type": "integer"}), "10.5"));
    }

    #[test]
    fn a_format_is_checked() {
        for (format, good, bad) in [
            ("date-time", "\"2026-01-01T00:00:00Z\"", "\"yesterday\""),
            ("date", "\"2026-01-01\"", "\"2026-13-01\""),
            ("email", "\"a@example.com\"", "\"a\""),
            ("uuid", "\"7f1c8d3e-0a5b-4b63-9d55-2a4f0f6a7a11\"", "\"7\""),
            ("uri", "\"https://example.com/a\"", "\"/a\""),
        ] {
            assert!(fits(json!({"format": format}), good) && !fits(json!({"format": format}), bad), "{format}");
        }
    }

    #[test]
    fn each_misfit_says_where_and_what() {
        let schema = Schema::compile(json!({
            "type": "object",
            "required": ["id"],
            "properties": {"lines": {"items": {"properties": {"sku": {"type": "string"}}}}},
        }));
        let misfits = schema.unwrap().misfits(&json!({"lines": [{"sku": "a"}, {"sku": 5}]}));
        let told: Vec<_> = misfits.iter().map(|m| (m.path.as_str(), m.what.as_str(), m.discreet.as_str())).collect();
        let expected = [
            ("", "\"id\" is a required property", "\"id\" is a required property"),
            ("lines[1].sku", "5 is not of type \"string\"", "value is not of type \"string\""),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_schema_that_is_none_says_where() {
        let wrong = |schema: Value| Schema::compile(schema).unwrap_err().remove(0);
        assert_eq!(wrong(json!({"properties": {"a": {"type": "strin"}}})).path, "properties.a.type");
        assert_eq!(wrong(json!({"pattern": "("})).path, "pattern");
        assert!(wrong(json!({"pattern": "(?=a)"})).what.contains("regex"), "look-around has no linear time");
        assert!(wrong(json!({"$ref": "#/$defs/nope"})).what.contains("nope"));
        assert!(wrong(json!({"$ref": "https://example.com/x"})).what.contains("example.com"));
        assert_eq!(wrong(json!({"$schema": "https://example.com/x"})).path, "$schema");
        let two = json!({"properties": {"a": {"type": "strin"}, "b": {"minimum": "0"}}});
        assert_eq!(Schema::compile(two).unwrap_err().len(), 2);
        assert!(Schema::compile(json!(true)).is_ok());
    }

    #[test]
    fn an_older_dialect_is_read_as_such() {
        let tuple = json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]});
        assert!(fits(tuple.clone(), "[\"a\", 1]") && !fits(tuple, "[1]"));
    }
}
