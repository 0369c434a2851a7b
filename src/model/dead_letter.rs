//! A delivery given up: reason, last outcome, origin. It can be sent again.

use crate::model::event::IntegrationEvent;
use crate::model::id::Sid;
use crate::model::outcome::Outcome;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The subscription it was for.
    pub sid: Sid,
    /// When it was given up.
    pub died: Timestamp,
    /// Why.
    pub reason: DeadReason,
    /// Attempts that were made.
    pub attempts: u16,
    /// What came of the last one.
    pub last: Option<Outcome>,
    /// The event, as it was mapped.
    pub event: IntegrationEvent,
}

/// Why a delivery was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadReason {
    /// Its last attempt failed when it was older than the subscription's `max_age`.
    Expired,
    /// The endpoint said that these bytes cannot succeed (413, 415).
    Refused,
    /// The endpoint is gone (410).
    Gone,
    /// Its ordering key was blocked and the ledger full (`on_blocked: dead_letter`).
    Blocked,
    /// The subscription's `transform` makes nothing of it.
    TransformFailed,
}

/// Records that retention took before a cursor came to them: whatever they held for the subscription is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadRange {
    /// The subscription.
    pub sid: Sid,
    /// The partition.
    pub at: TopicPartition,
    /// 0 for the main stream, else the id of a replay.
    pub stream: u128,
    /// When that was noticed.
    pub died: Timestamp,
    /// The first offset that is lost.
    pub from: i64,
    /// The first offset that is not.
    pub to: i64,
}

// === impl DeadReason ===

impl DeadReason {
    /// Every reason, for tables.
    pub const ALL: [Self; 5] = [Self::Expired, Self::Refused, Self::Gone, Self::Blocked, Self::TransformFailed];

    /// The reason as API, metrics and store write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Gone => "gone",
            Self::Blocked => "blocked",
            Self::TransformFailed => "transform_failed",
        }
    }
}
