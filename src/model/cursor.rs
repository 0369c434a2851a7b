//! A cursor: where a subscription stands on a partition, durably.
//!
//! Its whole meaning: every delivery of the subscription on that partition (and in that stream) before the
//! offset is accepted, in the ledger, or dead.

use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::sync::Arc;

/// Whose cursor, and where. Orders by partition, stream, subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CursorKey {
    /// The source partition.
    pub at: TopicPartition,
    /// 0 for the main stream, else the id of a replay.
    pub stream: u128,
    /// The subscription.
    pub sid: Sid,
}

/// What a cursor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// Who brings what is not settled yet.
    pub mode: CursorMode,
    /// Everything before it is settled.
    pub offset: i64,
    /// A record's timestamp near the offset, at or before it; finds the place again when offsets are lost.
    pub near: Option<Timestamp>,
    /// When the place went behind.
    pub since: Timestamp,
    /// Why it did.
    pub reason: BehindReason,
    /// Where a replay ends, exclusive; `None` in the main stream.
    pub to: Option<i64>,
}

/// What the group had committed of a partition, kept in the store for when Kafka has it no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitCopy {
    /// The group.
    pub group: Arc<str>,
    /// The committed offset: everything below is settled.
    pub offset: i64,
    /// The timestamp of a record next to it.
    pub near: Option<Timestamp>,
    /// When the copy was made.
    pub taken: Timestamp,
}

/// Who brings what is not settled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CursorMode {
    /// A catch-up reader, from the offset on.
    Behind,
    /// Intake, from the offset or the committed one on, whichever is higher.
    Live,
}

/// Why a place is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BehindReason {
    /// The endpoint fails: the breaker is open.
    Failing,
    /// More comes than the endpoint takes.
    Slow,
    /// The ledger, or the dead letters, have no room.
    Full,
    /// The operator paused it.
    Paused,
    /// It is disabled.
    Disabled,
    /// It is new and begins in the past, its endpoint has not said yes yet, or its rules of order change.
    Starting,
    /// It was stopped with work left.
    Stopped,
    /// It is a replay.
    Replay,
}

// === impl CursorMode ===

impl CursorMode {
    /// Every mode, for tables.
    pub const ALL: [Self; 2] = [Self::Behind, Self::Live];

    /// The mode as the store writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Live => "live",
        }
    }
}

// === impl BehindReason ===

impl BehindReason {
    /// Every reason, for tables.
    pub const ALL: [Self; 8] = [
        Self::Failing,
        Self::Slow,
        Self::Full,
        Self::Paused,
        Self::Disabled,
        Self::Starting,
        Self::Stopped,
        Self::Replay,
    ];

    /// The reason as API, metrics and store write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Slow => "slow",
            Self::Full => "full",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Replay => "replay",
        }
    }
}
