//! A replay: what a subscription is sent again, from one time to another.

use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::subscription::Start;
use crate::model::time::Timestamp;

/// What was asked to be sent again, and where that lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The subscription.
    pub sid: Sid,
    /// Its stream, never 0: cursors and ledger rows of it carry this.
    pub stream: u128,
    /// Where it begins.
    pub from: Start,
    /// Where it ends; `None`: at the end of the log as it was then.
    pub to: Option<Timestamp>,
    /// Patterns of the types that are meant; none: all.
    pub types: Vec<String>,
    /// When it was asked for.
    pub created: Timestamp,
    /// What it reads.
    pub stretches: Vec<Stretch>,
}

/// A stretch of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub at: TopicPartition,
    /// Its first offset.
    pub from: i64,
    /// The offset after its last.
    pub to: i64,
}

// === impl Replay ===

impl Replay {
    /// Its id towards users.
    #[must_use]
    pub fn id(&self) -> String {
        format!("rpl_{}", Sid::from_bytes(self.stream.to_be_bytes()))
    }

    /// Offsets it reads, in all.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.stretches.iter().map(|stretch| stretch.to - stretch.from).sum()
    }
}
