//! The index of one subscription's ledger rows: when each is due, what it weighs, whether it is durable yet.
//!
//! The rows themselves are in the store; here is what deciding needs, about 200 bytes each. Which row of an order
//! domain may be tried is told from outside. Pure.

use crate::lane::queue::Allowed;
use crate::model::delivery::{LedgerHead, LedgerKey, Ticket};
use crate::model::outcome::{Outcome, RetryAfter};
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::model::weight::ROW;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The index of one subscription's ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    rows: HashMap<LedgerKey, Indexed>,
    /// Rows that may be tried, by when.
    due: BTreeSet<(Timestamp, LedgerKey)>,
    bytes: u64,
    budget: Budget,
    full: bool,
    /// How many rows it may hold instead, while all ledgers together are full.
    confined: Option<usize>,
    /// Partitions whose rows are not tried: they are about to go.
    barred: HashSet<TopicPartition>,
}

/// What a ledger may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) rows: usize,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Indexed {
    head: LedgerHead,
    stage: Stage,
    domain: Option<u32>,
    allowed: Allowed,
    /// Its entry in `due`.
    due: Option<Timestamp>,
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
    /// Its event cannot be read; not tried before the next start.
    Stuck,
}

/// A row as it comes in.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) key: LedgerKey,
    pub(crate) head: LedgerHead,
    pub(crate) domain: Option<u32>,
    pub(crate) birth: Birth,
}

/// What a new row is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Birth {
    /// It waits to be durable.
    Waiting,
    /// So it does, and its attempt is out.
    Busy,
    /// It was read from the store.
    Durable,
    /// It is no row: its delivery is dead, and known until that is durable.
    Dying,
}

/// What the ledger knows of an event that is offered again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    No,
    /// There is a durable row.
    Durable,
    /// There is a row, or the end of one, that is not durable yet.
    Soon,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(budget: Budget) -> Self {
        let (rows, due, barred) = (HashMap::new(), BTreeSet::new(), HashSet::new());
        Self { rows, due, bytes: 0, budget, full: false, confined: None, barred }
    }

    pub(crate) fn configure(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// Adds a row; one that is there already is left alone.
    pub(crate) fn add(&mut self, new: New) {
        if self.rows.contains_key(&new.key) {
            return;
        }
        let stage = match new.birth {
            Birth::Waiting => Stage::Writing,
            Birth::Busy => Stage::Busy { durable: false },
            Birth::Durable => Stage::Idle,
            Birth::Dying => Stage::Leaving,
        };
        self.bytes += weight(&new.head);
        let allowed = if new.domain.is_none() { Allowed::Yes } else { Allowed::No };
        let (head, domain) = (new.head, new.domain);
        let row = Indexed { head, stage, domain, allowed, due: None, waiting: Vec::new() };
        self.rows.insert(new.key.clone(), row);
        self.seat(&new.key);
    }

    /// The stored length of a row became known.
    pub(crate) fn weigh(&mut self, key: &LedgerKey, body_len: u32) {
        let Some(row) = self.rows.get_mut(key) else { return };
        self.bytes -= weight(&row.head);
        row.head.body_len = body_len;
        self.bytes += weight(&row.head);
    }

    /// Whether the event is here already.
    pub(crate) fn know(&self, key: &LedgerKey) -> Known {
        match self.rows.get(key).map(|row| row.stage) {
            None => Known::No,
            Some(Stage::Idle | Stage::Busy { durable: true } | Stage::Stuck) => Known::Durable,
            Some(_) => Known::Soon,
        }
    }

    /// A live delivery of the row's event settles when the row is durable.
    pub(crate) fn wait(&mut self, key: &LedgerKey, ticket: Ticket) {
        if let Some(row) = self.rows.get_mut(key) {
            row.waiting.push(ticket);
        }
    }

    /// The order domain lets the row be tried, or no more.
    pub(crate) fn allow(&mut self, key: &LedgerKey, allowed: Allowed) {
        if let Some(row) = self.rows.get_mut(key) {
            row.allowed = allowed;
            self.seat(key);
        }
    }

    /// Takes the row that is due first; it is busy from here on.
    pub(crate) fn take_first(&mut self) -> Option<(LedgerKey, LedgerHead, Option<u32>)> {
        let key = self.due.first()?.1.clone();
        self.take(key)
    }

    /// Takes this row, if it may be tried; it is busy from here on.
    pub(crate) fn take(&mut self, key: LedgerKey) -> Option<(LedgerKey, LedgerHead, Option<u32>)> {
        let row = self.rows.get_mut(&key)?;
        row.due?;
        row.stage = Stage::Busy { durable: true };
        let (head, domain) = (row.head.clone(), row.domain);
        self.seat(&key);
        Some((key, head, domain))
    }

    /// The attempt of a busy row failed: it waits again, with a new head. Gives the head as it is now, with the
    /// length that was stored.
    pub(crate) fn again(&mut self, key: &LedgerKey, head: LedgerHead) -> Option<LedgerHead> {
        let row = self.rows.get_mut(key)?;
        let durable = !matches!(row.stage, Stage::Busy { durable: false } | Stage::Writing);
        row.head = LedgerHead { body_len: row.head.body_len, ordering_key: row.head.ordering_key.take(), ..head };
        row.stage = if durable { Stage::Idle } else { Stage::Writing };
        let head = row.head.clone();
        self.seat(key);
        Some(head)
    }

    /// The endpoint is back: what failed because it was not there is due. With order per key a row that waited on for
    /// hours would hold its key, and fill the ledger with what comes behind it. What the endpoint asked to be left alone
    /// with stays, and so does what the store says: a kill brings the old dates back. Walks over all rows.
    pub(crate) fn hasten(&mut self, now: Timestamp) {
        let mut hastened = Vec::new();
        for (key, row) in &mut self.rows {
            if row.head.due > now && !was_told_when(row.head.last.as_ref()) {
                row.head.due = now;
                hastened.push(key.clone());
            }
        }
        hastened.iter().for_each(|key| self.seat(key));
    }

    /// The attempt of a busy row was cut off: the row is as it was.
    pub(crate) fn idle(&mut self, key: &LedgerKey) {
        let Some(row) = self.rows.get_mut(key) else { return };
        row.stage = match row.stage {
            Stage::Busy { durable: true } => Stage::Idle,
            Stage::Busy { durable: false } => Stage::Writing,
            stage => stage,
        };
        self.seat(key);
    }

    /// The delivery of a busy row ended; the row stays known until that is durable.
    pub(crate) fn leave(&mut self, key: &LedgerKey) -> Option<LedgerHead> {
        let row = self.rows.get_mut(key)?;
        row.stage = Stage::Leaving;
        let head = row.head.clone();
        self.seat(key);
        Some(head)
    }

    /// The event of a busy row cannot be read.
    pub(crate) fn stick(&mut self, key: &LedgerKey) {
        if let Some(row) = self.rows.get_mut(key) {
            row.stage = Stage::Stuck;
            self.seat(key);
        }
    }

    /// What was last written of `key` is durable; gives the tickets that waited for it, and its domain when the
    /// row is gone.
    pub(crate) fn flushed(&mut self, key: &LedgerKey, written: Written) -> (Vec<Ticket>, Option<u32>) {
        let Some(row) = self.rows.get_mut(key) else { return (Vec::new(), None) };
        if written == Written::Row && row.stage == Stage::Leaving {
            return (Vec::new(), None); // its end is on the way, and those that wait, wait for that
        }
        let waiting = std::mem::take(&mut row.waiting);
        if written == Written::Gone {
            let domain = row.domain;
            self.remove(key);
            return (waiting, domain);
        }
        row.stage = match row.stage {
            Stage::Writing => Stage::Idle,
            Stage::Busy { .. } => Stage::Busy { durable: true },
            stage => stage,
        };
        self.seat(key);
        (waiting, None)
    }

    /// Over its budget, until half of it is free again.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// It takes nothing more until half of what it holds now is gone: all ledgers together are full.
    pub(crate) fn confine(&mut self) {
        self.confined = Some(self.rows.len());
    }

    /// Whether it is full only because all ledgers together are.
    pub(crate) fn is_confined(&self) -> bool {
        self.confined.is_some()
    }

    /// Judges again whether it is full; gives whether that changed.
    pub(crate) fn judge(&mut self) -> Judged {
        let rows = self.confined.map_or(self.budget.rows, |rows| rows.min(self.budget.rows));
        let over = if self.full {
            self.bytes > self.budget.bytes / 2 || self.rows.len() > rows / 2
        } else {
            self.confined.is_some() || self.bytes > self.budget.bytes || self.rows.len() > rows
        };
        if !over {
            self.confined = None;
        }
        match (std::mem::replace(&mut self.full, over), over) {
            (false, true) => Judged::Full,
            (true, false) => Judged::Free,
            _ => Judged::Same,
        }
    }

    /// Whether so many rows of so many bytes fit.
    pub(crate) fn has_room(&self, rows: usize, bytes: u64) -> bool {
        self.rows.len() + rows <= self.budget.rows && self.bytes + bytes <= self.budget.bytes
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

    /// The rows of one partition, and their domains; walks over all rows.
    pub(crate) fn of(&self, at: &TopicPartition) -> Vec<(LedgerKey, Option<u32>)> {
        self.rows.iter().filter(|(key, _)| key.at == *at).map(|(key, row)| (key.clone(), row.domain)).collect()
    }

    /// How many rows a stream has on a partition; walks over all rows.
    pub(crate) fn of_stream(&self, at: &TopicPartition, stream: u128) -> usize {
        self.rows.keys().filter(|key| key.stream == stream && key.at == *at).count()
    }

    /// No row of `at` is tried any more.
    pub(crate) fn bar(&mut self, at: &TopicPartition) {
        self.barred.insert(at.clone());
        self.of(at).iter().for_each(|(key, _)| self.seat(key));
    }

    /// `at` begins anew.
    pub(crate) fn unbar(&mut self, at: &TopicPartition) {
        self.barred.remove(at);
    }

    /// Forgets a row; gives the tickets that waited for it.
    pub(crate) fn remove(&mut self, key: &LedgerKey) -> Vec<Ticket> {
        let Some(row) = self.rows.remove(key) else { return Vec::new() };
        self.bytes -= weight(&row.head);
        if let Some(due) = row.due {
            self.due.remove(&(due, key.clone()));
        }
        row.waiting
    }

    /// Forgets every row; gives the tickets that waited for them.
    pub(crate) fn clear(&mut self) -> Vec<Ticket> {
        self.due.clear();
        self.bytes = 0;
        self.rows.drain().flat_map(|(_, row)| row.waiting).collect()
    }

    /// Gives each row its domain, for other rules of order. One that leaves holds up its domain too: a death counts
    /// only when it is durable.
    pub(crate) fn redomain(&mut self, mut domain: impl FnMut(&LedgerKey, &LedgerHead) -> Option<u32>) {
        let keys = self.rows.keys().cloned().collect::<Vec<_>>();
        for key in keys {
            let Some(row) = self.rows.get_mut(&key) else { continue };
            row.domain = domain(&key, &row.head);
            row.allowed = if row.domain.is_none() { Allowed::Yes } else { Allowed::No };
            self.seat(&key);
        }
    }

    /// Puts a row among those that may be tried, or takes it out.
    fn seat(&mut self, key: &LedgerKey) {
        let Some(row) = self.rows.get_mut(key) else { return };
        let barred = !self.barred.is_empty() && self.barred.contains(&key.at);
        let seat = (row.stage == Stage::Idle && row.allowed == Allowed::Yes && !barred).then_some(row.head.due);
        if row.due == seat {
            return;
        }
        if let Some(due) = std::mem::replace(&mut row.due, seat) {
            self.due.remove(&(due, key.clone()));
        }
        if let Some(due) = seat {
            self.due.insert((due, key.clone()));
        }
    }
}

/// What of a row became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It, or its new head.
    Row,
    /// Its removal.
    Gone,
}

/// Whether the ledger became full, or free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Same,
    Full,
    Free,
}

/// Whether the endpoint itself said when it wants to be tried again.
fn was_told_when(last: Option<&Outcome>) -> bool {
    let Some(Outcome::Answered(answer)) = last else { return false };
    matches!(answer.retry_after, RetryAfter::Seconds(_) | RetryAfter::Date(_))
}

fn weight(head: &LedgerHead) -> u64 {
    ROW + u64::from(head.body_len)
}
