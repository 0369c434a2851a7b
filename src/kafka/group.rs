//! A member of the consumer group: poll, pause, commit, and what must happen before a partition goes.
//!
//! Lives on one thread of its own, which polls all the time; callbacks run inside a poll. It knows no fate of a
//! record: who owns the group settles what is open when partitions are taken away. Offsets are committed only
//! as the owner gives them (KF-4), and every start at an offset that was not committed is a decision of ours.

use crate::kafka::committer::{Commit, Committer, Sent};
use crate::kafka::message::{self, Names};
use crate::kafka::offsets::{self, Begin};
use crate::kafka::properties::{self, Reset};
use crate::kafka::settings::{KafkaSettings, Start};
use crate::model::record::{Record, TopicPartition};
use crate::runtime::fault;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// A member of the group.
pub struct Group {
    consumer: Arc<BaseConsumer<Context>>,
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
    /// Whose commit it is that carries this metadata, when it is not ours.
    fn stranger(&self, metadata: &str) -> Option<String>;
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

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// A record.
    Record(Record),
    /// Partitions that are ours now, and where each begins.
    Assigned(Vec<(TopicPartition, i64)>),
    /// Partitions whose commits are another owner's, and who that is: they are not read.
    Refused(Vec<TopicPartition>, String),
    /// Partitions that are not ours any more; [`Owner`] was asked before.
    Revoked(Vec<TopicPartition>),
    /// The broker acknowledged these commits.
    Committed(Vec<Commit>),
    /// A commit was not acknowledged, and why; nothing of it counts.
    NotCommitted(String),
    /// A position is not in the log any more: call [`Group::rescue`].
    OutOfRange,
    /// Something a poll cannot mend; librdkafka goes on trying.
    Trouble(String),
    /// Another process joined the group under this member's id; this one is out for good.
    Fenced,
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

/// How long the last commit may wait for an earlier one: the broker's own patience with a request is longer, and a
/// group that waits for us is held up.
const SETTLE: Duration = Duration::from_secs(5);

struct Context {
    shared: Arc<Shared>,
    owner: Arc<dyn Owner>,
    start: Start,
}

#[derive(Default)]
struct Shared {
    events: Mutex<VecDeque<Polled>>,
    seen: Mutex<Seen>,
    committer: OnceLock<Committer>,
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
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(config.create_with_context(context)?);
        let committer = committer(Arc::downgrade(&consumer), Arc::downgrade(&shared)).map_err(GroupError::Thread)?;
        drop(shared.committer.set(committer));
        Ok(Self { consumer, shared, names: Names::default() })
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
        Ok(self.consumer.pause(&list(partitions))?)
    }

    /// Fetches these partitions again.
    ///
    /// # Errors
    /// One of them is not assigned.
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), GroupError> {
        Ok(self.consumer.resume(&list(partitions))?)
    }

    /// Commits without waiting; what came of it is polled. A commit that is still out makes this one wait for the
    /// next call.
    pub fn commit(&self, commits: Vec<Commit>) -> Sent {
        self.shared.committer.get().map_or(Sent::NotNow, |committer| committer.take(commits))
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
}

impl Context {
    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) {
        if partitions.count() == 0 {
            drop(consumer.incremental_assign(partitions));
            return;
        }
        let begins = offsets::begin(consumer, partitions, self.start);
        let stranger = |begin: &Begin| self.owner.stranger(&begin.metadata);
        let (refused, begins): (Vec<_>, Vec<_>) = begins.into_iter().partition(|begin| stranger(begin).is_some());
        let chosen = begins.iter().filter(|begin| begin.chosen).map(|begin| {
            // Without this commit a kill before the first one would choose again, further on.
            Commit { at: begin.at.clone(), offset: begin.offset, metadata: self.owner.metadata() }
        });
        let chosen = chosen.collect::<Vec<_>>();
        let mut list = TopicPartitionList::with_capacity(partitions.count());
        for begin in begins.iter().chain(&refused) {
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
        if let Some(other) = refused.first().and_then(stranger) {
            let refused = refused.into_iter().map(|begin| begin.at).collect::<Vec<_>>();
            // They are ours as far as the group knows; what still comes of them finds no open partition.
            drop(consumer.pause(&self::list(&refused)));
            self.shared.push(Polled::Refused(refused, other));
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
            if let Some(committer) = self.shared.committer.get() {
                committer.settle(SETTLE);
            }
            fault::point("close.commit");
            if let Err(error) = commit_list(&commits).and_then(|list| match list.count() {
                0 => Ok(()),
                _ => consumer.commit(&list, CommitMode::Sync),
            }) {
                warn!(%error, "the last commit of revoked partitions failed; some deliveries may come twice");
            }
            fault::point("close.committed");
            info!(partitions = gone.len(), "partitions given back");
        }
        if let Err(error) = consumer.incremental_unassign(partitions) {
            debug!(%error, "unassign");
        }
        self.shared.push(Polled::Revoked(gone));
    }
}

/// A committer that holds up neither the consumer's end nor the group's.
fn committer(consumer: Weak<BaseConsumer<Context>>, shared: Weak<Shared>) -> std::io::Result<Committer> {
    let send = move |commits: &[Commit]| match consumer.upgrade() {
        Some(consumer) => commit_list(commits).and_then(|list| consumer.commit(&list, CommitMode::Sync)),
        None => Ok(()),
    };
    let answered = move |commits, result| {
        let Some(shared) = shared.upgrade() else { return };
        shared.push(match result {
            Ok(()) => Polled::Committed(commits),
            Err(why) => Polled::NotCommitted(why),
        });
    };
    Committer::start(Box::new(send), Box::new(answered))
}

fn trouble(error: &KafkaError) -> Option<Polled> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Some(Polled::OutOfRange),
        Some(RDKafkaErrorCode::PartitionEOF) => None,
        Some(RDKafkaErrorCode::FencedInstanceId) => Some(Polled::Fenced),
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
