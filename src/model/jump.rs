//! A jump: a partition that does not go on where it was left, because the log is not what it was.

use crate::model::time::Timestamp;

/// Where a partition was to go on, where it does, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Where it was to go on; `None` when that is not known.
    pub from: Option<i64>,
    /// Where it goes on.
    pub to: i64,
    /// Why.
    pub reason: JumpReason,
    /// When that was decided.
    pub at: Timestamp,
}

/// Why a partition does not go on where it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JumpReason {
    /// Retention took the records at that place.
    Retention,
    /// The log ends before that place, or was cut and written anew: it was truncated.
    Truncated,
    /// The topic was deleted and made anew.
    MadeAnew,
    /// Kafka lost the group's commit; the store's copy of it counts.
    CommitLost,
}

// === impl JumpReason ===

impl JumpReason {
    /// Every reason, for tables.
    pub const ALL: [Self; 4] = [Self::Retention, Self::Truncated, Self::MadeAnew, Self::CommitLost];

    /// The reason as API, metrics and logs write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Truncated => "truncated",
            Self::MadeAnew => "made_anew",
            Self::CommitLost => "commit_lost",
        }
    }
}
