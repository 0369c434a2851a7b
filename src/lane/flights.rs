//! Attempts that are out. A slab: starting and finishing one costs no search and, once warm, no allocation.

use crate::lane::queue::Delivery;
use crate::lane::signal::AttemptId;
use crate::model::delivery::LedgerKey;
use crate::model::time::Timestamp;

/// Attempts that are out.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    all: Vec<Option<(u64, Flight)>>,
    free: Vec<u32>,
    started: u64,
    retries: usize,
    replays: usize,
}

/// One attempt that is out.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) load: Load,
    pub(crate) started: Timestamp,
    /// The breaker's era when it began.
    pub(crate) era: u32,
    pub(crate) kind: Kind,
}

/// What an attempt carries.
#[derive(Debug)]
pub(crate) enum Load {
    One(Member),
    Many(Vec<Member>),
    Row(Tried),
}

/// A first attempt's delivery.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) delivery: Delivery,
    pub(crate) row: HasRow,
}

/// Whether a delivery that is out has a ledger row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HasRow {
    /// It has: what comes of the attempt acts on the row.
    Yes,
    /// It has none.
    No,
}

/// A row that is tried.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) key: LedgerKey,
    /// Attempts before this one.
    pub(crate) attempts: u16,
    /// When the first one began.
    pub(crate) first: Timestamp,
    pub(crate) domain: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    First,
    Replay,
    Retry,
    /// No attempt at all: the event is read, to be given up.
    Bury,
}

// === impl Flights ===

impl Flights {
    pub(crate) fn add(&mut self, flight: Flight) -> AttemptId {
        self.count(flight.kind, 1);
        self.started += 1;
        let (turn, slot) = match self.free.pop() {
            Some(slot) => {
                self.all[slot as usize] = Some((self.started, flight));
                (self.started, slot)
            }
            None => {
                self.all.push(Some((self.started, flight)));
                (self.started, u32::try_from(self.all.len() - 1).expect("at most 1,000 slots"))
            }
        };
        AttemptId(turn << 16 | u64::from(slot))
    }

    /// Takes the attempt out; `None` when it is none of ours any more.
    pub(crate) fn remove(&mut self, attempt: AttemptId) -> Option<Flight> {
        let slot = (attempt.0 & 0xffff) as usize;
        let entry = self.all.get_mut(slot)?;
        let (_, flight) = entry.take_if(|(turn, _)| *turn == attempt.0 >> 16)?;
        self.free.push(slot as u32);
        self.count(flight.kind, -1);
        Some(flight)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AttemptId, &Flight)> {
        self.all.iter().enumerate().filter_map(|(slot, entry)| {
            let (turn, flight) = entry.as_ref()?;
            Some((AttemptId(turn << 16 | slot as u64), flight))
        })
    }

    /// The deliveries of first attempts.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.iter().flat_map(|(_, flight)| flight.load.members())
    }

    pub(crate) fn members_mut(&mut self) -> impl Iterator<Item = (Timestamp, &mut Member)> {
        self.all.iter_mut().flatten().flat_map(|(_, flight)| {
            let started = flight.started;
            flight.load.members_mut().iter_mut().map(move |member| (started, member))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    pub(crate) fn retries(&self) -> usize {
        self.retries
    }

    pub(crate) fn replays(&self) -> usize {
        self.replays
    }

    fn count(&mut self, kind: Kind, by: isize) {
        match kind {
            Kind::Retry | Kind::Bury => self.retries = self.retries.saturating_add_signed(by),
            Kind::Replay => self.replays = self.replays.saturating_add_signed(by),
            Kind::First => {}
        }
    }
}

// === impl Load ===

impl Load {
    pub(crate) fn members(&self) -> &[Member] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::Many(members) => members,
            Self::Row(_) => &[],
        }
    }

    pub(crate) fn members_mut(&mut self) -> &mut [Member] {
        match self {
            Self::One(member) => std::slice::from_mut(member),
            Self::Many(members) => members,
            Self::Row(_) => &mut [],
        }
    }

    /// How many deliveries it carries.
    pub(crate) fn len(&self) -> usize {
        self.members().len().max(1)
    }
}
