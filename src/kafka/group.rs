//! A member of the consumer group: poll, pause, commit, and what must happen before a partition goes.
//!
//! Lives on one thread of its own, which polls all the time; callbacks run inside a poll. It knows no fate of a
//! record: who owns the group settles what is open when partitions are taken away. Offsets are committed only
//! as the owner gives them (KF-4), and every start at an offset that was not committed is a decision of ours.

use crate::kafka::committer::{Commit, Sent};
use crate::kafka::context::{self, Context, SETTLE, Shared};
use crate::kafka::describe::{self, Described};
use crate::kafka::message::{self, Names};
use crate::kafka::offsets;
use crate::kafka::owner::{Owner, Placed};
use crate::kafka::polled::{Polled, Seen};
use crate::kafka::properties::{self, Reset};
use crate::kafka::settings::KafkaSettings;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tracing::warn;

/// A member of the group.
pub struct Group {
    consumer: Arc<BaseConsumer<Context>>,
    owner: Arc<dyn Owner>,
    shared: Arc<Shared>,
    names: Names,
}

/// What librdkafka says against a call.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The client refused it.
    #[error("{0}")]
    Client(#[from] KafkaError),
    /// The system gives no thread to commit on.
    #[error("no thread to commit on")]
    Thread(#[source] std::io::Error),
}

// === impl Group ===

impl Group {
    /// Makes a member; nothing is read before [`Group::subscribe`]. `instance` is the static member's id, unless
    /// the properties name one.
    ///
    /// # Errors
    /// The first property that librdkafka refuses.
    pub fn new(settings: &KafkaSettings, instance: &str, owner: Arc<dyn Owner>) -> Result<Self, GroupError> {
        let mut config = properties::consumer(settings, Reset::Error);
        if !settings.properties.contains_key("group.instance.id") {
            config.set("group.instance.id", instance);
        }
        config.set("statistics.interval.ms", "2000").set_log_level(RDKafkaLogLevel::Warning);
        let shared = Arc::new(Shared::default());
        let context = Context { shared: Arc::clone(&shared), owner: Arc::clone(&owner) };
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(config.create_with_context(context)?);
        let committer = context::committer(Arc::downgrade(&consumer), Arc::downgrade(&shared));
        drop(shared.committer.set(committer.map_err(GroupError::Thread)?));
        Ok(Self { consumer, owner, shared, names: Names::default() })
    }

    /// Asks for these topics from now on; others are given back.
    ///
    /// # Errors
    /// What librdkafka says against it.
    pub fn subscribe(&self, topics: &[&str]) -> Result<(), GroupError> {
        Ok(self.consumer.subscribe(topics)?)
    }

    /// Asks for no topic any more: all partitions are given back while polling goes on.
    pub fn withdraw(&self) {
        self.consumer.unsubscribe();
    }

    /// The names of all topics of the cluster. Blocks for `within` at most.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn topics(&self, within: Duration) -> Result<Vec<String>, GroupError> {
        let metadata = self.consumer.fetch_metadata(None, within)?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// Waits for the next thing that happens, `within` at most.
    pub fn poll(&mut self, within: Duration) -> Option<Polled> {
        if let Some(event) = self.shared.next_event() {
            return Some(event);
        }
        match self.consumer.poll(within) {
            Some(Ok(message)) => Some(Polled::Record(message::record(&message, &mut self.names))),
            Some(Err(error)) => trouble(&error),
            None => self.shared.next_event(),
        }
    }

    /// Stops to fetch these partitions; polling goes on.
    ///
    /// # Errors
    /// One of them is not assigned.
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        Ok(self.consumer.pause(&context::list(partitions))?)
    }

    /// Fetches these partitions again.
    ///
    /// # Errors
    /// One of them is not assigned.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        Ok(self.consumer.resume(&context::list(partitions))?)
    }

    /// Commits without waiting; what came of it is polled. A commit that is still out makes this one wait for the
    /// next call.
    pub fn commit(&self, commits: Vec<Commit>) -> Sent {
        self.shared.committer.get().map_or(Sent::NotNow, |committer| committer.take(commits))
    }

    /// The partitions that are ours as far as the group knows. None while there is something to poll that may say more.
    #[must_use]
    pub fn assigned(&self) -> Vec<TopicPartition> {
        let assignment = self.consumer.assignment().ok().filter(|_| !self.shared.has_events());
        assignment.map(|list| offsets::partitions(&list)).unwrap_or_default()
    }

    /// Finds a place for partitions that are ours, and goes on there: the owner decides. Those that have none yet (the
    /// cluster does not answer, or does not know them) are left out.
    pub fn place(&self, partitions: &[TopicPartition]) -> Vec<Placed> {
        let Some(committer) = self.shared.committer.get() else { return Vec::new() };
        committer.settle(SETTLE); // no older commit may follow
        let (consumer, owner) = (&*self.consumer, &self.owner);
        let found = offsets::find(consumer, partitions).found.into_iter();
        let ours = found.filter(|found| context::stranger(owner, found).is_none()).collect::<Vec<_>>();
        let placed = offsets::place(consumer, owner, &ours);
        if placed.is_empty() {
            return placed;
        }
        let places = placed.iter().map(|placed| placed.at.clone()).collect::<Vec<_>>();
        // A partition that librdkafka has given up fetching cannot be sought; taken anew it can be read.
        let taken = consumer
            .incremental_unassign(&context::list(&places))
            .and_then(|()| consumer.incremental_assign(&context::placed_list(&placed)?));
        if let Err(error) = taken {
            warn!(%error, "partitions that were placed anew were not taken");
            return Vec::new();
        }
        context::begin(consumer, owner, &placed);
        placed
    }

    /// The first offset of `at` whose record is not older than `time`; `None` when all are.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn since(&self, at: &TopicPartition, time: Timestamp) -> Result<Option<i64>, GroupError> {
        Ok(offsets::since(&self.consumer, at, time)?)
    }

    /// What the log of `at` holds: its first offset, and the one behind its last.
    ///
    /// # Errors
    /// The cluster did not answer, or does not know it.
    pub fn held(&self, at: &TopicPartition) -> Result<(i64, i64), GroupError> {
        Ok(self.consumer.fetch_watermarks(&at.topic, at.partition, offsets::PATIENCE)?)
    }

    /// What the cluster says of `topics`, by name. Blocks for `within` at most.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn describe(&self, topics: &[&str], within: Duration) -> Result<BTreeMap<String, Described>, GroupError> {
        Ok(describe::describe(self.consumer.client(), topics, within)?)
    }

    /// What librdkafka last reported of the cluster.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves: gives the partitions back (the owner is asked first) and closes. Blocks.
    pub fn leave(self) {
        self.consumer.unsubscribe();
        while let Ok(assigned) = self.consumer.assignment() {
            if assigned.count() == 0 {
                break;
            }
            // Records that still come are not admitted, so they are not committed.
            drop(self.consumer.poll(Duration::from_millis(50)));
        }
    }
}

fn trouble(error: &KafkaError) -> Option<Polled> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Some(Polled::OutOfRange),
        Some(RDKafkaErrorCode::PartitionEOF) => None,
        Some(RDKafkaErrorCode::FencedInstanceId) => Some(Polled::Fenced),
        _ => Some(Polled::Trouble(error.to_string())),
    }
}
