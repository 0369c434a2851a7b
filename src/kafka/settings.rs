//! Which Kafka, which group, and librdkafka's own properties (`kafka:`).

use crate::model::secret::Secret;
use std::collections::BTreeMap;

/// The settings of the consumer group.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSettings {
    /// `host:port`, several divided by commas.
    pub brokers: String,
    /// The consumer group's id.
    pub group: String,
    /// Where a group without commits begins.
    pub start: Start,
    /// librdkafka's properties by name, checked by `kafka::properties`. Values may be passwords.
    pub properties: BTreeMap<String, Secret>,
}

/// Where a group without commits begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record that is there.
    Earliest,
    /// After the newest one.
    #[default]
    Latest,
}

// === impl KafkaSettings ===

impl Default for KafkaSettings {
    fn default() -> Self {
        let (brokers, group) = ("localhost:9092".into(), "hookline".into());
        Self { brokers, group, start: Start::Latest, properties: BTreeMap::new() }
    }
}
