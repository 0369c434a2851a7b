//! The lane's alphabet: what it is told, what it answers, and what it wants done.

use crate::lane::vitals::Mark;
use crate::model::cursor::{CursorKey, CursorRow};
use crate::model::dead_letter::{DeadLetter, DeadRange, DeadReason};
use crate::model::delivery::{LedgerHead, LedgerKey, Ticket};
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::outcome::Outcome;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::fmt;
use std::sync::Arc;

/// What every call that may change something brings along, and where the lane puts what it wants done.
pub struct Turn<'a> {
    /// The time of the call.
    pub now: Timestamp,
    /// A number in `0.0..1.0` at each call: varies waits, so that those who failed together come back apart.
    pub dice: &'a mut dyn FnMut() -> f64,
    /// What the lane wants done, in this order.
    pub effects: &'a mut Vec<Effect>,
}

/// What one record holds for this subscription, from intake. Taken whole or not at all (INV-5).
#[derive(Debug)]
pub struct Group {
    /// The epoch of the partition's assignment; one unsettled delivery per event is counted there already.
    pub epoch: u64,
    /// The record's offset.
    pub offset: i64,
    /// Its events, in the order of the record.
    pub events: Vec<Arc<Emitted>>,
}

/// A place of the lane's subscription.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceKey {
    /// The partition.
    pub at: TopicPartition,
    /// 0 for the main stream, else the id of a replay.
    pub stream: u128,
}

/// What the lane wants done, in this order.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "most are `Settle`; the list they stand in is reused")]
pub enum Effect {
    /// Nothing stands behind this delivery any more: settle it now.
    Settle(Ticket),
    /// Write this; once it is durable tell [`crate::lane::state::Lane::flushed`], and settle.
    Write(Write),
    /// Cut this attempt off; what comes of it changes nothing any more.
    Cut(AttemptId),
    /// Disable the subscription, durably.
    Disable(Disabling),
    /// Remember this of the endpoint, durably.
    Mark(Mark),
    /// A place waits for a reader: see [`crate::lane::state::Lane::riders`].
    Read,
    /// This replay is over on this partition: all is read, and no row of it is left.
    Ended(PlaceKey),
    /// Something to count and to tell the operator.
    News(News),
}

/// Changes of one partition's rows: one atomic batch. Batches must reach the store in the lane's order.
#[derive(Debug)]
pub struct Write {
    /// Names the batch towards the lane.
    pub id: WriteId,
    /// The partition whose rows change.
    pub at: TopicPartition,
    /// The changes.
    pub changes: Vec<Change>,
    /// What settles when they are durable, and not before (INV-3).
    pub settles: Vec<Ticket>,
}

/// Names a batch within its lane; grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// A change of a durable row.
#[derive(Debug)]
pub enum Change {
    /// A new ledger row. Whoever encodes it tells [`crate::lane::state::Lane::weigh`] its length, at once.
    Park(LedgerKey, LedgerHead, Arc<Emitted>),
    /// A ledger row was tried again, in vain.
    Head(LedgerKey, LedgerHead),
    /// The row's delivery was accepted: the row goes.
    Unpark(LedgerKey, LedgerHead),
    /// The delivery is given up: a dead letter comes, the row (if there is one) goes. Whoever encodes it tells
    /// [`crate::lane::state::Lane::died`] its weight, at once.
    Dead(LedgerKey, Option<LedgerHead>, Dying),
    /// The cursor is this from now on.
    Cursor(CursorKey, CursorRow),
    /// The cursor goes: the commit tells from now on.
    DropCursor(CursorKey),
    /// Retention took what the cursor had not come to.
    Lost(DeadRange),
}

/// What is known of a delivery that is given up.
#[derive(Debug)]
pub struct Dying {
    /// Why.
    pub reason: DeadReason,
    /// Attempts that were made.
    pub attempts: u16,
    /// What came of the last.
    pub last: Option<Outcome>,
    /// The event.
    pub event: Arc<Emitted>,
}

/// Why a subscription is to be disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabling {
    /// Its endpoint is gone (410).
    Gone,
    /// It has failed for as long as `disable_after`.
    Failing,
}

/// What an operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The endpoint fails: the breaker opened.
    Failing,
    /// It is tried carefully.
    Trying,
    /// It is well again: the breaker closed.
    Recovered,
    /// The ledger is over its budget.
    LedgerFull,
    /// All ledgers together are full, and this one is the largest.
    LedgersFull,
    /// Half of the ledger is free again.
    LedgerFree,
    /// The dead letters are over their budget.
    DeadLettersFull,
    /// They have room again.
    DeadLettersFree,
}

/// An attempt to make.
#[derive(Debug)]
pub struct Start {
    /// Names the attempt towards [`crate::lane::state::Lane::finished`].
    pub attempt: AttemptId,
    /// What to send.
    pub what: What,
}

/// Names an attempt within its lane; never the same twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// What an attempt is about.
#[derive(Debug)]
pub enum What {
    /// A first attempt; the event is at hand.
    First(Arc<Emitted>),
    /// A first attempt of several events together, in this order.
    Batch(Vec<Arc<Emitted>>),
    /// A ledger row; its event is in the store.
    Retry(LedgerKey),
    /// Nothing to send: read the row's event and tell [`crate::lane::state::Lane::buried`].
    Bury(LedgerKey),
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub attempt: AttemptId,
    /// What came of it.
    pub outcome: Outcome,
    /// The event, when it was a retry: the lane holds none of those.
    pub event: Option<Arc<Emitted>>,
}

/// What a rider of a scan does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ride {
    /// It stays on.
    On,
    /// It gets off at the offset it was offered, which it did not take.
    Off,
    /// It is live: intake feeds it from here on.
    Live,
    /// Its replay has read all.
    Ended,
}

/// A place that waits for a scan to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rider {
    /// Which.
    pub place: PlaceKey,
    /// Where it gets on.
    pub next: i64,
    /// Where it has enough, exclusive.
    pub to: Option<i64>,
    /// Since when it waits.
    pub since: Timestamp,
    /// How much it would take.
    pub room: Room,
}

/// How much of a queue is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Half of it at least: a reader is worth its while.
    Half,
    /// Three quarters at least, or somebody waits for the reader: it should come soon.
    Most,
}

/// What came of asking to join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The reader brings what is below the position, intake the rest; intake's share is held until then.
    Holding,
    /// It is live already.
    Live,
    /// Not now.
    NotYet,
}

// === impl Turn ===

impl Turn<'_> {
    pub(crate) fn settle(&mut self, ticket: Ticket) {
        self.effects.push(Effect::Settle(ticket));
    }

    pub(crate) fn tell(&mut self, news: News) {
        self.effects.push(Effect::News(news));
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("now", &self.now).field("effects", &self.effects).finish_non_exhaustive()
    }
}

// === impl Dying ===

impl Dying {
    /// The dead letter of subscription `sid`.
    #[must_use]
    pub fn letter(&self, sid: Sid, died: Timestamp) -> DeadLetter {
        let (last, event) = (self.last.clone(), self.event.event.clone());
        DeadLetter { sid, died, reason: self.reason, attempts: self.attempts, last, event }
    }
}
