//! Where partitions begin, and begin again: opened where they were placed, left when the log is not what it was, placed
//! anew. Each jump is logged, counted and shown.

use crate::intake::begin::{self, Log};
use crate::intake::joins;
use crate::intake::keeper::Keeper;
use crate::kafka::group::{Group, GroupError};
use crate::kafka::owner::{Place, Placed};
use crate::model::cursor::CursorRow;
use crate::model::jump::{Jump, JumpReason};
use crate::model::operational;
use crate::model::record::TopicPartition;
use crate::pipeline::Pipeline;
use crate::runtime::clock;
use crate::runtime::fault;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// How long until a partition that could not be placed is tried again: the cluster may be away, and each try waits.
const AGAIN: Duration = Duration::from_secs(3);
/// How long the cluster may take to say what topics are.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where partitions begin.
pub(crate) struct Places {
    keeper: Arc<Keeper>,
    /// The last jump of each partition.
    jumps: HashMap<TopicPartition, Jump>,
    tried: Option<Instant>,
    doubt: Doubt,
    /// What librdkafka had given up fetching by an earlier report.
    given_up: BTreeSet<(String, i32)>,
    reports: u64,
}

/// Whether some position may not be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    No,
    Yes,
}

/// Why a partition was not opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("what is owed of it cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("the place of a cursor cannot be found: {0}")]
    Kafka(#[from] GroupError),
}

// === impl Places ===

impl Places {
    pub(crate) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, jumps: HashMap::new(), tried: None, doubt: Doubt::No, given_up: BTreeSet::new(), reports: 0 }
    }

    /// The last jump of a partition.
    pub(crate) fn jump(&self, at: &TopicPartition) -> Option<Jump> {
        self.jumps.get(at).copied()
    }

    /// Begins an epoch of partitions. One that cannot be opened stays closed, and is placed again later.
    pub(crate) fn open(&mut self, group: &Group, placed: &[Placed]) {
        // Rows of earlier epochs that are still on their way count.
        let settled = self.keeper.directory.hands().store.settle();
        placed.iter().for_each(|placed| self.begin((group, &settled), placed));
    }

    fn begin(&mut self, (group, settled): (&Group, &Result<(), StoreError>), placed: &Placed) {
        let at = &placed.at;
        debug!(topic = %at.topic, partition = at.partition, offset = placed.offset, "begins");
        fault::point("open.begin");
        let opened = settled.clone().map_err(OpenError::from).and_then(|()| self.try_open(group, placed));
        if let Err(error) = opened {
            error!(topic = %at.topic, partition = at.partition, %error, "a partition cannot begin");
            self.keeper.partitions.close(at); // nothing of it may be admitted
            return;
        }
        if placed.decision.place != Place::Committed {
            self.keeper.commits.copy(std::slice::from_ref(at));
        }
        if let Some((from, reason)) = placed.decision.jump {
            self.jumped(at, Jump { from, to: placed.offset, reason, at: clock::now() });
        }
        fault::point("open.done");
    }

    fn try_open(&self, group: &Group, placed: &Placed) -> Result<(), OpenError> {
        let (at, keeper) = (&placed.at, &self.keeper);
        mend(group, placed, &keeper.directory.hands().store)?;
        let epoch = keeper.partitions.open(at, placed.offset);
        keeper.partitions.with(at, |progress| progress.recall(placed.decision.near));
        keeper.directory.open(at, epoch)?;
        keeper.commits.begin(at, placed.offset);
        joins::begun(&keeper.directory, &keeper.commits, at);
        Ok(())
    }

    fn jumped(&mut self, at: &TopicPartition, jump: Jump) {
        let Jump { from, to, reason, .. } = jump;
        let what = match reason {
            JumpReason::Retention => "retention took records before they were read",
            JumpReason::Truncated => {
                "the log ends before the place where it was left, or was cut below it: records come again"
            }
            JumpReason::MadeAnew => "the topic was made anew: it begins by the time of what was read last",
            JumpReason::CommitLost => "Kafka has lost the group's commit: it goes on by the store's copy",
        };
        warn!(topic = %at.topic, partition = at.partition, ?from, to, reason = reason.as_str(), "{what}");
        self.keeper.directory.hands().metrics.jumped(reason);
        self.jumps.insert(at.clone(), jump);
    }

    /// Places what is ours and has no place; gives what has begun by that.
    pub(crate) fn place(&mut self, group: &Group) -> Vec<TopicPartition> {
        let mut closed = group.assigned();
        closed.retain(|at| !self.keeper.partitions.is_open(at));
        if closed.is_empty() || self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return Vec::new();
        }
        self.tried = Some(Instant::now());
        let placed = group.place(&closed);
        self.open(group, &placed);
        placed.into_iter().map(|placed| placed.at).collect()
    }

    /// Leaves the partitions of topics that were made anew: librdkafka goes on in the new one at the old offset.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub(crate) fn examine(&mut self, group: &Group, topics: &BTreeSet<String>) -> Result<(), GroupError> {
        let open = self.keeper.partitions.assigned();
        let read = topics.iter().filter(|topic| open.iter().any(|at| *at.topic == ***topic)).map(String::as_str);
        let found = group.describe(&read.collect::<Vec<_>>(), PATIENCE)?;
        let store = self.keeper.directory.hands().store.known();
        let anew = |at: &TopicPartition| {
            let id = found.get(&*at.topic).and_then(|topic| topic.id);
            store.topic(&at.topic).zip(id).is_some_and(|(stored, id)| stored != id)
        };
        self.leave(open.into_iter().filter(anew).collect(), Log::Intact);
        Ok(())
    }

    /// Some position is not in the log: [`Places::check`] finds out which.
    pub(crate) fn doubt(&mut self) {
        self.doubt = Doubt::Yes;
    }

    /// Leaves the partitions whose position is not in the log, when there is doubt, and those that librdkafka has given
    /// up fetching by two reports in a row: their log was cut below the position and has grown past it again.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub(crate) fn check(&mut self, group: &Group) -> Result<(), GroupError> {
        if self.doubt == Doubt::Yes {
            let mut gone = Vec::new();
            for at in self.keeper.partitions.assigned() {
                let (low, high) = group.held(&at)?;
                let position = self.keeper.partitions.with(&at, |progress| progress.position());
                if position.is_some_and(|position| !(low..=high).contains(&position)) {
                    gone.push(at);
                }
            }
            self.doubt = Doubt::No;
            self.leave(gone, Log::Intact);
        }
        let seen = group.seen();
        if seen.reports != self.reports {
            self.reports = seen.reports;
            let before = std::mem::replace(&mut self.given_up, seen.given_up);
            let stuck = |at: &TopicPartition| {
                let key = (at.topic.to_string(), at.partition);
                before.contains(&key) && self.given_up.contains(&key)
            };
            self.leave(self.keeper.partitions.assigned().into_iter().filter(stuck).collect(), Log::Cut);
        }
        Ok(())
    }

    fn leave(&mut self, gone: Vec<TopicPartition>, log: Log) {
        if !gone.is_empty() {
            info!(partitions = gone.len(), ?log, "the log is not what it was: they are left, and begin again");
            self.keeper.leave(&gone, log);
            self.tried = None;
        }
    }

    /// Lets the ledger's rows be tried of partitions that nobody brings: no rule reads the topic, or it is gone.
    ///
    /// # Errors
    /// The cluster did not answer, or the store cannot be read.
    pub(crate) fn owe(&self, group: &Group, pipeline: &Pipeline) -> Result<(), String> {
        let directory = &self.keeper.directory;
        let owing = directory.hands().store.known().owing().map_err(|error| error.to_string())?;
        let is_kafkas = |at: &TopicPartition| *at.topic != *operational::TOPIC; // the others are tried from the start on
        let closed = owing.into_iter().filter(|at| is_kafkas(at) && !self.keeper.partitions.is_open(at));
        let closed = closed.collect::<Vec<_>>();
        let is_read = |at: &&TopicPartition| pipeline.reads(&at.topic);
        let (read, forsaken): (Vec<_>, Vec<_>) = closed.iter().partition(is_read);
        let names = read.iter().map(|at| &*at.topic).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let found = group.describe(&names, PATIENCE);
        let there: BTreeMap<_, _> = found.as_ref().map(|found| found.iter().collect()).unwrap_or_default();
        let is_gone =
            |at: &&TopicPartition| there.get(&at.topic.to_string()).is_some_and(|it| at.partition >= it.partitions);
        for at in forsaken.into_iter().chain(read.into_iter().filter(is_gone)) {
            directory.owe(at).map_err(|error| error.to_string())?;
        }
        found.map(drop).map_err(|error| error.to_string())
    }
}

/// Cursors that stand past the end of the log are placed by time, like the group's own position, and all of them when the
/// log was cut, for nobody knows where; replays end with the log. Durable by the time that lanes are told of them.
fn mend(group: &Group, placed: &Placed, store: &crate::store::Store) -> Result<(), OpenError> {
    let cut = placed.decision.jump.is_some_and(|(_, reason)| reason == JumpReason::Truncated);
    let (mut batch, mut mends) = (Batch::new(), false);
    for (key, row) in store.cursors_of(&placed.at)? {
        if !cut && row.to.unwrap_or(row.offset).max(row.offset) <= placed.high {
            continue;
        }
        let mended = match row.to {
            Some(to) => CursorRow { offset: row.offset.min(placed.high), to: Some(to.min(placed.high)), ..row },
            None => {
                let since = row.near.map(|near| group.since(&placed.at, begin::before(near))).transpose()?;
                CursorRow { offset: since.flatten().unwrap_or(placed.low).min(row.offset), ..row }
            }
        };
        if mended == row {
            continue;
        }
        warn!(subscription = %key.sid, topic = %placed.at.topic, partition = placed.at.partition, from = row.offset,
            to = mended.offset, "a cursor is placed anew: the log ends before it, or was cut");
        batch.cursor(&key, &mended);
        mends = true;
    }
    if mends {
        store.submit(batch, |_| {});
        store.settle()?;
    }
    Ok(())
}
