//! The partitions that are assigned now, each with its progress; shared by who admits and who settles.
//!
//! Settling is a call from any thread. A ticket of another epoch than the partition's settles nothing, so what
//! comes late after a revocation cannot move a watermark (INV-14).

use crate::model::delivery::Ticket;
use crate::model::record::TopicPartition;
use crate::progress::partition::Progress;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// The assigned partitions.
#[derive(Debug, Default)]
pub struct Partitions {
    all: RwLock<HashMap<TopicPartition, Arc<Mutex<Progress>>>>,
    epochs: AtomicU64,
    bytes: AtomicU64,
    settled: (Mutex<()>, Condvar),
    waiting: AtomicU64,
}

// === impl Partitions ===

impl Partitions {
    /// Begins a new epoch of `at` at `position`; an older one of it is dead from here on.
    pub fn open(&self, at: &TopicPartition, position: i64) -> u64 {
        self.close(at);
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
        let progress = Arc::new(Mutex::new(Progress::new(epoch, position)));
        self.all.write().unwrap_or_else(PoisonError::into_inner).insert(at.clone(), progress);
        epoch
    }

    /// Ends the epoch of `at`: its tickets settle nothing any more.
    pub fn close(&self, at: &TopicPartition) {
        if let Some(progress) = self.all.write().unwrap_or_else(PoisonError::into_inner).remove(at) {
            self.bytes.fetch_sub(lock(&progress).bytes(), Ordering::Relaxed);
        }
    }

    /// Settles one delivery; a ticket of a dead epoch does nothing.
    pub fn settle(&self, ticket: &Ticket) {
        let Some(progress) = self.get(&ticket.at) else { return };
        let freed = {
            let mut progress = lock(&progress);
            if progress.epoch() != ticket.epoch {
                return;
            }
            progress.settle(ticket.offset)
        };
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
        if self.waiting.load(Ordering::Acquire) > 0 {
            drop(self.settled.0.lock());
            self.settled.1.notify_all();
        }
    }

    /// Works with the progress of `at`; `None` when it is not assigned. `work` must not block.
    pub fn with<T>(&self, at: &TopicPartition, work: impl FnOnce(&mut Progress) -> T) -> Option<T> {
        self.get(at).map(|progress| work(&mut lock(&progress)))
    }

    /// Whether `at` is assigned.
    #[must_use]
    pub fn is_open(&self, at: &TopicPartition) -> bool {
        self.all.read().unwrap_or_else(PoisonError::into_inner).contains_key(at)
    }

    /// Counts the bytes of a record that was admitted with something open.
    pub fn hold(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of open records, in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The partitions that are assigned.
    #[must_use]
    pub fn assigned(&self) -> Vec<TopicPartition> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Waits until something settles or `at_most` has passed, unless `ready` already holds. Blocks the thread.
    pub fn wait_settled(&self, at_most: Duration, ready: impl Fn() -> bool) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let guard = self.settled.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready() {
            drop(self.settled.1.wait_timeout(guard, at_most));
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    fn get(&self, at: &TopicPartition) -> Option<Arc<Mutex<Progress>>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(at).cloned()
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use crate::progress::partition::Admission;

    fn admit(partitions: &Partitions, at: &TopicPartition, offset: i64) {
        let time = Timestamp::from_millis(0);
        let record = Admission { offset, pending: 1, bytes: 7, admitted: time, written: time };
        partitions.with(at, |progress| progress.admit(record)).unwrap();
        partitions.hold(7);
    }

    #[test]
    fn inv_14_a_ticket_of_a_dead_epoch_settles_nothing() {
        let at = TopicPartition { topic: "t".into(), partition: 0 };
        let partitions = Partitions::default();
        let dead = partitions.open(&at, 0);
        admit(&partitions, &at, 0);
        let live = partitions.open(&at, 0);
        admit(&partitions, &at, 0);
        assert_ne!(dead, live);
        assert_eq!(partitions.bytes(), 7, "the dead epoch holds no bytes");

        partitions.settle(&Ticket { at: at.clone(), epoch: dead, offset: 0 });
        assert_eq!(partitions.with(&at, |progress| progress.watermark()), Some(0));
        partitions.settle(&Ticket { at: at.clone(), epoch: live, offset: 0 });
        assert_eq!(partitions.with(&at, |progress| progress.watermark()), Some(1));
        assert_eq!(partitions.bytes(), 0);
    }
}
