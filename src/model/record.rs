//! What Kafka holds: a record, and where it came from.

use crate::model::time::Timestamp;
use bytes::Bytes;
use std::sync::Arc;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
}

/// The place of a record in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own timestamp (create or append time, as the topic says).
    pub timestamp: Timestamp,
}

/// A header of a record; names may repeat, values may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name, case-sensitive.
    pub name: String,
    /// The value; `None` is Kafka's null.
    pub value: Option<Bytes>,
}

/// A record as Kafka holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub origin: Origin,
    /// The key; `None` is Kafka's null.
    pub key: Option<Bytes>,
    /// The headers in their order.
    pub headers: Vec<Header>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

// === impl Origin ===

impl Origin {
    /// The partition this record stands in.
    #[must_use]
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition }
    }
}

// === impl Record ===

impl Record {
    /// Bytes this record holds in memory: key, headers and value.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|h| h.name.len() + h.value.as_ref().map_or(0, Bytes::len)).sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }
}
