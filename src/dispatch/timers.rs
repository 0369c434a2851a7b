//! When which lane must be woken. A lane arms one wake-up at a time, so this grows with lanes, not with events.

use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::subscriptions::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// Wake-ups in the order of their time.
#[derive(Default)]
pub(crate) struct Timers {
    queue: Mutex<Queue>,
    earlier: Notify,
}

#[derive(Default)]
struct Queue {
    cells: BTreeMap<(Timestamp, u64), Weak<Cell>>,
    added: u64,
}

// === impl Timers ===

impl Timers {
    /// Adds a wake-up. A lane that is gone by then is passed over.
    pub(crate) fn add(&self, at: Timestamp, cell: &Arc<Cell>) {
        let mut queue = self.lock();
        queue.added += 1;
        let key = (at, queue.added);
        queue.cells.insert(key, Arc::downgrade(cell));
        let first = queue.cells.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(queue);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Waits for the next lane to wake. Cancel-safe.
    pub(crate) async fn next(&self) -> Arc<Cell> {
        loop {
            let wait = match self.take() {
                Next::Due(cell) => return cell,
                Next::In(wait) => wait,
                Next::Never => Duration::from_secs(3600),
            };
            tokio::select! {
                () = self.earlier.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn take(&self) -> Next {
        let mut queue = self.lock();
        while let Some(first) = queue.cells.first_entry() {
            let (at, now) = (first.key().0, clock::now());
            if at > now {
                // Rounded up: waking a moment early would only go round once more.
                return Next::In(at.since(now) + Duration::from_millis(1));
            }
            if let Some(cell) = first.remove().upgrade() {
                return Next::Due(cell);
            }
        }
        Next::Never
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Due(Arc<Cell>),
    In(Duration),
    Never,
}
