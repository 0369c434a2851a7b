//! Whether a lane starts attempts, and how much it holds: what others ask of it.

use crate::model::weight::Weight;

/// Whether first attempts start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They do.
    Open,
    /// They do, so many at a time: the endpoint is tried carefully.
    HalfOpen(u16),
    /// They do not.
    Shut(Shut),
}

/// Why no first attempt starts; the first that holds is the one that is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shut {
    /// The subscription is gone.
    Deleted,
    /// It is disabled. Its rows stay and are not tried.
    Disabled,
    /// The operator paused it. Its rows stay and are not tried.
    Paused,
    /// Its endpoint has not said yet that it wants the events. Its rows stay and are not tried.
    Unverified,
    /// Its order changes: attempts that are out are waited for.
    Changing,
    /// Its dead letters have no room.
    DeadLettersFull,
    /// The endpoint fails; probes go out.
    Breaker,
    /// The ledger is over its budget, or all of them together are, until half of it is free; retries go on.
    LedgerFull,
}

/// The reasons that hold at the moment, of those that are not the breaker's or the ledger's own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reasons(u8);

/// How much a lane holds, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// First attempts that wait.
    pub queued: usize,
    /// Attempts that are out.
    pub in_flight: usize,
    /// Attempts at a time that the endpoint seems to bear now.
    pub slots: u16,
    /// Ledger rows.
    pub rows: usize,
    /// Bytes of ledger rows.
    pub bytes: u64,
    /// Dead letters.
    pub letters: Weight,
    /// Places that intake feeds.
    pub live: usize,
    /// Places at their cursor.
    pub behind: usize,
    /// Places about to be live.
    pub joining: usize,
    /// How often a cursor would have gone back (INV-8); anything but 0 is a fault of ours.
    pub regressions: u64,
}

// === impl Reasons ===

impl Reasons {
    const ORDER: [Shut; 6] =
        [Shut::Deleted, Shut::Disabled, Shut::Paused, Shut::Unverified, Shut::Changing, Shut::DeadLettersFull];

    pub(crate) fn add(&mut self, shut: Shut) {
        self.0 |= 1 << shut as u8;
    }

    pub(crate) fn remove(&mut self, shut: Shut) {
        self.0 &= !(1 << shut as u8);
    }

    pub(crate) fn has(self, shut: Shut) -> bool {
        self.0 & 1 << shut as u8 != 0
    }

    pub(crate) fn first(self) -> Option<Shut> {
        if self.0 == 0 {
            return None;
        }
        Self::ORDER.into_iter().find(|shut| self.has(*shut))
    }
}
