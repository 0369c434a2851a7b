//! What happens before partitions go: drain, park the rest, say what to commit. The same at a stop and at a
//! rebalance.

use crate::intake::commit::Commits;
use crate::kafka::committer::Commit;
use crate::kafka::group::Owner;
use crate::lane::signal::Of;
use crate::model::record::TopicPartition;
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
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
    fn revoke(&self, gone: &[TopicPartition]) -> Vec<Commit> {
        if let Open::Some(left) = self.wait(gone, self.drain) {
            info!(records = left, "parking what did not drain in time");
            for entry in self.directory.snapshot().iter() {
                entry.cell.act(|lane, effects| {
                    for at in gone {
                        lane.cut(Of::Partition(at), clock::now(), effects);
                    }
                });
            }
            if let Open::Some(left) = self.wait(gone, FLUSH) {
                warn!(records = left, "these records stay uncommitted; their deliveries may come twice");
            }
        }
        let commits = gone.iter().filter_map(|at| self.commits.of(at)).collect();
        gone.iter().for_each(|at| self.partitions.close(at));
        commits
    }

    fn lose(&self, gone: &[TopicPartition]) {
        gone.iter().for_each(|at| self.partitions.close(at));
        for entry in self.directory.snapshot().iter() {
            entry.cell.act(|lane, _| gone.iter().for_each(|at| lane.forget(at)));
        }
    }

    fn metadata(&self) -> String {
        self.commits.metadata()
    }
}

enum Open {
    None,
    Some(usize),
}

impl Keeper {
    /// Waits until nothing of `gone` is open, `at_most` so long.
    fn wait(&self, gone: &[TopicPartition], at_most: Duration) -> Open {
        let open = || -> usize {
            gone.iter().filter_map(|at| self.partitions.with(at, |progress| progress.unsettled())).sum()
        };
        let until = Instant::now() + at_most;
        loop {
            match (open(), until.saturating_duration_since(Instant::now())) {
                (0, _) => return Open::None,
                (left, Duration::ZERO) => return Open::Some(left),
                (_, left) => self.partitions.wait_settled(left.min(Duration::from_millis(50)), || open() == 0),
            }
        }
    }
}
