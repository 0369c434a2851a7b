//! What an expression may name besides `payload`: made of the record when a mapping of its topic first uses it.

use crate::expr::scope::Scope;
use crate::model::event::DomainEvent;
use crate::model::record::Record;
use crate::model::trace::Parent;
use crate::yaml::node::{Data, Node};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::cell::OnceCell;
use std::sync::Arc;

/// The names that every expression of a mapping may use.
pub(crate) const NAMES: [&str; 6] = ["payload", "key", "headers", "record", "ce", "tables"];

/// Which of the names a mapping uses; what it does not use is not made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Uses {
    key: bool,
    headers: bool,
    record: bool,
}

/// A domain event with all that stands around it.
#[derive(Debug)]
pub(crate) struct Surroundings<'e> {
    /// The domain event.
    pub(crate) event: &'e DomainEvent<'e>,
    tables: &'e Value,
    key: OnceCell<Value>,
    headers: OnceCell<Value>,
    record: OnceCell<Value>,
    source: OnceCell<Arc<str>>,
    traceparent: OnceCell<Option<Arc<Parent>>>,
}

// === impl Uses ===

impl Uses {
    /// Adds what a text of the mapping may use: that it holds the word is enough, a guess too many only costs time.
    pub(crate) fn add(&mut self, text: &str) {
        self.key |= text.contains("key");
        self.headers |= text.contains("headers");
        self.record |= text.contains("record");
    }

    /// Adds what the texts of a part of the mapping may use.
    pub(crate) fn add_all(&mut self, node: &Node) {
        match &node.data {
            Data::String(text) => self.add(text),
            Data::List(nodes) => nodes.iter().for_each(|node| self.add_all(node)),
            Data::Map(entries) => entries.iter().for_each(|entry| self.add_all(&entry.value)),
            Data::Null | Data::Bool(_) | Data::Number(_) => {}
        }
    }
}

// === impl Surroundings ===

impl<'e> Surroundings<'e> {
    /// Nothing is made yet.
    pub(crate) fn new(event: &'e DomainEvent<'e>, tables: &'e Value) -> Self {
        Self {
            event,
            tables,
            key: OnceCell::new(),
            headers: OnceCell::new(),
            record: OnceCell::new(),
            source: OnceCell::new(),
            traceparent: OnceCell::new(),
        }
    }

    /// What a mapping with these uses sees.
    pub(crate) fn scope(&self, uses: Uses) -> Scope<'_> {
        let (record, decoded) = (self.event.record, self.event.key.as_ref());
        let mut scope = Scope::new();
        scope.bind("payload", &self.event.payload);
        scope.bind("ce", &self.event.ce);
        scope.bind("tables", self.tables);
        if uses.key {
            let key = || record.key.as_deref().map_or(Value::Null, text);
            scope.bind("key", decoded.unwrap_or_else(|| self.key.get_or_init(key)));
        }
        if uses.headers {
            scope.bind("headers", self.headers.get_or_init(|| headers(record)));
        }
        if uses.record {
            scope.bind("record", self.record.get_or_init(|| place(record)));
        }
        scope
    }

    /// The ordering key of an event whose mapping names none: the record's own, when it is text; of one that was decoded its
    /// text in JSON.
    pub(crate) fn own_key(&self) -> Option<String> {
        match &self.event.key {
            None => {}
            Some(Value::Null) => return None,
            Some(Value::String(key)) => return Some(key.clone()).filter(|key| !key.is_empty()),
            Some(key) => return Some(key.to_string()),
        }
        let key = self.event.record.key.as_deref()?;
        std::str::from_utf8(key).ok().filter(|key| !key.is_empty()).map(str::to_owned)
    }

    /// The `source` of an event whose mapping names none.
    pub(crate) fn own_source(&self) -> Arc<str> {
        Arc::clone(self.source.get_or_init(|| format!("urn:hookline:{}", self.event.record.origin.topic).into()))
    }

    /// What the record says it was caused by, read once for all its events.
    pub(crate) fn traceparent(&self) -> Option<Arc<Parent>> {
        self.traceparent.get_or_init(|| Parent::of(self.event.record).map(Arc::new)).clone()
    }
}

/// Bytes as an expression sees them: text when they are UTF-8, else base64.
fn text(bytes: &[u8]) -> Value {
    Value::String(std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes), str::to_owned))
}

/// Headers by name; of a name that repeats the last one counts, as for Kafka's own clients.
fn headers(record: &Record) -> Value {
    let value = |bytes: Option<&[u8]>| bytes.map_or(Value::Null, text);
    let pairs = record.headers.iter().map(|header| (header.name.clone(), value(header.value.as_deref())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn place(record: &Record) -> Value {
    let origin = &record.origin;
    json!({
        "topic": &*origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "timestamp": origin.timestamp.to_string(),
    })
}
