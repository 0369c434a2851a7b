//! What is committed, and when: the watermark of each partition when it grew, with who we are in its metadata.

use crate::intake::identity;
use crate::kafka::committer::{Commit, Sent};
use crate::kafka::group::Group;
use crate::model::record::TopicPartition;
use crate::progress::partitions::Partitions;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The commits of this process.
#[derive(Clone)]
pub(crate) struct Commits {
    store: Arc<str>,
    partitions: Arc<Partitions>,
    /// The offset that the broker last acknowledged, by partition.
    acknowledged: Arc<Mutex<HashMap<TopicPartition, i64>>>,
}

// === impl Commits ===

impl Commits {
    pub(crate) fn new(store: [u8; 16], partitions: Arc<Partitions>) -> Self {
        Self { store: identity::name(store).into(), partitions, acknowledged: Arc::default() }
    }

    /// The static member's id: the store's, whose lock makes it unique. After a kill the partitions are ours again
    /// at once, and not after the session timeout (KF-8).
    pub(crate) fn instance(&self) -> String {
        format!("hookline-{}", self.store)
    }

    /// A partition begins at `offset`, which is committed or will be before the next record.
    pub(crate) fn begin(&self, at: &TopicPartition, offset: i64) {
        self.lock().insert(at.clone(), offset);
    }

    /// A partition is gone: nothing of it may be committed any more.
    pub(crate) fn end(&self, at: &TopicPartition) {
        self.lock().remove(at);
    }

    /// Commits what grew since the last acknowledgement. INVARIANT (INV-8): a commit is never below an earlier one,
    /// for a watermark only grows within its epoch and at most one commit is out.
    pub(crate) fn send(&self, group: &Group) {
        // Not taken while one is out: then the next beat sends it.
        let _: Sent = group.commit(self.grown());
    }

    /// The broker has these.
    pub(crate) fn acknowledged(&self, commits: &[Commit]) {
        let mut acknowledged = self.lock();
        for commit in commits {
            // One of a partition that is gone by now is nobody's any more.
            if let Some(offset) = acknowledged.get_mut(&commit.at) {
                *offset = commit.offset.max(*offset);
            }
        }
    }

    /// The offset that the broker last acknowledged.
    pub(crate) fn last(&self, at: &TopicPartition) -> Option<i64> {
        self.lock().get(at).copied()
    }

    /// The commit of one partition as it stands now; `None` when it is not assigned.
    pub(crate) fn of(&self, at: &TopicPartition) -> Option<Commit> {
        let (offset, time) = self.partitions.with(at, |progress| (progress.watermark(), progress.watermark_time()))?;
        Some(Commit { at: at.clone(), offset, metadata: identity::metadata(&self.store, time) })
    }

    /// Who commits: `hookline1 s=<store id>`.
    pub(crate) fn metadata(&self) -> String {
        identity::metadata(&self.store, None)
    }

    /// The store whose commit carries this metadata, when it is another than ours.
    pub(crate) fn stranger(&self, metadata: &str) -> Option<String> {
        identity::store_of(metadata).filter(|store| **store != *self.store).map(str::to_owned)
    }

    /// Why partitions with the commits of `other` are not read.
    pub(crate) fn refusal(&self, other: &str) -> String {
        format!(
            "the group's offsets were committed by store {other}, and this is store {}: nothing is read. Either another \
             daemon uses the group, or the store was lost. Bring the old store back, or stop every daemon of the group \
             and run `hookline store adopt`, which gives up what the old store owed",
            self.store
        )
    }

    fn grown(&self) -> Vec<Commit> {
        let last = self.lock().clone();
        let grew = |commit: &Commit| last.get(&commit.at).is_some_and(|last| commit.offset > *last);
        last.keys().filter_map(|at| self.of(at)).filter(grew).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, i64>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
