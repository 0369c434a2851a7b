//! What happens before partitions go (protocol section 5, close): attempts end or are cut off, the rest goes behind its
//! cursors, all of that is durable, then what may be committed is said. The same at a stop and at a rebalance.

use crate::intake::commit::Commits;
use crate::kafka::committer::Commit;
use crate::kafka::group::Owner;
use crate::lane::state::Lane;
use crate::model::record::TopicPartition;
use crate::progress::partitions::Partitions;
use crate::runtime::fault;
use crate::subscriptions::Directory;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How long the store may take to make durable what was cut off.
const FLUSH: Duration = Duration::from_secs(5);

pub(crate) struct Keeper {
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) commits: Commits,
    pub(crate) drain: Duration,
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

    fn metadata(&self) -> String {
        self.commits.metadata()
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
