//! A Kafka broker inside this process, for `hookline demo` and fast tests: librdkafka's mock cluster.
//!
//! It listens on a free port of 127.0.0.1, so that clients of other processes reach it too, and is gone when its
//! [`Broker`] is dropped. Limits: 5 MiB or 100,000 records are kept per partition; no look-up by time, no admin
//! calls, no TLS.

use rdkafka::ClientConfig;
use rdkafka::bindings::{rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaType;

/// How long a group waits for more members when its first one joins; librdkafka's default of 3 s is for people who
/// watch. Not 0: members that start together should join together.
const FIRST_JOIN_MS: i32 = 50;

/// The broker. Drop it after the clients that use it: they would only complain.
pub struct Broker {
    client: Client<DefaultClientContext>,
    servers: String,
}

/// Why the broker could not do it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It did not start.
    #[error("the in-process broker did not start")]
    Start(#[source] Option<KafkaError>),
    /// A topic could not be made.
    #[error("the in-process broker made no topic {topic}")]
    Topic {
        /// The topic's name.
        topic: String,
        /// What librdkafka said.
        #[source]
        cause: KafkaError,
    },
}

// === impl Broker ===

impl Broker {
    /// Starts a broker.
    ///
    /// # Errors
    /// When no port or thread is to be had.
    pub fn start() -> Result<Self, BrokerError> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1");
        let begun = |cause| BrokerError::Start(Some(cause));
        let native = config.create_native_config().map_err(begun)?;
        let client =
            Client::new(&config, native, RDKafkaType::RD_KAFKA_PRODUCER, DefaultClientContext).map_err(begun)?;
        let servers = client.mock_cluster().ok_or(BrokerError::Start(None))?.bootstrap_servers();
        hasten_first_join(&client);
        Ok(Self { client, servers })
    }

    /// Makes a topic of `partitions` partitions (1 or more). A topic that is not made comes into being with four
    /// when it is first written to.
    ///
    /// # Errors
    /// When there is one of this name, or the name is none.
    pub fn topic(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        let failed = |cause| BrokerError::Topic { topic: topic.into(), cause };
        let cluster = self.client.mock_cluster().ok_or(BrokerError::Start(None))?;
        cluster.create_topic(topic, partitions, 1).map_err(failed)
    }

    /// Cuts all connections and takes no new ones, until [`Broker::up`].
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn down(&self) -> Result<(), BrokerError> {
        let cluster = self.client.mock_cluster().ok_or(BrokerError::Start(None))?;
        cluster.broker_down(-1).map_err(|cause| BrokerError::Start(Some(cause)))
    }

    /// Takes connections again.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn up(&self) -> Result<(), BrokerError> {
        let cluster = self.client.mock_cluster().ok_or(BrokerError::Start(None))?;
        cluster.broker_up(-1).map_err(|cause| BrokerError::Start(Some(cause)))
    }

    /// `host:port`, for `kafka.brokers`.
    #[must_use]
    pub fn servers(&self) -> &str {
        &self.servers
    }
}

/// Shortens the first join of every group. rdkafka does not wrap this call.
#[allow(unsafe_code, reason = "two calls into librdkafka that rdkafka has no safe form of")]
fn hasten_first_join(client: &Client<DefaultClientContext>) {
    // SAFETY: the client was made by `rd_kafka_new` and lives for this call; the cluster belongs to it and lives as
    // long, and librdkafka takes its lock inside the second call. Null is what a client without a cluster gives.
    unsafe {
        let cluster = rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, FIRST_JOIN_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::properties::{self, Reset};
    use crate::kafka::settings::KafkaSettings;
    use crate::kafka::writer::{Draft, Writer};
    use crate::model::record::Header;
    use rdkafka::Message;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::Headers;
    use std::time::{Duration, Instant};

    fn settings(broker: &Broker, group: &str) -> KafkaSettings {
        KafkaSettings { brokers: broker.servers().into(), group: group.into(), ..KafkaSettings::default() }
    }

    fn draft(topic: &str, key: &'static str) -> Draft {
        let headers = vec![
            Header { name: "trace".into(), value: Some("t-1".into()) },
            Header { name: "none".into(), value: None },
        ];
        Draft { topic: topic.into(), key: Some(key.into()), headers, value: Some("{\"n\":10.10}".into()) }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_written_is_read_by_a_group_that_joins_at_once() {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 3).unwrap();
        let settings = settings(&broker, "readers");
        let writer = Writer::new(&settings).unwrap();
        let written = writer.write(&draft("shop.orders", "o-1")).await.unwrap();
        assert_eq!(written.offset, 0);
        let tombstone = Draft { value: None, headers: Vec::new(), ..draft("shop.orders", "o-1") };
        assert_eq!(writer.write(&tombstone).await.unwrap().offset, 1, "one key, one partition");

        let consumer: BaseConsumer = properties::consumer(&settings, Reset::Earliest).create().unwrap();
        consumer.subscribe(&["shop.orders"]).unwrap();
        let begun = Instant::now();
        let mut read = Vec::new();
        while read.len() < 2 && begun.elapsed() < Duration::from_secs(20) {
            read.extend(consumer.poll(Duration::from_millis(100)).map(|m| m.unwrap().detach()));
        }
        assert_eq!(read.len(), 2);
        assert!(begun.elapsed() < Duration::from_secs(3), "the first join took {:?}", begun.elapsed());
        assert_eq!((read[0].key(), read[0].payload()), (Some(&b"o-1"[..]), Some(&b"{\"n\":10.10}"[..])));
        let headers = read[0].headers().unwrap();
        assert_eq!((headers.get(0).key, headers.get(0).value), ("trace", Some(&b"t-1"[..])));
        assert_eq!((headers.get(1).key, headers.get(1).value), ("none", None));
        assert_eq!(read[0].partition(), written.partition);
        assert_eq!(read[1].payload(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_write_that_no_broker_answers_fails_and_says_why() {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 1).unwrap();
        let writer = Writer::with_patience(&settings(&broker, "g"), Duration::from_millis(500)).unwrap();
        broker.down().unwrap();
        let refused = writer.write(&draft("shop.orders", "o-1")).await.unwrap_err().to_string();
        assert!(refused.contains("shop.orders"), "{refused}");
        broker.up().unwrap();
        let patient = Writer::new(&settings(&broker, "g")).unwrap();
        patient.write(&draft("shop.orders", "o-1")).await.unwrap();
    }
}
