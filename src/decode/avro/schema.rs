//! Avro schemas (1.12, "Schema Declaration"): parsed once, names resolved, logical types recognised.
//!
//! Only what reading by the writer's schema needs: defaults, aliases and orders play no part. A logical type that is
//! not known or does not fit is ignored, as the specification asks.

use crate::model::schema::Reference;
use serde_json::Value;
use std::collections::HashMap;

/// All types of a schema; they name one another by their places.
#[derive(Debug, Default)]
pub(crate) struct Types {
    pub(crate) all: Vec<Type>,
    pub(crate) root: usize,
    names: HashMap<String, usize>,
}

#[derive(Debug)]
pub(crate) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<Field>),
    /// An int with a meaning.
    Int32(Int),
    /// A long with a meaning.
    Int64(Long),
    /// Bytes that are a number with so many decimal places.
    Decimal(usize),
    FixedDecimal {
        size: usize,
        scale: usize,
    },
    Uuid,
    Duration,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) of: usize,
}

/// What an int may mean.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Int {
    Date,
    TimeMillis,
}

/// What a long may mean.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Long {
    TimeMicros,
    Timestamp(Unit),
    LocalTimestamp(Unit),
}

/// Of what a timestamp counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Millis,
    Micros,
    Nanos,
}

// === impl Types ===

impl Types {
    /// Parses a schema; what it refers to stands before who refers to it.
    pub(crate) fn parse(text: &str, references: &[Reference]) -> Result<Self, String> {
        let mut types = Self::default();
        for reference in references {
            types.text(&reference.text).map_err(|why| format!("{}, which it refers to: {why}", reference.name))?;
        }
        types.root = types.text(text)?;
        Ok(types)
    }

    fn text(&mut self, text: &str) -> Result<usize, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        self.schema(&schema, "")
    }

    /// Adds a schema that stands in a namespace; gives its place.
    fn schema(&mut self, schema: &Value, space: &str) -> Result<usize, String> {
        match schema {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.schema(branch, space)).collect::<Result<_, _>>()?;
                Ok(self.add(Type::Union(branches)))
            }
            Value::Object(_) => self.object(schema, space),
            Value::Null | Value::Bool(_) | Value::Number(_) => Err(format!("`{schema}` is no schema")),
        }
    }

    fn object(&mut self, schema: &Value, space: &str) -> Result<usize, String> {
        let Some(kind) = schema["type"].as_str() else {
            let inner = schema.get("type").ok_or_else(|| format!("a schema has no type: {}", shown(schema)))?;
            return self.schema(inner, space);
        };
        match kind {
            "record" | "error" => self.record(schema, space),
            "enum" => {
                let symbols = list(schema, "symbols")?.iter().map(|symbol| text(symbol, "a symbol"));
                let symbols = symbols.collect::<Result<_, _>>()?;
                self.define(schema, space, Type::Enum(symbols))
            }
            "fixed" => {
                let size = schema["size"].as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| format!("a fixed has no size: {}", shown(schema)))?;
                self.define(schema, space, logical_fixed(schema, size))
            }
            "array" | "map" => {
                let key = if kind == "array" { "items" } else { "values" };
                let inner = schema.get(key).ok_or_else(|| format!("{kind} has no {key}: {}", shown(schema)))?;
                let inner = self.schema(inner, space)?;
                Ok(self.add(if kind == "array" { Type::Array(inner) } else { Type::Map(inner) }))
            }
            _ => match logical(kind, schema) {
                Some(logical) => Ok(self.add(logical)),
                None => self.named(kind, space),
            },
        }
    }

    fn record(&mut self, schema: &Value, space: &str) -> Result<usize, String> {
        // Its fields may name it: it is there before they are.
        let place = self.define(schema, space, Type::Record(Vec::new()))?;
        let full = full_name(schema, space)?;
        let space = full.rsplit_once('.').map_or("", |(space, _)| space);
        let mut fields = Vec::new();
        for field in list(schema, "fields")? {
            let name = text(&field["name"], "a field's name")?;
            let of = field.get("type").ok_or_else(|| format!("field {name} of {full} has no type"))?;
            let of = self.schema(of, space).map_err(|why| format!("field {name} of {full}: {why}"))?;
            fields.push(Field { name, of });
        }
        self.all[place] = Type::Record(fields);
        Ok(place)
    }

    fn define(&mut self, schema: &Value, space: &str, what: Type) -> Result<usize, String> {
        let name = full_name(schema, space)?;
        let place = self.add(what);
        match self.names.insert(name.clone(), place) {
            None => Ok(place),
            Some(_) => Err(format!("{name} is defined twice")),
        }
    }

    /// The place of a primitive, or of what was defined by this name.
    fn named(&mut self, name: &str, space: &str) -> Result<usize, String> {
        if let Some(primitive) = primitive(name) {
            return Ok(self.add(primitive));
        }
        let inside = format!("{space}.{name}");
        let found = [Some(inside.as_str()).filter(|_| !name.contains('.')), Some(name)];
        let place = found.into_iter().flatten().find_map(|name| self.names.get(name)).copied();
        place.ok_or_else(|| format!("nothing defines the type `{name}`"))
    }

    fn add(&mut self, what: Type) -> usize {
        self.all.push(what);
        self.all.len() - 1
    }
}

fn primitive(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::String,
        _ => return None,
    })
}

/// What a primitive with a `logicalType` means, if that is known. A uuid in a string is a string.
fn logical(kind: &str, schema: &Value) -> Option<Type> {
    Some(match (kind, schema["logicalType"].as_str()?) {
        ("int", "date") => Type::Int32(Int::Date),
        ("int", "time-millis") => Type::Int32(Int::TimeMillis),
        ("long", "time-micros") => Type::Int64(Long::TimeMicros),
        ("long", "timestamp-millis") => Type::Int64(Long::Timestamp(Unit::Millis)),
        ("long", "timestamp-micros") => Type::Int64(Long::Timestamp(Unit::Micros)),
        ("long", "timestamp-nanos") => Type::Int64(Long::Timestamp(Unit::Nanos)),
        ("long", "local-timestamp-millis") => Type::Int64(Long::LocalTimestamp(Unit::Millis)),
        ("long", "local-timestamp-micros") => Type::Int64(Long::LocalTimestamp(Unit::Micros)),
        ("long", "local-timestamp-nanos") => Type::Int64(Long::LocalTimestamp(Unit::Nanos)),
        ("bytes", "decimal") => Type::Decimal(scale(schema)?),
        _ => return None,
    })
}

fn logical_fixed(schema: &Value, size: usize) -> Type {
    match (schema["logicalType"].as_str(), size) {
        (Some("decimal"), _) => scale(schema).map_or(Type::Fixed(size), |scale| Type::FixedDecimal { size, scale }),
        (Some("uuid"), 16) => Type::Uuid,
        (Some("duration"), 12) => Type::Duration,
        _ => Type::Fixed(size),
    }
}

/// The scale of a decimal; `None` when precision and scale do not fit together.
fn scale(schema: &Value) -> Option<usize> {
    let precision = schema["precision"].as_u64().filter(|precision| *precision > 0)?;
    let scale = schema.get("scale").map_or(Some(0), Value::as_u64)?;
    (scale <= precision).then(|| usize::try_from(scale).ok()).flatten()
}

/// The full name of what is defined: its own namespace, else the one that it stands in.
fn full_name(schema: &Value, space: &str) -> Result<String, String> {
    let name = text(&schema["name"], "a name")?;
    let space = schema["namespace"].as_str().unwrap_or(space);
    Ok(if name.contains('.') || space.is_empty() { name } else { format!("{space}.{name}") })
}

fn list<'v>(schema: &'v Value, key: &str) -> Result<&'v Vec<Value>, String> {
    schema[key].as_array().ok_or_else(|| format!("`{key}` is no list: {}", shown(schema)))
}

fn text(value: &Value, what: &str) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("{what} is no text but {}", shown(value)))
}

/// The beginning of a schema, for a sentence.
fn shown(schema: &Value) -> String {
    schema.to_string().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::avro::Avro;
    use serde_json::json;

    fn read(schema: &str, references: &[(&str, &str)], data: &[u8]) -> Result<Value, String> {
        let references: Vec<_> =
            references.iter().map(|(name, text)| Reference { name: (*name).into(), text: (*text).into() }).collect();
        Avro::compile(schema, &references)?.decode(data)
    }

    #[test]
    fn a_name_is_looked_for_in_the_namespace_around_it() {
        let schema = r#"{"type": "record", "name": "com.acme.Order", "fields": [
            {"name": "a", "type": {"type": "enum", "name": "Kind", "symbols": ["X", "Y"]}},
            {"name": "b", "type": "Kind"},
            {"name": "c", "type": "com.acme.Kind"},
            {"name": "d", "type": {"type": "fixed", "name": "Two", "namespace": "org.other", "size": 2}},
            {"name": "e", "type": {"type": "org.other.Two"}},
            {"name": "f", "type": {"type": {"type": "string", "avro.java.string": "String"}}}
        ]}"#;
        let value = read(schema, &[], b"\x02\x00\x02ababab".get(..9).unwrap());
        assert!(value.is_err(), "f is missing");
        let value = read(schema, &[], b"\x02\x00\x02abab\x02f").unwrap();
        assert_eq!(value, json!({"a": "Y", "b": "X", "c": "Y", "d": "YWI=", "e": "YWI=", "f": "f"}));
    }

    #[test]
    fn what_a_schema_refers_to_is_known_to_it() {
        let money =
            r#"{"type": "record", "name": "Money", "namespace": "com.acme", "fields": [{"name": "n", "type": "int"}]}"#;
        let price = r#"{"type": "record", "name": "Price", "namespace": "com.acme", "fields": [{"name": "m", "type": "Money"}]}"#;
        let order = r#"{"type": "record", "name": "Order", "fields": [{"name": "p", "type": "com.acme.Price"}]}"#;
        let references = [("com.acme.Money", money), ("com.acme.Price", price)];
        assert_eq!(read(order, &references, &[14]).unwrap(), json!({"p": {"m": {"n": 7}}}));
        assert_eq!(
            read(order, &references[1..], &[14]).unwrap_err(),
            "com.acme.Price, which it refers to: field m of com.acme.Price: nothing defines the type `Money`"
        );
    }

    #[test]
    fn what_is_no_schema_is_told() {
        for (schema, expected) in [
            ("[", "it is not JSON: "),
            ("5", "`5` is no schema"),
            ("{}", "a schema has no type: {}"),
            (r#""strin""#, "nothing defines the type `strin`"),
            (r#"{"type": "array"}"#, "array has no items"),
            (r#"{"type": "record", "name": "A"}"#, "`fields` is no list"),
            (r#"{"type": "record", "fields": []}"#, "a name is no text but null"),
            (r#"{"type": "fixed", "name": "F", "size": -1}"#, "a fixed has no size"),
            (r#"{"type": "enum", "name": "E", "symbols": [1]}"#, "a symbol is no text but 1"),
            (
                r#"[{"type": "fixed", "name": "F", "size": 1}, {"type": "fixed", "name": "F", "size": 2}]"#,
                "F is defined twice",
            ),
        ] {
            let told = Types::parse(schema, &[]).unwrap_err();
            assert!(told.starts_with(expected), "{schema}: {told}");
        }
    }

    #[test]
    fn a_logical_type_that_is_unknown_or_does_not_fit_is_ignored() {
        for (schema, data, expected) in [
            (r#"{"type": "int", "logicalType": "timestamp-millis"}"#, &[2][..], json!(1)),
            (r#"{"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}"#, b"\x02a", json!("YQ==")),
            (r#"{"type": "bytes", "logicalType": "decimal"}"#, b"\x02a", json!("YQ==")),
            (r#"{"type": "fixed", "name": "U", "size": 1, "logicalType": "uuid"}"#, b"a", json!("YQ==")),
            (r#"{"type": "string", "logicalType": "uuid"}"#, b"\x02a", json!("a")),
            (r#"{"type": "string", "logicalType": "com.acme.trimmed"}"#, b"\x02a", json!("a")),
        ] {
            assert_eq!(read(schema, &[], data).unwrap(), expected, "{schema}");
        }
    }
}
