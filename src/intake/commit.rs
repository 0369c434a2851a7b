//! What is committed, and when: the watermark of each partition when it grew, with who we are in its metadata.

use crate::kafka::group::{Commit, Group, Sent};
use crate::model::record::TopicPartition;
use crate::progress::partitions::Partitions;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::warn;

/// The commits of this process.
#[derive(Clone)]
pub(crate) struct Commits {
    store: Arc<str>,
    partitions: Arc<Partitions>,
    /// The offset that was last handed to the client, by partition.
    sent: Arc<Mutex<HashMap<TopicPartition, i64>>>,
}

// === impl Commits ===

impl Commits {
    pub(crate) fn new(store: [u8; 16], partitions: Arc<Partitions>) -> Self {
        let store = store.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { store: store.into(), partitions, sent: Arc::default() }
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

    /// Commits what grew since the last time. A commit that failed is sent again.
    pub(crate) fn send(&self, group: &Group) {
        if let Some(failure) = group.commit_failure() {
            warn!("the last commit failed and is sent again: {failure}");
            self.lock().values_mut().for_each(|offset| *offset = -1);
        }
        let grown = self.grown();
        if group.commit(&grown) == Sent::Yes {
            let mut sent = self.lock();
            for commit in grown {
                sent.insert(commit.at, commit.offset);
            }
        }
    }

    /// The commit of one partition as it stands now; `None` when it is not assigned.
    pub(crate) fn of(&self, at: &TopicPartition) -> Option<Commit> {
        let (offset, time) = self.partitions.with(at, |progress| (progress.watermark(), progress.watermark_time()))?;
        let metadata = match time {
            Some(time) => format!("{} ts={}", self.metadata(), time.as_millis()),
            None => self.metadata(),
        };
        Some(Commit { at: at.clone(), offset, metadata })
    }

    /// Who commits: `hookline1 s=<store id>`.
    pub(crate) fn metadata(&self) -> String {
        format!("hookline1 s={}", self.store)
    }

    fn grown(&self) -> Vec<Commit> {
        let sent = self.lock().clone();
        let grew = |commit: &Commit| sent.get(&commit.at).is_some_and(|last| commit.offset > *last);
        sent.keys().filter_map(|at| self.of(at)).filter(grew).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, i64>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
