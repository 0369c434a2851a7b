//! A value and where it stands: what YAML and JSON have in common.
//!
//! Keys are strings, each once, in the order they were written; numbers keep their exact text.

use crate::model::problem::Place;
use serde_json::{Map, Number, Value};
use std::sync::Arc;

/// A value that knows its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub data: Data,
}

/// The kinds of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number, with its exact text.
    Number(Number),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map; keys in the order written, each once.
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// Its value.
    pub value: Node,
}

// === impl Node ===

impl Node {
    /// Makes a node of a JSON value; every place is the whole of `file`.
    #[must_use]
    pub fn from_json(file: &Arc<str>, value: &Value) -> Self {
        let place = Place::whole(Arc::clone(file));
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => Data::Number(number.clone()),
            Value::String(text) => Data::String(text.clone()),
            Value::Array(values) => Data::List(values.iter().map(|value| Self::from_json(file, value)).collect()),
            Value::Object(map) => {
                Data::Map(map.iter().map(|(key, value)| Entry::from_json(file, key, value)).collect())
            }
        };
        Self { place, data }
    }

    /// The value without its places.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::String(text) => Value::String(text.clone()),
            Data::List(nodes) => Value::Array(nodes.iter().map(Self::to_json).collect()),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// The value of `key`, when this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// Whether this is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.data == Data::Null
    }

    /// What kind of value this is, for a sentence: `a list`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "null",
            Data::Bool(_) => "a boolean",
            Data::Number(_) => "a number",
            Data::String(_) => "a string",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }

    /// The node at `path` below this one: `emit.data.lines[0].x`. A key may itself hold full stops, and the `?` at
    /// the end of a key may be left out. The empty path is the node itself.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Node> {
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            return Some(self);
        }
        match &self.data {
            Data::List(nodes) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                nodes.get(index.parse::<usize>().ok()?)?.at(rest)
            }
            Data::Map(entries) => entries.iter().find_map(|entry| entry.value.at(entry.rest_of(path)?)),
            _ => None,
        }
    }

    /// The node at `path`, or the one nearest above it that is there.
    #[must_use]
    pub fn nearest(&self, path: &str) -> &Node {
        let mut path = path;
        loop {
            if let Some(node) = self.at(path) {
                return node;
            }
            path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
        }
    }
}

// === impl Entry ===

impl Entry {
    fn from_json(file: &Arc<str>, key: &str, value: &Value) -> Self {
        Self { key: key.to_owned(), place: Place::whole(Arc::clone(file)), value: Node::from_json(file, value) }
    }

    /// What remains of `path` behind this key, when `path` begins with it.
    fn rest_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.key.as_str()).or_else(|| path.strip_prefix(self.key.strip_suffix('?')?))?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(value: &Value) -> Node {
        Node::from_json(&"t".into(), value)
    }

    #[test]
    fn json_survives_with_its_number_text_and_key_order() {
        let text = r#"{"z":12345678901234567890.10,"a":[null,true,"x",{}]}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(node(&value).to_json().to_string(), text);
    }

    #[test]
    fn a_path_finds_its_node_and_a_wrong_one_the_nearest() {
        let tree = node(&json!({"emit": {"data": {"lines": [{"x": 1}], "note?": 2, "a.b": {"c": 3}}}}));
        let found = |path: &str| tree.at(path).map(|node| node.to_json());
        assert_eq!(found("emit.data.lines[0].x"), Some(json!(1)));
        assert_eq!(found("emit.data.note"), Some(json!(2)));
        assert_eq!(found("emit.data.note?"), Some(json!(2)));
        assert_eq!(found("emit.data.a.b.c"), Some(json!(3)));
        assert_eq!(found("emit.data.lines[1]"), None);
        assert_eq!(found("emit.dat"), None);
        assert_eq!(tree.nearest("emit.data.lines[0].y[3].z").to_json(), json!({"x": 1}));
        assert_eq!(tree.nearest("nothing").to_json(), tree.to_json());
    }
}
