//! The board: what the loops report about themselves, for health, `/v1/status` and metrics. Written by loops,
//! read by `web`; it decides nothing.

use crate::model::jump::Jump;
use crate::model::problem::Problems;
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
    /// Whether schemas can be looked up; `None` without a registry. Readiness does not ask: partitions that need no new
    /// schema go on.
    pub registry: Option<Health>,
    /// Whether a stop was asked for.
    pub stopping: bool,
    /// When intake last went round its loop; `livez` looks at it.
    pub intake_beat: Timestamp,
    /// The generation of mappings in force, from 1.
    pub generation: u64,
    /// The last try to load another configuration, if there was one.
    pub reload: Option<Reload>,
    /// Why intake admits nothing now, if so (`bytes`, `partition`, `registry`, `quarantine`, `store`).
    pub backpressure: Option<&'static str>,
    /// About how long until retention reaches a cursor; `None` when that is not known, or there is none.
    pub cursor_headroom: Option<Duration>,
    /// How the logs begin of those partitions on which somebody stands furthest back, when last looked at.
    pub beginnings: BTreeMap<TopicPartition, Beginning>,
    /// The partitions that are assigned.
    pub partitions: BTreeMap<TopicPartition, PartitionReport>,
}

/// How the log of a partition begins: retention has taken what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The first offset that is there.
    pub low: i64,
    /// When its first record was written; `None`: that was not read.
    pub first: Option<Timestamp>,
}

/// A try to load another configuration.
#[derive(Clone, Debug)]
pub struct Reload {
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub cause: Cause,
    /// Whether it was taken over.
    pub taken: Taken,
    /// Why not; empty when it was not refused.
    pub problems: Problems,
}

/// Whether another configuration was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in force.
    Applied,
    /// The files hold what is in force.
    Unchanged,
    /// The one before stays in force.
    Refused,
}

/// Who asks for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGHUP.
    Signal,
    /// `POST /v1/reload`.
    Api,
    /// What a file holds has changed.
    Files,
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
    /// Why it is paused, if so; the same words as `backpressure`.
    pub paused: Option<&'static str>,
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

// === impl Beginning ===

impl Beginning {
    /// About how long until retention takes what stands at `offset`, which was written `near`; `None`: not known.
    #[must_use]
    pub fn headroom(self, (offset, near): (i64, Option<Timestamp>)) -> Option<Duration> {
        if offset <= self.low {
            return Some(Duration::ZERO);
        }
        near.zip(self.first).map(|(near, first)| near.since(first))
    }
}

// === impl Taken ===

impl Taken {
    /// The name as people, programs and metrics read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

// === impl Cause ===

impl Cause {
    /// The name as people and programs read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Api => "api",
            Self::Files => "files",
        }
    }
}

// === impl Health ===

impl Default for Health {
    fn default() -> Self {
        Self::Bad("starting".into())
    }
}
