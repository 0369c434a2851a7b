//! What values have in common: they are looked at one after the other, and a JSON Schema comes out that fits them all.
//!
//! Bounded: of objects with many keys, of deep values and of many texts only the kind is kept. Keys, formats and small
//! sets of words are what a schema says of them; numbers have no bounds, for a few records do not know them.

use crate::catalogue::schema::Schema;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What was seen of values that stand at the same place.
#[derive(Debug, Default)]
pub struct Shape {
    seen: u64,
    nulls: u64,
    booleans: u64,
    integers: u64,
    fractions: u64,
    texts: Texts,
    objects: u64,
    keys: Vec<(String, Shape)>,
    lists: u64,
    items: Option<Box<Shape>>,
    /// Its objects have so many keys, or stand so deep, that keys say nothing.
    open: bool,
}

/// How often a key was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In every object.
    Always,
    /// In some.
    Sometimes,
}

/// What kind of text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 3339, with time.
    DateTime,
    /// RFC 3339, the day alone.
    Date,
    /// RFC 9562.
    Uuid,
    /// RFC 5321.
    Email,
    /// An address of the web.
    Uri,
}

#[derive(Debug)]
struct Texts {
    count: u64,
    empty: u64,
    /// What all of them may still be.
    formats: Vec<Format>,
    /// How often each word was seen, while they are few.
    words: Option<BTreeMap<String, u64>>,
}

/// Objects with more keys are look-up tables, and their keys data.
const KEYS: usize = 64;
/// Below this depth only kinds are kept.
const DEPTH: usize = 16;
/// So many different words can be an enumeration.
const WORDS: usize = 8;
/// An enumeration is believed when each of its words was seen this often on average, and all together so often.
const REPEATED: u64 = 5;
const ENOUGH: u64 = 20;

// === impl Shape ===

impl Shape {
    /// Looks at one value more.
    pub fn observe(&mut self, value: &Value) {
        self.look(value, DEPTH);
    }

    fn look(&mut self, value: &Value, depth: usize) {
        self.seen += 1;
        match value {
            Value::Null => self.nulls += 1,
            Value::Bool(_) => self.booleans += 1,
            Value::Number(number) if number.as_i64().is_some() || number.as_u64().is_some() => self.integers += 1,
            Value::Number(_) => self.fractions += 1,
            Value::String(text) => self.texts.look(text),
            Value::Array(items) => {
                self.lists += 1;
                if depth > 0 {
                    let shape = self.items.get_or_insert_default();
                    items.iter().for_each(|item| shape.look(item, depth - 1));
                }
            }
            Value::Object(map) => {
                self.objects += 1;
                self.open |= depth == 0;
                map.iter().for_each(|(key, value)| self.look_below(key, value, depth));
            }
        }
    }

    fn look_below(&mut self, key: &str, value: &Value, depth: usize) {
        if self.open {
            return;
        }
        if let Some((_, shape)) = self.keys.iter_mut().find(|(known, _)| known == key) {
            return shape.look(value, depth - 1);
        }
        if self.keys.len() == KEYS {
            (self.open, self.keys) = (true, Vec::new());
            return;
        }
        let mut shape = Self::default();
        shape.look(value, depth - 1);
        self.keys.push((key.to_owned(), shape));
    }

    /// The keys of its objects in the order in which they were first seen; `None` when it is not always an object, or
    /// one whose keys say nothing.
    #[must_use]
    pub fn fields(&self) -> Option<Vec<(&str, &Shape, Presence)>> {
        let presence = |shape: &Shape| if shape.seen == self.objects { Presence::Always } else { Presence::Sometimes };
        let fields = self.keys.iter().map(|(key, shape)| (key.as_str(), shape, presence(shape)));
        (self.seen > 0 && self.seen == self.objects && !self.open).then(|| fields.collect())
    }

    /// Whether it is always a text of this format.
    #[must_use]
    pub fn is_always(&self, format: Format) -> bool {
        self.seen > 0 && self.seen == self.texts.count && self.texts.formats.contains(&format)
    }

    /// Whether it can name things: always a text that is not empty, or a whole number.
    #[must_use]
    pub fn is_name(&self) -> bool {
        self.seen > 0 && self.seen == self.texts.count + self.integers && self.texts.empty == 0
    }

    /// A schema that fits everything that was seen.
    #[must_use]
    pub fn schema(&self) -> Value {
        let mut schema = Map::new();
        let number = if self.fractions > 0 { "number" } else { "integer" };
        let kinds = [
            ("object", self.objects),
            ("array", self.lists),
            ("string", self.texts.count),
            (number, self.integers + self.fractions),
            ("boolean", self.booleans),
            ("null", self.nulls),
        ];
        let kinds: Vec<&str> = kinds.iter().filter(|(_, count)| *count > 0).map(|(kind, _)| *kind).collect();
        match kinds.as_slice() {
            [] => {}
            [only] => drop(schema.insert("type".into(), json!(only))),
            several => drop(schema.insert("type".into(), json!(several))),
        }
        if let Some(format) = self.texts.formats.first().filter(|_| self.texts.count > 0) {
            schema.insert("format".into(), json!(format.as_str()));
        } else if let Some(words) = self.texts.words().filter(|_| self.seen == self.texts.count) {
            schema.insert("enum".into(), json!(words));
        }
        if self.objects > 0 && !self.open && !self.keys.is_empty() {
            let always = self.keys.iter().filter(|(_, shape)| shape.seen == self.objects);
            let required: Vec<&str> = always.map(|(key, _)| key.as_str()).collect();
            if !required.is_empty() {
                schema.insert("required".into(), json!(required));
            }
            let properties = self.keys.iter().map(|(key, shape)| (key.clone(), shape.schema()));
            schema.insert("properties".into(), Value::Object(properties.collect()));
        }
        if let Some(items) = self.items.as_ref().filter(|items| items.seen > 0) {
            schema.insert("items".into(), items.schema());
        }
        Value::Object(schema)
    }
}

// === impl Texts ===

impl Default for Texts {
    fn default() -> Self {
        Self { count: 0, empty: 0, formats: Format::ALL.to_vec(), words: Some(BTreeMap::new()) }
    }
}

impl Texts {
    fn look(&mut self, text: &str) {
        self.count += 1;
        self.empty += u64::from(text.is_empty());
        self.formats.retain(|format| format.fits(text));
        // Words of a vocabulary have no digits; what has is an id, an amount, somebody's number.
        let word =
            !text.is_empty() && text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphabetic() || "_-".contains(c));
        if let Some(words) = &mut self.words {
            *words.entry(text.to_owned()).or_default() += 1;
            if !word || words.len() > WORDS {
                self.words = None;
            }
        }
    }

    fn words(&self) -> Option<Vec<&str>> {
        let words = self.words.as_ref()?;
        let believed = self.count >= ENOUGH && self.count >= REPEATED * words.len() as u64;
        believed.then(|| words.keys().map(String::as_str).collect())
    }
}

// === impl Format ===

impl Format {
    /// Every format.
    const ALL: [Self; 5] = [Self::DateTime, Self::Date, Self::Uuid, Self::Email, Self::Uri];

    /// The format as JSON Schema calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Email => "email",
            Self::Uri => "uri",
        }
    }

    /// Whether a schema with this format takes `text`.
    fn fits(self, text: &str) -> bool {
        static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
            let schema = |format: Format| Schema::compile(json!({ "format": format.as_str() }));
            Format::ALL.iter().map(|format| schema(*format).expect("a format is a schema")).collect()
        });
        // `order:17` is a URI for the standard, and none for people.
        let looks_so = self != Self::Uri || text.starts_with("https://") || text.starts_with("http://");
        looks_so && SCHEMAS[self as usize].fits(&Value::String(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(values: &[Value]) -> Shape {
        let mut shape = Shape::default();
        values.iter().for_each(|value| shape.observe(value));
        shape
    }

    #[test]
    fn keys_kinds_and_formats_are_what_all_have_in_common() {
        let shape = shape(&[
            json!({"id": "7f1c8d3e-0a5b-4b63-9d55-2a4f0f6a7a11", "n": 1, "at": "2026-01-01T00:00:00Z", "note": null,
                   "tags": ["a b"], "who": {"mail": "a@example.com"}}),
            json!({"id": "7f1c8d3e-0a5b-4b63-9d55-2a4f0f6a7a12", "n": 1.5, "at": "2026-01-02T00:00:00+01:00",
                   "note": "later", "tags": [], "day": "2026-01-01"}),
        ]);
        let expected = json!({
            "type": "object",
            "required": ["id", "n", "at", "note", "tags"],
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "n": {"type": "number"},
                "at": {"type": "string", "format": "date-time"},
                "note": {"type": ["string", "null"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "who": {"type": "object", "required": ["mail"], "properties": {"mail": {"type": "string", "format": "email"}}},
                "day": {"type": "string", "format": "date"},
            },
        });
        assert_eq!(shape.schema(), expected);
        let fields = shape.fields().unwrap();
        assert_eq!((fields[0].0, fields[0].2), ("id", Presence::Always));
        assert_eq!((fields[5].0, fields[5].2), ("who", Presence::Sometimes));
        assert!(fields[2].1.is_always(Format::DateTime) && !fields[3].1.is_always(Format::DateTime));
        assert!(fields[0].1.is_name() && !fields[1].1.is_name() && !fields[3].1.is_name());
    }

    #[test]
    fn few_words_that_repeat_are_an_enumeration_and_ids_are_none() {
        let values = |word: &dyn Fn(usize) -> String| (0..40).map(|n| json!(word(n))).collect::<Vec<_>>();
        let words = ["sold_out", "changed_mind"];
        let schema = shape(&values(&|n| words[n % 2].to_owned())).schema();
        assert_eq!(schema, json!({"type": "string", "enum": ["changed_mind", "sold_out"]}));
        assert_eq!(shape(&values(&|n| format!("c-{}", n % 2))).schema(), json!({"type": "string"}));
        assert_eq!(shape(&values(&|n| ["a"; 41][..=n].concat())).schema(), json!({"type": "string"}));
        assert_eq!(shape(&[json!("a"), json!("a")]).schema(), json!({"type": "string"}), "two are too few to know");
    }

    #[test]
    fn a_table_of_many_keys_is_an_object_without_promises() {
        let tables: Vec<Value> = (0..KEYS + 1).map(|n| json!({ format!("sku-{n}"): n })).collect();
        let shape = shape(&tables);
        assert_eq!(shape.schema(), json!({"type": "object"}));
        assert!(shape.fields().is_none());
        assert_eq!(Shape::default().schema(), json!({}));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
            Just(json!("2026-01-01T00:00:00Z")),
            Just(json!("https://example.com/")),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[a-d]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_was_seen_fits_the_schema(values in proptest::collection::vec(any_value(), 1..30)) {
            let schema = Schema::compile(shape(&values).schema()).unwrap();
            for value in &values {
                prop_assert!(schema.fits(value), "{value} {:?}", schema.misfits(value));
            }
        }
    }
}
