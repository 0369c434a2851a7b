//! A member of the consumer group: poll, pause, commit, and what must happen before a partition goes.
//!
//! Lives on one thread of its own, which polls all the time; callbacks run inside a poll. It knows no fate of a
//! record: who owns the group settles what is open when partitions are taken away. Offsets are committed only
//! as the owner gives them (KF-4), and every start at an offset that was not committed is a decision of ours.

use crate::kafka::commits;
use crate::kafka::message::{self, Names};
use crate::kafka::offsets;
use crate::kafka::properties::{self, Reset};
use crate::kafka::settings::{KafkaSettings, Start};
use crate::model::record::{Record, TopicPartition};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// A member of the group.
pub struct Group {
    consumer: BaseConsumer<Context>,
    shared: Arc<Shared>,
    names: Names,
}

/// Who decides what becomes of open records when partitions go. Called inside a poll; may block it for as long as
/// a drain takes, well below `max.poll.interval.ms`.
pub trait Owner: Send + Sync {
    /// The partitions are about to be taken away: drain them, and say what to commit of them.
    fn revoke(&self, gone: &[TopicPartition]) -> Vec<Commit>;
    /// The partitions are gone already: nothing of them may be committed (KF-5).
    fn lose(&self, gone: &[TopicPartition]);
    /// The commit metadata for a partition that begins at a place we chose.
    fn metadata(&self) -> String;
}

/// What librdkafka says against a call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GroupError(#[from] KafkaError);

/// An offset to commit: the next to read, taken as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub at: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// ASCII, under 128 bytes.
    pub metadata: String,
}

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// A record.
    Record(Record),
    /// Partitions that are ours now, and where each begins.
    Assigned(Vec<(TopicPartition, i64)>),
    /// Partitions that are not ours any more; [`Owner`] was asked before.
    Revoked(Vec<TopicPartition>),
    /// A position is not in the log any more: call [`Group::rescue`].
    OutOfRange,
    /// Something a poll cannot mend; librdkafka goes on trying.
    Trouble(String),
}

/// A position that had to be moved because the log does not hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jump {
    /// The partition.
    pub at: TopicPartition,
    /// Where it was to go on.
    pub from: i64,
    /// Where it goes on.
    pub to: i64,
}

/// What librdkafka last reported of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whether some broker is connected; `None` before the first report.
    pub connected: Option<bool>,
    /// The end of the log by partition.
    pub ends: BTreeMap<(String, i32), i64>,
}

struct Context {
    shared: Arc<Shared>,
    owner: Arc<dyn Owner>,
    start: Start,
}

#[derive(Default)]
struct Shared {
    events: Mutex<VecDeque<Polled>>,
    seen: Mutex<Seen>,
    committing: AtomicBool,
    failed_commits: Mutex<Option<String>>,
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
        let context = Context { shared: Arc::clone(&shared), owner, start: settings.start };
        Ok(Self { consumer: config.create_with_context(context)?, shared, names: Names::default() })
    }

    /// Asks for these topics from now on; others are given back.
    ///
    /// # Errors
    /// What librdkafka says against it.
    pub fn subscribe(&self, topics: &[&str]) -> Result<(), GroupError> {
        Ok(self.consumer.subscribe(topics)?)
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
        Ok(self.consumer.pause(&list(partitions))?)
    }

    /// Fetches these partitions again.
    ///
    /// # Errors
    /// One of them is not assigned.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        Ok(self.consumer.resume(&list(partitions))?)
    }

    /// Commits without waiting; a commit that is still out makes this one wait for the next call.
    pub fn commit(&self, commits: &[Commit]) -> Sent {
        if commits.is_empty() || self.shared.committing.swap(true, Ordering::AcqRel) {
            return Sent::NotNow;
        }
        match commit_list(commits).and_then(|list| commits::send(&self.consumer, &list)) {
            Ok(()) => Sent::Yes,
            Err(error) => {
                self.shared.committing.store(false, Ordering::Release);
                warn!(%error, "commit was not taken; it is tried again");
                Sent::NotNow
            }
        }
    }

    /// Why the last commit failed, once; `None` when it did not.
    pub fn commit_failure(&self) -> Option<String> {
        self.shared.failed_commits.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Moves positions that are not in the log: to its beginning, which may bring twins and loses nothing that is
    /// still there. Gives the moves.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn rescue(&self, positions: &[(TopicPartition, i64)]) -> Result<Vec<Jump>, GroupError> {
        let mut jumps = Vec::new();
        for (at, from) in positions {
            let (low, high) = self.consumer.fetch_watermarks(&at.topic, at.partition, offsets::PATIENCE)?;
            if (low..=high).contains(from) {
                continue;
            }
            self.consumer.seek(&at.topic, at.partition, Offset::Offset(low), offsets::PATIENCE)?;
            jumps.push(Jump { at: at.clone(), from: *from, to: low });
        }
        Ok(jumps)
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

/// Whether a commit went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It did.
    Yes,
    /// It did not: there is nothing to commit, or one is still out.
    NotNow,
}

// === impl Shared ===

impl Shared {
    fn next_event(&self) -> Option<Polled> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn push(&self, event: Polled) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}

// === impl Context ===

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                warn!(facility, "kafka: {message}");
            }
            _ => debug!(facility, "kafka: {message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let connected = statistics.brokers.values().any(|broker| broker.state == "UP");
        let ends = statistics.topics.iter().flat_map(|(topic, report)| {
            let partitions = report.partitions.iter().filter(|(id, end)| **id >= 0 && end.hi_offset >= 0);
            partitions.map(|(id, end)| ((topic.clone(), *id), end.hi_offset))
        });
        let seen = Seen { connected: Some(connected), ends: ends.collect() };
        *self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, "kafka: {reason}");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, partitions),
            _ => self.unassign(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.shared.committing.store(false, Ordering::Release);
        let benign = matches!(&result, Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)));
        if let (Err(error), false) = (result, benign) {
            let mut failed = self.shared.failed_commits.lock().unwrap_or_else(PoisonError::into_inner);
            *failed = Some(error.to_string());
        }
    }
}

impl Context {
    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) {
        if partitions.count() == 0 {
            drop(consumer.incremental_assign(partitions));
            return;
        }
        let begins = offsets::begin(consumer, partitions, self.start);
        let chosen = begins.iter().filter(|begin| begin.chosen).map(|begin| {
            // Without this commit a kill before the first one would choose again, further on.
            Commit { at: begin.at.clone(), offset: begin.offset, metadata: self.owner.metadata() }
        });
        let chosen = chosen.collect::<Vec<_>>();
        let mut list = TopicPartitionList::with_capacity(begins.len());
        for begin in &begins {
            drop(list.add_partition_offset(&begin.at.topic, begin.at.partition, Offset::Offset(begin.offset)));
        }
        if let Err(error) = consumer.incremental_assign(&list) {
            error!(%error, "the assigned partitions were not taken");
            return;
        }
        if !chosen.is_empty()
            && let Err(error) = commit_list(&chosen).and_then(|list| consumer.commit(&list, CommitMode::Sync))
        {
            warn!(%error, "the place where new partitions begin was not committed yet");
        }
        info!(partitions = begins.len(), "partitions assigned");
        self.shared.push(Polled::Assigned(begins.into_iter().map(|begin| (begin.at, begin.offset)).collect()));
    }

    fn unassign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let gone = offsets::partitions(partitions);
        if consumer.assignment_lost() {
            warn!(partitions = gone.len(), "partitions lost: the session expired");
            self.owner.lose(&gone);
        } else if !gone.is_empty() {
            let commits = self.owner.revoke(&gone);
            if let Err(error) = commit_list(&commits).and_then(|list| match list.count() {
                0 => Ok(()),
                _ => consumer.commit(&list, CommitMode::Sync),
            }) {
                warn!(%error, "the last commit of revoked partitions failed; some deliveries may come twice");
            }
            info!(partitions = gone.len(), "partitions given back");
        }
        if let Err(error) = consumer.incremental_unassign(partitions) {
            debug!(%error, "unassign");
        }
        self.shared.push(Polled::Revoked(gone));
    }
}

fn trouble(error: &KafkaError) -> Option<Polled> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Some(Polled::OutOfRange),
        Some(RDKafkaErrorCode::PartitionEOF) => None,
        _ => Some(Polled::Trouble(error.to_string())),
    }
}

fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for at in partitions {
        list.add_partition(&at.topic, at.partition);
    }
    list
}

fn commit_list(commits: &[Commit]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for Commit { at, offset, metadata } in commits {
        let mut elem = list.add_partition(&at.topic, at.partition);
        elem.set_offset(Offset::Offset(*offset))?;
        elem.set_metadata(metadata);
    }
    Ok(list)
}
