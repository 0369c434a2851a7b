//! What came of one subscription's attempts since the process began, for the metrics that tell of each.

use crate::model::outcome::Outcome;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts; readers and writers never wait.
#[derive(Debug, Default)]
pub struct Tally {
    attempts: AtomicU64,
    failures: AtomicU64,
}

// === impl Tally ===

impl Tally {
    /// An attempt ended so.
    pub fn count(&self, outcome: &Outcome) {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if !outcome.accepted() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Attempts that ended.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Those of them that were not accepted.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
