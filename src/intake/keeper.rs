//! What happens before partitions go (protocol section 5, close): attempts end or are cut off, the rest goes behind its
//! cursors, all of that is durable, then what may be committed is said. The same at a stop and at a rebalance.
//!
//! And what must be known before they come: where they were left, and whether their topic is still the same.

use crate::intake::begin::{self, Acquaintance, Left, Log, Memory};
use crate::intake::commit::Commits;
use crate::intake::identity;
use crate::kafka::committer::Commit;
use crate::kafka::owner::{Decision, Found, Owner, Placed};
use crate::kafka::settings::Start;
use crate::lane::state::Lane;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::model::topic::TopicId;
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
use crate::runtime::fault;
use crate::store::error::StoreError;
use crate::subscriptions::Directory;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How long the store may take to make durable what was cut off.
const FLUSH: Duration = Duration::from_secs(5);

pub(crate) struct Keeper {
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) commits: Commits,
    pub(crate) drain: Duration,
    /// `kafka.start`.
    pub(crate) start: Start,
    pub(crate) known: Mutex<Known>,
}

/// What this process has seen of topics and partitions.
#[derive(Default)]
pub(crate) struct Known {
    /// Topics that were not there when they were first asked for: all that they hold came since.
    pub(crate) awaited: HashSet<Arc<str>>,
    /// Where partitions were left that are to begin again.
    left: HashMap<TopicPartition, Left>,
    /// Topics that were made anew.
    renewed: HashMap<Arc<str>, Renewed>,
}

/// A topic that was made anew.
struct Renewed {
    /// The name under which the store has the old one.
    old: Arc<str>,
    /// The partitions that have begun in the new one.
    begun: HashSet<i32>,
}

impl Owner for Keeper {
    /// INVARIANT (INV-9): closed, durable, committed, forgotten, in this order; then nothing comes twice but what
    /// had to be cut off.
    fn revoke(&self, gone: &[TopicPartition]) -> Vec<Commit> {
        fault::point("close.begin");
        let snapshot = self.directory.snapshot();
        for entry in snapshot.iter() {
            entry.cell.act(|lane, _| gone.iter().for_each(|at| lane.stop(at)));
        }
        if let Open::Some(attempts) = self.wait(self.drain, || self.in_flight(gone)) {
            info!(attempts, "cutting off what did not end in time");
        }
        fault::point("close.stopped");
        for at in gone {
            let Some(position) = self.partitions.with(at, |progress| progress.position()) else { continue };
            for entry in snapshot.iter() {
                entry.cell.act(|lane, turn| lane.close(at, position, turn));
            }
        }
        self.commits.copy(gone);
        fault::point("close.detached");
        if let Open::Some(records) = self.wait(FLUSH, || self.unsettled(gone)) {
            warn!(records, "these records stay uncommitted; their deliveries may come twice");
        }
        fault::point("close.durable");
        let commits = gone.iter().filter_map(|at| self.commits.of(at)).collect();
        self.lose(gone);
        commits
    }

    fn lose(&self, gone: &[TopicPartition]) {
        gone.iter().for_each(|at| self.partitions.close(at));
        for entry in self.directory.snapshot().iter() {
            entry.cell.act(|lane, turn| gone.iter().for_each(|at| lane.forget(at, turn)));
        }
    }

    fn decide(&self, found: &Found) -> Option<Decision> {
        let at = &found.at;
        let memory = self.recall(found).inspect_err(|error| {
            error!(topic = %at.topic, partition = at.partition, %error, "where it begins cannot be told");
        });
        let decision = begin::decide(found, &memory.ok()?, clock::now());
        self.commits.know(&at.topic, found.topic);
        Some(decision)
    }

    fn began(&self, placed: &[Placed]) {
        for Placed { at, topic, .. } in placed {
            let mut known = self.known();
            known.left.remove(at);
            if let Some(renewed) = known.renewed.get_mut(&at.topic) {
                renewed.begun.insert(at.partition);
            }
            drop(known);
            let store = self.directory.hands().store.known();
            if let Some(id) = topic.filter(|_| store.topic(&at.topic).is_none())
                && let Err(error) = store.meet(&at.topic, id)
            {
                error!(topic = %at.topic, %error, "a topic could not be remembered");
            }
        }
    }

    fn metadata(&self, topic: &str, near: Option<Timestamp>) -> String {
        self.commits.metadata(topic, near)
    }

    fn stranger(&self, metadata: &str) -> Option<String> {
        self.commits.stranger(metadata)
    }
}

enum Open {
    None,
    Some(usize),
}

impl Keeper {
    /// Leaves partitions that stay ours: they are to begin again, elsewhere in the log or in another one. What is in
    /// memory may be in no log any more, so it gets the time of a drain first; then all is as at a revocation.
    pub(crate) fn leave(&self, gone: &[TopicPartition], log: Log) {
        if let Open::Some(records) = self.wait(self.drain, || self.unsettled(gone)) {
            info!(records, "left with deliveries that did not end in time");
        }
        for Commit { at, offset, metadata } in self.revoke(gone) {
            self.known().left.insert(at, Left { offset, near: identity::time_of(&metadata), log });
        }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, found: &Found) -> Result<Memory, StoreError> {
        let (at, store, group) = (&found.at, self.directory.hands().store.known(), self.commits.group());
        if let Some(id) = found.topic
            && store.topic(&at.topic).is_some_and(|stored| stored != id)
        {
            self.renew(&at.topic, id)?;
        }
        let known = self.known();
        let renewed = known.renewed.get(&at.topic).filter(|renewed| !renewed.begun.contains(&at.partition));
        let old = renewed.map(|renewed| TopicPartition { topic: Arc::clone(&renewed.old), partition: at.partition });
        let topic = match (store.has_begun(group, &at.topic)?, &old) {
            (true, Some(_)) => Acquaintance::MadeAnew,
            (true, None) => Acquaintance::Same,
            (false, _) if known.awaited.contains(&at.topic) => Acquaintance::Born,
            (false, _) => Acquaintance::None,
        };
        let copy = store.commit(old.as_ref().unwrap_or(at))?.filter(|copy| *copy.group == *group);
        Ok(Memory { topic, left: known.left.get(at).copied(), copy, start: self.start })
    }

    /// A topic was deleted and made anew: nothing of the old one is read any more, and what is owed of it is tried on.
    fn renew(&self, topic: &Arc<str>, id: TopicId) -> Result<(), StoreError> {
        let store = self.directory.hands().store.known();
        let open = self.partitions.assigned().into_iter().filter(|at| at.topic == *topic).collect::<Vec<_>>();
        self.leave(&open, Log::Intact);
        let owing = store.owing()?.into_iter().filter(|at| at.topic == *topic).collect::<Vec<_>>();
        self.lose(&owing); // rows have another name from now on
        let old = store.renew((topic, id), clock::now())?;
        warn!(%topic, %id, "the topic was deleted and made anew: what was not read of the old one is lost");
        for at in store.owing()?.iter().filter(|at| at.topic == old) {
            self.directory.owe(at)?;
        }
        self.known().renewed.insert(Arc::clone(topic), Renewed { old, begun: HashSet::new() });
        Ok(())
    }

    fn in_flight(&self, gone: &[TopicPartition]) -> usize {
        let snapshot = self.directory.snapshot();
        let of = |lane: &mut Lane| gone.iter().map(|at| lane.in_flight(at)).sum::<usize>();
        snapshot.iter().map(|entry| entry.cell.act(|lane, _| of(lane))).sum()
    }

    fn unsettled(&self, gone: &[TopicPartition]) -> usize {
        gone.iter().filter_map(|at| self.partitions.with(at, |progress| progress.unsettled())).sum()
    }

    /// Waits until nothing is `open`, `at_most` so long.
    fn wait(&self, at_most: Duration, open: impl Fn() -> usize) -> Open {
        let until = Instant::now() + at_most;
        loop {
            match (open(), until.saturating_duration_since(Instant::now())) {
                (0, _) => return Open::None,
                (left, Duration::ZERO) => return Open::Some(left),
                (_, left) => self.partitions.wait_settled(left.min(Duration::from_millis(20)), || false),
            }
        }
    }
}
