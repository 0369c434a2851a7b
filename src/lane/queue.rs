//! First attempts that wait: in the order they came, and with order per key only one of a domain to the front.
//!
//! Without order a plain queue, and no more than that is paid for. With order per key each delivery has a number;
//! those that the domains let go are in a second, sorted set. Pure; it decides nothing.

use crate::model::delivery::LedgerKey;
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::subscription::Ordering;
use crate::model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A delivery in memory that has no ledger row.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// Its place, by number.
    pub(crate) place: u32,
    pub(crate) event: Arc<Emitted>,
    pub(crate) from: From,
    /// When it came.
    pub(crate) since: Timestamp,
    /// Its order domain, by number; `None`: no order.
    pub(crate) domain: Option<u32>,
    /// About its bytes; 0 when nobody asks.
    pub(crate) size: u32,
}

/// Who brought a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Intake: it is live, and has a ticket to settle.
    Intake,
    /// A catch-up reader: the cursor stands before it.
    Reader,
}

/// Where a delivery stands within its partition; orders as the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub(crate) offset: i64,
    pub(crate) ord: u32,
}

/// First attempts that wait.
#[derive(Debug)]
pub(crate) struct Queue {
    line: Line,
    bytes: u64,
}

#[derive(Debug)]
enum Line {
    Plain(VecDeque<Delivery>),
    Keyed { all: BTreeMap<u64, Delivery>, ready: BTreeSet<u64>, next: u64 },
}

// === impl Delivery ===

impl Delivery {
    pub(crate) fn offset(&self) -> i64 {
        self.event.event.origin.offset
    }

    pub(crate) fn spot(&self) -> Spot {
        Spot::at(&self.event)
    }

    pub(crate) fn key(&self, sid: Sid, stream: u128) -> LedgerKey {
        LedgerKey { stream, ..LedgerKey::of(&self.event.event, sid) }
    }
}

// === impl Spot ===

impl Spot {
    pub(crate) fn at(event: &Emitted) -> Self {
        Self { offset: event.event.origin.offset, ord: event.event.ord }
    }

    pub(crate) fn of(key: &LedgerKey) -> Self {
        Self { offset: key.offset, ord: key.ord }
    }
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(ordering: Ordering) -> Self {
        let line = match ordering {
            Ordering::None => Line::Plain(VecDeque::new()),
            Ordering::Key => Line::Keyed { all: BTreeMap::new(), ready: BTreeSet::new(), next: 0 },
        };
        Self { line, bytes: 0 }
    }

    /// Adds a delivery at the end; gives its number. One without a domain may go at once.
    pub(crate) fn push(&mut self, delivery: Delivery) -> u64 {
        self.bytes += u64::from(delivery.size);
        match &mut self.line {
            Line::Plain(all) => {
                all.push_back(delivery);
                0
            }
            Line::Keyed { all, ready, next } => {
                *next += 1;
                if delivery.domain.is_none() {
                    ready.insert(*next);
                }
                all.insert(*next, delivery);
                *next
            }
        }
    }

    /// Takes the first that may go.
    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        let delivery = match &mut self.line {
            Line::Plain(all) => all.pop_front(),
            Line::Keyed { all, ready, .. } => all.remove(&ready.pop_first()?),
        }?;
        self.bytes -= u64::from(delivery.size);
        Some(delivery)
    }

    /// The first that may go.
    pub(crate) fn first(&self) -> Option<&Delivery> {
        match &self.line {
            Line::Plain(all) => all.front(),
            Line::Keyed { all, ready, .. } => all.get(ready.first()?),
        }
    }

    /// Takes the one with this number out of the middle.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Delivery> {
        let Line::Keyed { all, ready, .. } = &mut self.line else { return None };
        ready.remove(&number);
        let delivery = all.remove(&number)?;
        self.bytes -= u64::from(delivery.size);
        Some(delivery)
    }

    /// The domain of the one with this number lets it go, or no more.
    pub(crate) fn allow(&mut self, number: u64, allowed: Allowed) {
        let Line::Keyed { ready, .. } = &mut self.line else { return };
        match allowed {
            Allowed::Yes => ready.insert(number),
            Allowed::No => ready.remove(&number),
        };
    }

    /// Takes out all of one place, in order, with their numbers.
    pub(crate) fn take(&mut self, place: u32) -> Vec<(u64, Delivery)> {
        let taken = match &mut self.line {
            Line::Plain(all) => {
                let (taken, keep) = std::mem::take(all).into_iter().partition(|delivery| delivery.place == place);
                *all = keep;
                let taken: VecDeque<_> = taken;
                taken.into_iter().map(|delivery| (0, delivery)).collect::<Vec<_>>()
            }
            Line::Keyed { all, ready, .. } => {
                let taken = all.extract_if(.., |_, delivery| delivery.place == place).collect::<Vec<_>>();
                taken.iter().for_each(|(number, _)| {
                    ready.remove(number);
                });
                taken
            }
        };
        self.bytes -= taken.iter().map(|(_, delivery)| u64::from(delivery.size)).sum::<u64>();
        taken
    }

    /// All, in the order they came.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = &Delivery> + '_> {
        match &self.line {
            Line::Plain(all) => Box::new(all.iter()),
            Line::Keyed { all, .. } => Box::new(all.values()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.line {
            Line::Plain(all) => all.len(),
            Line::Keyed { all, .. } => all.len(),
        }
    }

    /// The number of the first that may go; a plain line has none.
    pub(crate) fn first_number(&self) -> Option<u64> {
        match &self.line {
            Line::Plain(_) => None,
            Line::Keyed { ready, .. } => ready.first().copied(),
        }
    }

    /// The one with this number.
    pub(crate) fn get(&self, number: u64) -> Option<&Delivery> {
        match &self.line {
            Line::Plain(_) => None,
            Line::Keyed { all, .. } => all.get(&number),
        }
    }

    /// How many may go; with a plain queue all.
    pub(crate) fn ready(&self) -> usize {
        match &self.line {
            Line::Plain(all) => all.len(),
            Line::Keyed { ready, .. } => ready.len(),
        }
    }

    /// The sizes of all, together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether so many more fit; an empty queue takes any group.
    pub(crate) fn has_room(&self, more: usize, limit: usize) -> bool {
        self.len() == 0 || self.len() + more <= limit
    }
}

/// Whether the domain lets a delivery go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Yes,
    No,
}
