//! The index of one subscription's ledger rows: when each is due, what it weighs, whether it is durable yet.
//!
//! The rows themselves are in the store; here is what deciding needs, about 200 bytes each. Pure.

use crate::model::delivery::{LedgerHead, LedgerKey, Ticket};
use crate::model::time::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// The index of one subscription's ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    rows: HashMap<LedgerKey, Indexed>,
    due: BTreeSet<(Timestamp, LedgerKey)>,
    bytes: u64,
    budget: u64,
    full: bool,
}

#[derive(Debug)]
struct Indexed {
    head: LedgerHead,
    stage: Stage,
    /// Live deliveries of the same event that were read again; they settle when the row is durable.
    waiting: Vec<Ticket>,
}

/// What a row is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not durable yet; not tried, so that its event can be read when it is.
    Writing,
    /// Durable, waiting for its time.
    Idle,
    /// An attempt is out. `durable` tells whether its flush was seen.
    Busy { durable: bool },
    /// Accepted or dead; gone when that is durable.
    Leaving,
}

/// What the ledger knows of an event that is offered again.
#[derive(Debug)]
pub(crate) enum Known {
    /// Nothing; the ticket comes back.
    No(Ticket),
    /// There is a durable row: the ticket may settle now.
    Durable(Ticket),
    /// There is a row; the ticket is kept, and settles with its flush.
    Soon,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(rows: Vec<(LedgerKey, LedgerHead)>, budget: u64) -> Self {
        let mut ledger = Self { rows: HashMap::new(), due: BTreeSet::new(), bytes: 0, budget, full: false };
        for (key, head) in rows {
            ledger.bytes += weight(&head);
            ledger.due.insert((head.due, key.clone()));
            ledger.rows.insert(key, Indexed { head, stage: Stage::Idle, waiting: Vec::new() });
        }
        ledger.judge();
        ledger
    }

    /// Adds a row that is not durable yet; busy when its attempt is out.
    pub(crate) fn park(&mut self, key: LedgerKey, head: LedgerHead, busy: Busy) {
        self.bytes += weight(&head);
        let stage = match busy {
            Busy::Yes => Stage::Busy { durable: false },
            Busy::No => Stage::Writing,
        };
        self.rows.insert(key, Indexed { head, stage, waiting: Vec::new() });
        self.judge();
    }

    /// The stored length of a row became known.
    pub(crate) fn weigh(&mut self, key: &LedgerKey, body_len: u32) {
        let Some(row) = self.rows.get_mut(key) else { return };
        self.bytes -= weight(&row.head);
        row.head.body_len = body_len;
        self.bytes += weight(&row.head);
        self.judge();
    }

    /// Whether the event is here already.
    pub(crate) fn know(&mut self, key: &LedgerKey, ticket: Ticket) -> Known {
        match self.rows.get_mut(key) {
            None => Known::No(ticket),
            Some(Indexed { stage: Stage::Idle | Stage::Busy { durable: true }, .. }) => Known::Durable(ticket),
            Some(row) => {
                row.waiting.push(ticket);
                Known::Soon
            }
        }
    }

    /// Takes the row that is due first, if its time has come; it is busy from here on.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<(LedgerKey, LedgerHead)> {
        let (due, _) = self.due.first()?;
        if *due > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        let row = self.rows.get_mut(&key)?;
        row.stage = Stage::Busy { durable: true };
        Some((key, row.head.clone()))
    }

    /// The attempt of a busy row failed: it waits again, with a new head. Gives the head as it is now, with the
    /// length that was stored.
    pub(crate) fn again(&mut self, key: &LedgerKey, head: LedgerHead) -> Option<LedgerHead> {
        let row = self.rows.get_mut(key)?;
        let durable = !matches!(row.stage, Stage::Busy { durable: false } | Stage::Writing);
        row.head = LedgerHead { body_len: row.head.body_len, ..head };
        row.stage = if durable { Stage::Idle } else { Stage::Writing };
        if durable {
            self.due.insert((row.head.due, key.clone()));
        }
        Some(row.head.clone())
    }

    /// The delivery of a busy row ended; the row stays known until that is durable.
    pub(crate) fn leave(&mut self, key: &LedgerKey) -> Option<LedgerHead> {
        let row = self.rows.get_mut(key)?;
        row.stage = Stage::Leaving;
        Some(row.head.clone())
    }

    /// What was last written of `key` is durable; gives the tickets that waited for it.
    pub(crate) fn flushed(&mut self, key: &LedgerKey, written: Written) -> Vec<Ticket> {
        let Some(row) = self.rows.get_mut(key) else { return Vec::new() };
        let waiting = std::mem::take(&mut row.waiting);
        match (written, row.stage) {
            (Written::Gone, _) => {
                self.bytes -= weight(&row.head);
                self.rows.remove(key);
                self.judge();
            }
            (Written::Row, Stage::Writing) => {
                row.stage = Stage::Idle;
                self.due.insert((row.head.due, key.clone()));
            }
            (Written::Row, Stage::Busy { .. }) => row.stage = Stage::Busy { durable: true },
            (Written::Row, Stage::Idle | Stage::Leaving) => {}
        }
        waiting
    }

    /// Over its budget, until half of it is free again.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// When the next row is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the first attempt of the oldest row began; walks over all rows.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.rows.values().map(|row| row.head.first).min()
    }

    /// Forgets every row; gives the tickets that waited for them.
    pub(crate) fn clear(&mut self) -> Vec<Ticket> {
        self.due.clear();
        self.bytes = 0;
        self.judge();
        self.rows.drain().flat_map(|(_, row)| row.waiting).collect()
    }

    fn judge(&mut self) {
        self.full = if self.full { self.bytes > self.budget / 2 } else { self.bytes > self.budget };
    }
}

/// Whether an attempt of a new row is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    Yes,
    No,
}

/// What of a row became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It, or its new head.
    Row,
    /// Its removal.
    Gone,
}

/// What a row costs: its body, and about 128 bytes of key and head.
fn weight(head: &LedgerHead) -> u64 {
    u64::from(head.body_len) + 128
}
