//! Where a subscription stands on one partition, in one stream: live, behind its cursor, or joining.
//!
//! Pure data and its small moves; the lane decides when. Rooms of one floor do not import each other, and a place
//! cannot move without the lane's queue, attempts and ledger, so it lives here.

use crate::lane::queue::Delivery;
use crate::lane::signal::{PlaceKey, WriteId};
use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
use crate::model::delivery::Ticket;
use crate::model::time::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// After a join that was called off the next one waits; it doubles.
const ASK_MIN: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_secs(60);

/// A place, from `open` to `close`.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) key: PlaceKey,
    pub(crate) epoch: u64,
    pub(crate) stand: Stand,
    /// The highest offset that was attempted or parked; what is queued up to it was overtaken.
    pub(crate) hi: i64,
    /// Behind the last record that intake or a reader brought.
    pub(crate) seen: i64,
    /// That record's timestamp.
    pub(crate) near: Option<Timestamp>,
    /// Its deliveries in the queue.
    pub(crate) queued: usize,
    /// Taken out of the queue: the partition is about to go.
    pub(crate) aside: Vec<Delivery>,
    /// Whether the partition is about to go.
    pub(crate) closing: bool,
    pub(crate) row: Option<Stored>,
    /// Whether a durable row says {behind}: then nothing that comes has to wait for one.
    pub(crate) cover: Cover,
    /// Live deliveries that settle when the place is covered.
    pub(crate) waiting: Vec<Ticket>,
    /// Where intake took over; until everything below is settled and the row says so.
    pub(crate) joined: Option<i64>,
    /// The highest acknowledged commit.
    pub(crate) committed: i64,
    /// Where a replay ends.
    pub(crate) to: Option<i64>,
    /// Since when it is behind, or waits for a reader.
    pub(crate) since: Timestamp,
    pub(crate) reason: BehindReason,
    /// What must be free before a reader is worth its while again.
    pub(crate) need: Need,
    ask: Ask,
}

/// Whether a row {behind} stands in the store, so that whatever comes may settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    /// It does not.
    None,
    /// It will when this batch is durable.
    Soon(WriteId),
    /// It does.
    Durable,
}

/// How a place stands.
#[derive(Debug)]
pub(crate) enum Stand {
    /// Intake feeds it; what is below the floor is settled.
    Live { floor: i64 },
    /// A reader feeds it, from `next` on.
    Behind { next: i64 },
    /// A reader feeds it below `join`; from there on intake does, and its share is held.
    Joining { next: i64, join: i64, held: VecDeque<Delivery> },
}

/// The cursor row that was last asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    /// What it says; `None`: it is on its way out.
    pub(crate) row: Option<CursorRow>,
    /// The batch it is in, until that is durable.
    pub(crate) write: Option<WriteId>,
}

/// Room that a group wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Ledger rows, and their bytes.
    pub(crate) rows: usize,
    pub(crate) bytes: u64,
}

/// When the next join may be asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Ask {
    not_before: Option<Timestamp>,
    wait: Duration,
}

// === impl Place ===

impl Place {
    /// A live place without a row: the commit tells where it stands.
    pub(crate) fn new(key: PlaceKey, epoch: u64) -> Self {
        Self {
            key,
            epoch,
            stand: Stand::Live { floor: 0 },
            hi: -1,
            seen: 0,
            near: None,
            queued: 0,
            aside: Vec::new(),
            closing: false,
            row: None,
            cover: Cover::None,
            waiting: Vec::new(),
            joined: None,
            committed: 0,
            to: None,
            since: Timestamp::default(),
            reason: BehindReason::Starting,
            need: Need::default(),
            ask: Ask::default(),
        }
    }

    /// A place as its durable row says.
    pub(crate) fn resume(key: PlaceKey, epoch: u64, row: CursorRow) -> Self {
        let stand = match row.mode {
            CursorMode::Behind => Stand::Behind { next: row.offset },
            CursorMode::Live => Stand::Live { floor: row.offset },
        };
        Self {
            stand,
            row: Some(Stored { row: Some(row), write: None }),
            cover: if row.mode == CursorMode::Behind { Cover::Durable } else { Cover::None },
            near: row.near,
            to: row.to,
            since: row.since,
            reason: row.reason,
            ..Self::new(key, epoch)
        }
    }

    /// Notes that a record of it came.
    pub(crate) fn note(&mut self, offset: i64, written: Option<Timestamp>) {
        self.seen = self.seen.max(offset + 1);
        self.near = written.or(self.near);
    }

    pub(crate) fn raise(&mut self, offset: i64) {
        self.hi = self.hi.max(offset);
    }

    pub(crate) fn is_covered(&self) -> bool {
        self.cover == Cover::Durable
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stand, Stand::Live { .. })
    }

    /// The next offset a reader brings; `None` when it is live.
    pub(crate) fn next(&self) -> Option<i64> {
        match self.stand {
            Stand::Live { .. } => None,
            Stand::Behind { next } | Stand::Joining { next, .. } => Some(next),
        }
    }

    /// A reader passed everything before `to`.
    pub(crate) fn advance(&mut self, to: i64) {
        if let Stand::Behind { next } | Stand::Joining { next, .. } = &mut self.stand {
            *next = to.max(*next);
        }
    }

    /// Below it, all is settled already.
    pub(crate) fn floor(&self) -> i64 {
        match self.stand {
            Stand::Live { floor } => floor,
            Stand::Behind { .. } | Stand::Joining { .. } => 0,
        }
    }

    /// Takes what is held.
    pub(crate) fn take_held(&mut self) -> VecDeque<Delivery> {
        match &mut self.stand {
            Stand::Joining { held, .. } => std::mem::take(held),
            Stand::Live { .. } | Stand::Behind { .. } => VecDeque::new(),
        }
    }

    /// The cursor row it has, when one was asked for.
    pub(crate) fn cursor(&self) -> Option<CursorRow> {
        self.row.and_then(|stored| stored.row)
    }

    /// Whether its row is durable as it was last asked for.
    pub(crate) fn row_is_durable(&self) -> bool {
        self.row.is_some_and(|stored| stored.write.is_none())
    }

    pub(crate) fn may_ask(&self, now: Timestamp) -> bool {
        self.ask.not_before.is_none_or(|not_before| not_before <= now)
    }

    /// A join was called off: the next one waits.
    pub(crate) fn put_off(&mut self, now: Timestamp) {
        self.ask.wait = (self.ask.wait * 2).clamp(ASK_MIN, ASK_MAX);
        self.ask.not_before = Some(now.after(self.ask.wait));
    }

    /// It is live: intake feeds it from `floor` on.
    pub(crate) fn go_live(&mut self, floor: i64) {
        self.stand = Stand::Live { floor };
        self.joined = Some(floor);
        self.seen = self.seen.max(floor);
        self.ask = Ask::default();
    }

    /// Whether there is something for the beat to look at.
    pub(crate) fn has_row(&self) -> bool {
        self.row.is_some()
    }
}
