//! What is committed, and when: the watermark of each partition when it grew, with who we are in its metadata.
//!
//! A copy of each commit goes to the store, for when Kafka has it no more: a group that was away for longer than
//! `offsets.retention.minutes`, a topic that was deleted.

use crate::intake::identity;
use crate::kafka::committer::{Commit, Sent};
use crate::kafka::group::Group;
use crate::model::cursor::CommitCopy;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::model::topic::TopicId;
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::space::Space;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How old a copy may be. Its use is rare and a twin is cheap then; a flush each second for it alone is not.
const COPIED: Duration = Duration::from_secs(10);

/// The commits of this process.
#[derive(Clone)]
pub(crate) struct Commits {
    name: Arc<str>,
    group: Arc<str>,
    store: Store,
    partitions: Arc<Partitions>,
    /// What the topics' names stand for.
    topics: Arc<Mutex<HashMap<Arc<str>, TopicId>>>,
    copies: Arc<Mutex<Copies>>,
    /// The offset that the broker last acknowledged, by partition.
    acknowledged: Arc<Mutex<HashMap<TopicPartition, i64>>>,
}

/// Commits that the store is to have a copy of.
#[derive(Default)]
struct Copies {
    due: HashSet<TopicPartition>,
    /// When the last were handed over.
    last: Option<Timestamp>,
}

// === impl Commits ===

impl Commits {
    pub(crate) fn new(store: Store, partitions: Arc<Partitions>, group: &str) -> Self {
        let (name, topics, copies) = (identity::name(store.id()).into(), Arc::default(), Arc::default());
        Self { name, group: group.into(), store, partitions, topics, copies, acknowledged: Arc::default() }
    }

    /// The group's name.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// A topic's name stands for this one, as far as the cluster tells.
    pub(crate) fn know(&self, topic: &Arc<str>, id: Option<TopicId>) {
        let mut topics = lock(&self.topics);
        match id {
            Some(id) => topics.insert(Arc::clone(topic), id),
            None => topics.remove(topic),
        };
    }

    /// The static member's id: the store's, whose lock makes it unique. After a kill the partitions are ours again
    /// at once, and not after the session timeout (KF-8).
    pub(crate) fn instance(&self) -> String {
        format!("hookline-{}", self.name)
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
        let grown = self.grown();
        lock(&self.copies).due.extend(grown.iter().map(|commit| commit.at.clone()));
        let _: Sent = group.commit(grown);
        self.copy_some(clock::now());
    }

    /// Hands copies to the store, the commits of these partitions as they stand now.
    pub(crate) fn copy(&self, partitions: &[TopicPartition]) {
        let (mut batch, now) = (Batch::new(), clock::now());
        for at in partitions {
            let copy = self.partitions.with(at, |progress| {
                let (offset, near) = (progress.watermark(), progress.watermark_time());
                CommitCopy { group: Arc::clone(&self.group), offset, near, taken: now }
            });
            copy.into_iter().for_each(|copy| batch.commit(at, copy));
        }
        self.store.submit(batch, |_| {}); // without it a lost commit brings some more twins
    }

    /// Nothing is handed over while the store has no room: it would pile up.
    fn copy_some(&self, now: Timestamp) {
        let mut copies = lock(&self.copies);
        let young = copies.last.is_some_and(|last| now.since(last) < COPIED);
        if young || copies.due.is_empty() || self.store.space() == Space::Hard {
            return;
        }
        copies.last = Some(now);
        let due = copies.due.drain().collect::<Vec<_>>();
        drop(copies);
        self.copy(&due);
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
        Some(Commit { at: at.clone(), offset, metadata: self.metadata(&at.topic, time) })
    }

    /// Who commits, what was written before, and in which topic.
    pub(crate) fn metadata(&self, topic: &str, near: Option<Timestamp>) -> String {
        identity::metadata(&self.name, near, lock(&self.topics).get(topic).copied())
    }

    /// The store whose commit carries this metadata, when it is another than ours.
    pub(crate) fn stranger(&self, metadata: &str) -> Option<String> {
        identity::store_of(metadata).filter(|store| **store != *self.name).map(str::to_owned)
    }

    /// Why partitions with the commits of `other` are not read.
    pub(crate) fn refusal(&self, other: &str) -> String {
        format!(
            "the group's offsets were committed by store {other}, and this is store {}: nothing is read. Either another \
             daemon uses the group, or the store was lost. Bring the old store back, or stop every daemon of the group \
             and run `hookline store adopt`, which gives up what the old store owed",
            self.name
        )
    }

    fn grown(&self) -> Vec<Commit> {
        let last = self.lock().clone();
        let grew = |commit: &Commit| last.get(&commit.at).is_some_and(|last| commit.offset > *last);
        last.keys().filter_map(|at| self.of(at)).filter(grew).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, i64>> {
        lock(&self.acknowledged)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
