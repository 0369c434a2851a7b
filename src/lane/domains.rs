//! Order domains: what of one (stream, partition, ordering key) is queued, out, or in the ledger, and whose turn it is.
//!
//! INVARIANT (INV-4, INV-12): the turn is that of the lowest by (offset, ord) over queue and ledger, and nobody's
//! while one is out. Blocking by *any* row instead of an earlier one would deadlock after a restart, when a
//! reader comes again to what is before a row. Only lanes with `ordering: key` have domains.

use crate::lane::queue::Spot;
use crate::lane::signal::PlaceKey;
use crate::model::delivery::LedgerKey;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// The domains of one lane.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    numbers: HashMap<PlaceKey, HashMap<String, u32>>,
    all: Vec<Domain>,
    free: Vec<u32>,
}

/// One domain.
#[derive(Debug)]
pub(crate) struct Domain {
    name: Option<(PlaceKey, String)>,
    stream: u128,
    /// Queued, in order, with their numbers in the queue.
    queued: VecDeque<(Spot, u64)>,
    /// Ledger rows: all but those that were accepted under the present rules of order.
    rows: BTreeSet<LedgerKey>,
    /// Deliveries that are out; more than one only within a batch.
    out: usize,
    /// Whom the queue and the ledger were told to let go.
    shown: Next,
}

/// Whose turn it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Next {
    #[default]
    Nobody,
    /// The queued delivery with this number.
    Queued(u64),
    Row(LedgerKey),
}

/// A change of turn, for queue and ledger.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) before: Next,
    pub(crate) after: Next,
}

// === impl Domains ===

impl Domains {
    /// The number of a domain, if there is anything of it.
    pub(crate) fn find(&self, place: &PlaceKey, key: &str) -> Option<u32> {
        self.numbers.get(place)?.get(key).copied()
    }

    /// The number of a domain.
    pub(crate) fn number(&mut self, place: &PlaceKey, key: &str) -> u32 {
        if let Some(number) = self.find(place, key) {
            return number;
        }
        let domain = Domain::new(place.clone(), key.to_owned());
        let number = match self.free.pop() {
            Some(number) => {
                self.all[number as usize] = domain;
                number
            }
            None => {
                self.all.push(domain);
                u32::try_from(self.all.len() - 1).expect("fewer domains than deliveries in memory")
            }
        };
        self.numbers.entry(place.clone()).or_default().insert(key.to_owned(), number);
        number
    }

    pub(crate) fn get(&mut self, number: u32) -> &mut Domain {
        &mut self.all[number as usize]
    }

    /// How many have something.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// Whether the delivery at `spot` belongs into the ledger, behind an earlier one that has a row. Not while an
    /// earlier one is queued, as what was held is: after a kill the later one would be tried before it is read again.
    pub(crate) fn blocks(&self, number: u32, spot: Spot) -> bool {
        let domain = &self.all[number as usize];
        let queued = domain.queued.front().is_some_and(|(queued, _)| *queued < spot);
        !queued && domain.rows.first().is_some_and(|row| Spot::of(row) < spot)
    }

    /// Judges again whose turn it is; forgets the domain when nothing of it is left.
    pub(crate) fn judge(&mut self, number: u32) -> Option<Change> {
        let domain = &mut self.all[number as usize];
        let after = domain.next();
        let change = (domain.shown != after).then(|| Change { before: domain.shown.clone(), after: after.clone() });
        domain.shown = after;
        if domain.is_empty()
            && let Some((place, key)) = domain.name.take()
        {
            if let Some(keys) = self.numbers.get_mut(&place) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.numbers.remove(&place);
                }
            }
            self.free.push(number);
        }
        change
    }

    /// The head row of the domain with most rows, if it may be tried now.
    pub(crate) fn fullest(&self) -> Option<&LedgerKey> {
        let with_head = self.all.iter().filter(|domain| matches!(domain.shown, Next::Row(_)));
        match &with_head.max_by_key(|domain| domain.rows.len())?.shown {
            Next::Row(key) => Some(key),
            Next::Nobody | Next::Queued(_) => None,
        }
    }
}

// === impl Domain ===

impl Domain {
    fn new(place: PlaceKey, key: String) -> Self {
        let (queued, rows) = (VecDeque::new(), BTreeSet::new());
        let stream = place.stream;
        Self { name: Some((place, key)), stream, queued, rows, out: 0, shown: Next::Nobody }
    }

    pub(crate) fn stream(&self) -> u128 {
        self.stream
    }

    pub(crate) fn queue(&mut self, spot: Spot, number: u64) {
        self.queued.push_back((spot, number));
    }

    /// One of its queued deliveries left the queue.
    pub(crate) fn unqueue(&mut self, spot: Spot) {
        self.queued.retain(|(queued, _)| *queued != spot);
    }

    /// The next queued one, when no row is before it.
    pub(crate) fn next_queued(&self) -> Option<u64> {
        let (spot, number) = self.queued.front()?;
        self.rows.first().is_none_or(|row| *spot < Spot::of(row)).then_some(*number)
    }

    /// All that are queued, in order.
    pub(crate) fn queued(&self) -> impl Iterator<Item = u64> + '_ {
        self.queued.iter().map(|(_, number)| *number)
    }

    pub(crate) fn park(&mut self, key: LedgerKey) {
        self.rows.insert(key);
    }

    pub(crate) fn unpark(&mut self, key: &LedgerKey) {
        self.rows.remove(key);
    }

    pub(crate) fn launch(&mut self) {
        self.out += 1;
    }

    pub(crate) fn land(&mut self) {
        self.out -= 1;
    }

    /// Whether no other of it is out.
    pub(crate) fn is_last_out(&self) -> bool {
        self.out == 1
    }

    fn next(&self) -> Next {
        if self.out > 0 {
            return Next::Nobody;
        }
        match (self.next_queued(), self.rows.first()) {
            (Some(number), _) => Next::Queued(number),
            (None, Some(row)) => Next::Row(row.clone()),
            (None, None) => Next::Nobody,
        }
    }

    fn is_empty(&self) -> bool {
        self.out == 0 && self.queued.is_empty() && self.rows.is_empty()
    }
}
