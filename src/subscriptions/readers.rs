//! Lanes that wait: for a reader, for a place to join, for a commit that lets a cursor go.
//!
//! Lanes put themselves here while they act; the loops come and look. A lane stands here at most once, and one that
//! is gone by then is passed over.

use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Who waits, by subscription. `C` is a lane behind its lock, as [`crate::subscriptions::cell`] has it.
pub struct Readers<C> {
    called: Mutex<HashMap<Sid, Weak<C>>>,
    more: Condvar,
    joins: Mutex<HashMap<(Sid, TopicPartition), Weak<C>>>,
    any_joins: AtomicBool,
    cursors: Mutex<HashMap<Sid, Weak<C>>>,
}

// === impl Readers ===

impl<C> Default for Readers<C> {
    fn default() -> Self {
        let (called, more, joins) = (Mutex::default(), Condvar::new(), Mutex::default());
        Self { called, more, joins, any_joins: AtomicBool::new(false), cursors: Mutex::default() }
    }
}

impl<C> Readers<C> {
    /// A place of this lane waits for a reader.
    pub fn call(&self, sid: Sid, cell: &Arc<C>) {
        lock(&self.called).insert(sid, Arc::downgrade(cell));
        self.more.notify_one();
    }

    /// The lanes that called since the last time; waits for one, `at_most` so long. Blocks the thread.
    pub fn wait(&self, at_most: Duration) -> Vec<Arc<C>> {
        let called = lock(&self.called);
        let (mut called, _) = self
            .more
            .wait_timeout_while(called, at_most, |called| called.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        called.drain().filter_map(|(_, cell)| cell.upgrade()).collect()
    }

    /// Wakes who waits for a call.
    pub fn wake(&self) {
        self.more.notify_all();
    }

    /// The reader of this lane is close to intake on `at`: intake is to name the offset where it takes over.
    pub fn ask_to_join(&self, sid: Sid, cell: &Arc<C>, at: &TopicPartition) {
        lock(&self.joins).insert((sid, at.clone()), Arc::downgrade(cell));
        self.any_joins.store(true, Ordering::Release);
    }

    /// Who asked to join since the last time. Costs next to nothing when nobody did.
    pub fn joins(&self) -> Vec<(Arc<C>, TopicPartition)> {
        if !self.any_joins.load(Ordering::Relaxed) || !self.any_joins.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        lock(&self.joins).drain().filter_map(|((_, at), cell)| Some((cell.upgrade()?, at))).collect()
    }

    /// This lane has a cursor.
    pub(crate) fn has_cursor(&self, sid: Sid, cell: &Arc<C>) {
        lock(&self.cursors).insert(sid, Arc::downgrade(cell));
    }

    /// The lanes that have, or lately had, a cursor.
    pub fn with_cursors(&self) -> Vec<Arc<C>> {
        lock(&self.cursors).values().filter_map(Weak::upgrade).collect()
    }

    /// This lane has no cursor any more.
    pub fn without_cursor(&self, sid: Sid) {
        lock(&self.cursors).remove(&sid);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
