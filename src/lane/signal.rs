//! The lane's alphabet: what it answers, and what it wants done.

use crate::model::dead_letter::{DeadLetter, DeadReason};
use crate::model::delivery::{LedgerHead, LedgerKey, Offer, Ticket};
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::outcome::Outcome;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::sync::Arc;

/// What became of an offered group. A group is taken whole or not at all (INV-5).
#[derive(Debug)]
pub enum Answer {
    /// All of it is the lane's now.
    Taken,
    /// The queue has no room; the group is given back.
    QueueFull(Vec<Offer>),
    /// The ledger has no room; the group is given back.
    LedgerFull(Vec<Offer>),
}

/// What the lane wants done, in this order.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "most are `Settle`; the list they stand in is reused")]
pub enum Effect {
    /// Nothing stands behind this delivery any more: settle it now.
    Settle(Ticket),
    /// Write `row`; once it is durable tell [`crate::lane::Lane::flushed`], and settle.
    Write {
        /// The change.
        row: Row,
        /// What settles when it is durable, and not before (INV-3).
        settles: Vec<Ticket>,
    },
    /// The endpoint is gone (410): the subscription must be disabled, durably.
    Disable,
}

/// A change of a delivery's durable state; one atomic batch.
#[derive(Debug)]
pub enum Row {
    /// A new ledger row.
    Park(LedgerKey, LedgerHead, Arc<Emitted>),
    /// A ledger row was tried again, in vain.
    Head(LedgerKey, LedgerHead),
    /// The row's delivery was accepted: the row goes.
    Unpark(LedgerKey, LedgerHead),
    /// The delivery is given up: a dead letter comes, the row (if there is one) goes.
    Dead(LedgerKey, Option<LedgerHead>, Dying),
}

/// What is known of a delivery that is given up.
#[derive(Debug)]
pub struct Dying {
    /// Why.
    pub reason: DeadReason,
    /// Attempts that were made.
    pub attempts: u16,
    /// What came of the last.
    pub last: Outcome,
    /// The event.
    pub event: Arc<Emitted>,
}

/// An attempt to make.
#[derive(Debug)]
pub struct Start {
    /// Names the attempt towards [`crate::lane::Lane::finished`].
    pub attempt: AttemptId,
    /// What to send.
    pub what: What,
}

/// Names an attempt within its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// What an attempt sends.
#[derive(Debug)]
pub enum What {
    /// A first attempt; the event is at hand.
    First(Arc<Emitted>),
    /// A ledger row; its event is in the store.
    Retry(LedgerKey),
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub attempt: AttemptId,
    /// What came of it.
    pub outcome: Outcome,
    /// The event that was sent.
    pub event: Arc<Emitted>,
}

/// Which deliveries are meant.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    /// Those of one partition.
    Partition(&'a TopicPartition),
    /// All.
    All,
}

// === impl Dying ===

impl Dying {
    /// The dead letter of subscription `sid`.
    #[must_use]
    pub fn letter(&self, sid: Sid, died: Timestamp) -> DeadLetter {
        let (last, event) = (Some(self.last.clone()), self.event.event.clone());
        DeadLetter { sid, died, reason: self.reason, attempts: self.attempts, last, event }
    }
}

// === impl Row ===

impl Row {
    /// The ledger place this change is about.
    #[must_use]
    pub fn key(&self) -> &LedgerKey {
        match self {
            Self::Park(key, ..) | Self::Head(key, _) | Self::Unpark(key, _) | Self::Dead(key, ..) => key,
        }
    }
}
