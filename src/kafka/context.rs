//! What librdkafka calls inside a poll: partitions that come and go, reports, logs.
//!
//! What the owner must decide is asked here; what the loop must know is left as an event for the next poll.

use crate::kafka::committer::{Commit, Committer};
use crate::kafka::offsets::{self, Findings};
use crate::kafka::owner::{Found, Owner, Placed};
use crate::kafka::polled::{Polled, Seen};
use crate::model::record::TopicPartition;
use crate::runtime::fault;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// How long the last commit may wait for an earlier one: the broker's own patience with a request is longer, and a
/// group that waits for us is held up.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);

/// What the consumer calls.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    pub(crate) owner: Arc<dyn Owner>,
}

/// What the consumer and its callbacks share.
#[derive(Default)]
pub(crate) struct Shared {
    events: Mutex<VecDeque<Polled>>,
    pub(crate) seen: Mutex<Seen>,
    pub(crate) committer: OnceLock<Committer>,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn next_event(&self) -> Option<Polled> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
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
        let given_up = statistics.topics.iter().flat_map(|(topic, report)| {
            let none =
                report.partitions.iter().filter(|(id, one)| **id >= 0 && one.desired && one.fetch_state == "none");
            none.map(|(id, _)| (topic.clone(), *id))
        });
        let (connected, ends, given_up) = (Some(connected), ends.collect(), given_up.collect());
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen { connected, ends, given_up, reports: seen.reports + 1 };
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
        let Findings { found, unknown } = offsets::find(consumer, &offsets::partitions(partitions));
        let (refused, found): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|found| stranger(&self.owner, found).is_some());
        let placed = offsets::place(consumer, &self.owner, &found);
        let is_placed = |at: &TopicPartition| placed.iter().any(|placed| placed.at == *at);
        let unplaced = found.iter().map(|found| &found.at).filter(|at| !is_placed(at));
        let idle = refused.iter().map(|found| &found.at).chain(unplaced).chain(&unknown).cloned().collect::<Vec<_>>();
        let taken = placed_list(&placed).and_then(|mut list| {
            let mut add = |at: &TopicPartition| list.add_partition_offset(&at.topic, at.partition, Offset::Beginning);
            idle.iter().try_for_each(&mut add)?;
            consumer.incremental_assign(&list)
        });
        if let Err(error) = taken {
            error!(%error, "the assigned partitions were not taken");
            return;
        }
        if !idle.is_empty() {
            // They are ours as far as the group knows; what still comes of them finds no open partition.
            drop(consumer.pause(&self::list(&idle)));
        }
        begin(consumer, &self.owner, &placed);
        if let Some(other) = refused.first().and_then(|found| stranger(&self.owner, found)) {
            self.shared.push(Polled::Refused(refused.into_iter().map(|found| found.at).collect(), other));
        }
        info!(partitions = placed.len(), without_place = idle.len(), "partitions assigned");
        self.shared.push(Polled::Assigned(placed));
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

/// Whose commit a partition has, when it is not ours.
pub(crate) fn stranger(owner: &Arc<dyn Owner>, found: &Found) -> Option<String> {
    owner.stranger(&found.committed.as_ref()?.metadata)
}

/// Fetches partitions that have a place, commits what was chosen, and tells the owner where they begin.
pub(crate) fn begin<C: ConsumerContext>(consumer: &BaseConsumer<C>, owner: &Arc<dyn Owner>, placed: &[Placed]) {
    // One that was paused when it went, or was left, is paused still.
    let places = placed.iter().map(|placed| placed.at.clone()).collect::<Vec<_>>();
    if let Err(error) = consumer.resume(&list(&places)) {
        warn!(%error, "resume");
    }
    let chosen = offsets::chosen(owner, placed);
    if !chosen.is_empty()
        && let Err(error) = commit_list(&chosen).and_then(|list| consumer.commit(&list, CommitMode::Sync))
    {
        warn!(%error, "the place where new partitions begin was not committed yet");
        return;
    }
    owner.began(placed);
}

/// A committer that holds up neither the consumer's end nor the group's.
pub(crate) fn committer(consumer: Weak<BaseConsumer<Context>>, shared: Weak<Shared>) -> std::io::Result<Committer> {
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

/// A list of partitions with the offsets where they begin.
pub(crate) fn placed_list(placed: &[Placed]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(placed.len());
    for Placed { at, offset, .. } in placed {
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

/// A list of partitions, without offsets.
pub(crate) fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
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
