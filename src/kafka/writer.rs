//! Writes records and waits until the brokers have them: for `hookline trigger`, the demo and tests.

use crate::kafka::properties;
use crate::kafka::settings::KafkaSettings;
use crate::model::record::Header;
use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::Message;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a record may wait for its brokers unless the caller says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before a full queue of librdkafka (100,000 records) is tried again.
const FULL_QUEUE: Duration = Duration::from_millis(5);

/// Writes records; clones share the connection. Dropping the last one forgets what has no answer yet and may take
/// 600 ms.
#[derive(Clone)]
pub struct Writer(Arc<ThreadedProducer<Context>>);

/// A record that is to be written; Kafka gives it its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The topic.
    pub topic: String,
    /// The key; the partition follows from it. `None`: any partition.
    pub key: Option<Bytes>,
    /// The headers in their order.
    pub headers: Vec<Header>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// Where a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The producer could not be made; [`properties::check`] says which property is wrong.
    #[error("no producer could be made of these kafka settings: {0}")]
    Settings(String),
    /// The record was not taken, or no broker confirmed it in time.
    #[error("the record was not written to {topic}: {}", last.as_deref().unwrap_or("Kafka refused it"))]
    Refused {
        /// The topic.
        topic: String,
        /// What the client last said about its brokers.
        last: Option<String>,
        /// What came back for the record.
        #[source]
        cause: Box<KafkaError>,
    },
}

/// What librdkafka calls back.
#[derive(Default)]
struct Context {
    last: Mutex<Option<String>>,
}

type Ack = oneshot::Sender<Result<Written, KafkaError>>;

// === impl Writer ===

impl Writer {
    /// A writer to the brokers of `settings`. Nothing is connected yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn new(settings: &KafkaSettings) -> Result<Self, WriteError> {
        Self::with_patience(settings, PATIENCE)
    }

    /// A writer whose records wait at most `patience` for their brokers.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn with_patience(settings: &KafkaSettings, patience: Duration) -> Result<Self, WriteError> {
        let mut config = properties::producer(settings);
        config.set("message.timeout.ms", patience.as_millis().max(1).to_string());
        config.set("linger.ms", "0"); // who waits for each record gains nothing from a batch
        let made = config.create_with_context(Context::default());
        made.map(|producer| Self(Arc::new(producer))).map_err(|error| WriteError::Settings(without_value(&error)))
    }

    /// Writes one record and waits until all replicas that are in sync have it. Records of one partition are
    /// written in the order in which this is first polled.
    ///
    /// # Errors
    /// When the record is too large, its topic cannot be made, or no broker confirmed it in time.
    pub async fn write(&self, draft: &Draft) -> Result<Written, WriteError> {
        let refused = |cause: KafkaError| WriteError::Refused {
            topic: draft.topic.clone(),
            last: self.0.client().context().last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            cause: Box::new(cause),
        };
        loop {
            let (ack, answer) = oneshot::channel();
            match self.0.send(record(draft, ack)) {
                Ok(()) => return answer.await.unwrap_or(Err(KafkaError::Canceled)).map_err(refused),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    tokio::time::sleep(FULL_QUEUE).await;
                }
                Err((cause, _)) => return Err(refused(cause)),
            }
        }
    }
}

/// The draft as librdkafka takes it.
fn record(draft: &Draft, ack: Ack) -> BaseRecord<'_, [u8], [u8], Box<Ack>> {
    let mut record = BaseRecord::with_opaque_to(&draft.topic, Box::new(ack));
    if let Some(key) = &draft.key {
        record = record.key(key.as_ref());
    }
    if let Some(value) = &draft.value {
        record = record.payload(value.as_ref());
    }
    if draft.headers.is_empty() {
        return record;
    }
    let headers = draft.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
        headers.insert(KafkaHeader { key: &header.name, value: header.value.as_deref() })
    });
    record.headers(headers)
}

/// The error without the property's value, which may be a secret.
fn without_value(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => format!("librdkafka refuses `{name}`"),
        other => other.to_string(),
    }
}

// === impl Context ===

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, "librdkafka: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "librdkafka: {reason}");
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.trim().to_string());
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ack>;

    fn delivery(&self, result: &DeliveryResult<'_>, ack: Box<Ack>) {
        let answer = match result {
            Ok(message) => Ok(Written { partition: message.partition(), offset: message.offset() }),
            Err((cause, _)) => Err(cause.clone()),
        };
        drop(ack.send(answer)); // nobody waits any more: then nobody needs it
    }
}
