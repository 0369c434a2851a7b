//! The board: what the loops report about themselves, for health, `/v1/status` and metrics. Written by loops,
//! read by `web`; it decides nothing.

use crate::model::jump::Jump;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The board; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Report>>);

/// What stands on the board.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// When the process began to run.
    pub started: Timestamp,
    /// Whether the consumer group was joined at least once, and Kafka answers.
    pub kafka: Health,
    /// Whether the store takes writes.
    pub store: Health,
    /// Whether a stop was asked for.
    pub stopping: bool,
    /// When intake last went round its loop; `livez` looks at it.
    pub intake_beat: Timestamp,
    /// The generation of mappings in force, from 1.
    pub generation: u64,
    /// Why intake admits nothing now, if so (`bytes`, `partition`, `store`).
    pub backpressure: Option<&'static str>,
    /// About how long until retention reaches a cursor; `None` when that is not known, or there is none.
    pub cursor_headroom: Option<Duration>,
    /// The partitions that are assigned.
    pub partitions: BTreeMap<TopicPartition, PartitionReport>,
}

/// One thing the process depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Good,
    /// It does not, and why, in a sentence for people.
    Bad(String),
}

/// How far one partition is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionReport {
    /// The next offset to admit.
    pub position: i64,
    /// Everything below is settled.
    pub watermark: i64,
    /// The end of the log when last heard of.
    pub end: Option<i64>,
    /// Records with unsettled deliveries.
    pub unsettled: usize,
    /// When the oldest of them was admitted.
    pub oldest: Option<Timestamp>,
    /// Its last jump in the life of this process.
    pub jump: Option<Jump>,
}

// === impl Board ===

impl Board {
    /// Changes the report in place; `change` must not block.
    pub fn update(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.lock());
    }

    /// A copy of the report.
    #[must_use]
    pub fn read(&self) -> Report {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Health ===

impl Default for Health {
    fn default() -> Self {
        Self::Bad("starting".into())
    }
}
