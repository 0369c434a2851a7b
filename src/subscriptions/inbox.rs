//! What lanes leave for a loop to do: they put it there without waiting, and the loop takes all that came.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What waits for a loop. It has no bound of its own: who puts there says what bounds it.
#[derive(Debug)]
pub struct Inbox<T> {
    waiting: Mutex<Vec<T>>,
    more: Notify,
}

// === impl Inbox ===

impl<T> Inbox<T> {
    /// Puts these there. Never blocks.
    pub(crate) fn put(&self, more: impl IntoIterator<Item = T>) {
        let mut waiting = self.lock();
        waiting.extend(more);
        if !waiting.is_empty() {
            self.more.notify_one();
        }
    }

    /// Waits for something; gives all of it. For one who waits at a time. Cancel-safe.
    pub async fn take(&self) -> Vec<T> {
        loop {
            let waiting = std::mem::take(&mut *self.lock());
            if !waiting.is_empty() {
                return waiting;
            }
            self.more.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), more: Notify::new() }
    }
}
