//! The lane of one subscription: what it holds, and what others may ask of it.
//!
//! Its transitions stand in files of their own: `offer`, `start`, `outcome`, `park`, `join`,
//! `cursor`, `operate`, `partition`.

use crate::lane::breaker::{Breaker, Pass};
use crate::lane::domains::{Change, Domains, Next};
use crate::lane::flights::Flights;
use crate::lane::gate::{Counts, Gate, Reasons, Shut};
use crate::lane::ledger::{Budget, Ledger};
use crate::lane::letters::Letters;
use crate::lane::patience::Patience;
use crate::lane::place::Stand;
use crate::lane::places::Places;
use crate::lane::queue::{Allowed, Delivery, From, Queue};
use crate::lane::rate::Rate;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::PlaceKey;
use crate::lane::slots::Slots;
use crate::lane::vitals::Vitals;
use crate::model::cursor::CursorRow;
use crate::model::delivery::{LedgerKey, Ticket};
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::model::weight::Weight;
use std::time::Duration;

/// The lane of one subscription.
#[derive(Debug)]
pub struct Lane {
    pub(crate) sid: Sid,
    pub(crate) settings: DeliverySettings,
    pub(crate) reasons: Reasons,
    pub(crate) breaker: Breaker,
    pub(crate) slots: Slots,
    pub(crate) rate: Rate,
    /// The endpoint asked to be left alone until then (`Retry-After`).
    pub(crate) hold: Option<Timestamp>,
    pub(crate) queue: Queue,
    pub(crate) replays: Queue,
    pub(crate) flights: Flights,
    pub(crate) ledger: Ledger,
    pub(crate) letters: Letters,
    pub(crate) domains: Domains,
    pub(crate) places: Places,
    /// Batches asked for so far.
    pub(crate) writes: u64,
    pub(crate) patience: Patience,
    /// Whether a reader was asked for already.
    pub(crate) called: bool,
    /// When cursors were moved last.
    pub(crate) beat: Timestamp,
    /// How its endpoint does.
    pub(crate) vitals: Vitals,
    /// Settings with other rules of order, until nothing is out.
    pub(crate) changing: Option<DeliverySettings>,
    /// Starts so far: who comes first takes turns.
    pub(crate) starts: u64,
    pub(crate) regressions: u64,
}

// === impl Lane ===

impl Lane {
    /// A lane that holds nothing yet; [`Lane::open`] brings it the rows of a partition.
    #[must_use]
    pub fn new(sid: Sid, settings: DeliverySettings) -> Self {
        Self {
            sid,
            reasons: Reasons::default(),
            breaker: Breaker::new(settings.breaker),
            slots: Slots::new(settings.concurrency),
            rate: Rate::new(settings.per_minute),
            hold: None,
            queue: Queue::new(settings.ordering),
            replays: Queue::new(settings.ordering),
            flights: Flights::default(),
            ledger: Ledger::new(Budget { rows: settings.ledger_rows, bytes: settings.ledger_budget }),
            letters: Letters::new(settings.letters()),
            domains: Domains::default(),
            places: Places::default(),
            writes: 0,
            patience: Patience::new(),
            called: false,
            beat: Timestamp::default(),
            vitals: Vitals::default(),
            changing: None,
            starts: 0,
            regressions: 0,
            settings,
        }
    }

    /// Whether first attempts start.
    #[must_use]
    pub fn gate(&self) -> Gate {
        if let Some(shut) = self.reasons.first() {
            return Gate::Shut(shut);
        }
        match self.breaker.pass() {
            Pass::None => Gate::Shut(Shut::Breaker),
            _ if self.ledger.is_full() => Gate::Shut(Shut::LedgerFull),
            Pass::Few(slots) => Gate::HalfOpen(slots),
            Pass::All => Gate::Open,
        }
    }

    /// How much it holds; walks over the places.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            queued: self.queued(),
            in_flight: self.flights.len(),
            slots: self.limit(),
            rows: self.ledger.rows(),
            bytes: self.ledger.bytes(),
            letters: self.letters.held(),
            regressions: self.regressions,
            ..Counts::default()
        };
        for (_, place) in self.places.iter() {
            match place.stand {
                Stand::Live { .. } => counts.live += 1,
                Stand::Behind { .. } => counts.behind += 1,
                Stand::Joining { .. } => counts.joining += 1,
            }
        }
        counts
    }

    /// The cursors, as they were last asked to be.
    pub fn cursors(&self) -> impl Iterator<Item = (&PlaceKey, CursorRow)> {
        self.places.iter().filter_map(|(_, place)| Some((&place.key, place.cursor()?)))
    }

    /// Ledger rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ledger.rows()
    }

    /// Whether so many rows of so many bytes would find room in the ledger.
    #[must_use]
    pub fn has_ledger_room(&self, more: Weight) -> bool {
        self.ledger.has_room(usize::try_from(more.rows).unwrap_or(usize::MAX), more.bytes)
    }

    /// What is full, when the gate is shut for that: `ledger`, `ledgers` (all together), `dead_letters`.
    #[must_use]
    pub fn full(&self) -> Option<&'static str> {
        match self.gate() {
            Gate::Shut(Shut::LedgerFull) => Some(if self.ledger.is_confined() { "ledgers" } else { "ledger" }),
            Gate::Shut(Shut::DeadLettersFull) => Some("dead_letters"),
            Gate::Open | Gate::HalfOpen(_) | Gate::Shut(_) => None,
        }
    }

    /// First attempts that wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len() + self.replays.len()
    }

    /// About the bytes of what is queued; walks over it.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.queue.iter().chain(self.replays.iter()).map(|delivery| u64::from(delivery.event.size())).sum()
    }

    /// Whether a group of so many would find room in the queue.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        self.queue.has_room(more, self.settings.queue)
    }

    /// Whether intake feeds this lane on `at`.
    #[must_use]
    pub fn is_live(&self, at: &TopicPartition) -> bool {
        self.places.find(at, 0).is_none_or(|number| self.places.at(number).is_live())
    }

    /// How long intake may still wait for room here before it offers.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience.left()
    }

    /// Intake waited for room here.
    pub fn waited(&mut self, waited: Duration) {
        self.patience.spend(waited);
    }

    /// When the oldest ledger row was first attempted or parked; walks over all rows.
    #[must_use]
    pub fn ledger_oldest(&self) -> Option<Timestamp> {
        self.ledger.oldest()
    }

    /// How its endpoint does.
    #[must_use]
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// The breaker as operators read it: `closed`, `open`, or `probation` while the endpoint is tried carefully.
    #[must_use]
    pub fn breaker(&self) -> &'static str {
        match self.breaker.pass() {
            Pass::All => "closed",
            Pass::Few(_) => "probation",
            Pass::None => "open",
        }
    }

    /// The stored length of a parked event became known; call it as soon as a [`crate::lane::signal::Change::Park`]
    /// is encoded.
    pub fn weigh(&mut self, key: &LedgerKey, body_len: u32) {
        self.ledger.weigh(key, body_len);
    }

    /// What a dead letter weighs became known; call it as soon as a [`crate::lane::signal::Change::Dead`] is encoded.
    /// Whether there is room for more is judged at the next turn: what is out by then may still die.
    pub fn died(&mut self, letter: Weight) {
        self.letters.add(letter);
    }

    /// Attempts at a time.
    pub(crate) fn limit(&self) -> u16 {
        match self.breaker.pass() {
            Pass::Few(few) => self.slots.limit().min(few),
            Pass::All | Pass::None => self.slots.limit(),
        }
    }

    /// The queue that deliveries of a stream wait in.
    pub(crate) fn queue_of(&mut self, stream: u128) -> &mut Queue {
        if stream == 0 { &mut self.queue } else { &mut self.replays }
    }

    /// Judges again whose turn it is in a domain.
    pub(crate) fn judge(&mut self, domain: Option<u32>) {
        let Some(number) = domain else { return };
        let stream = self.domains.get(number).stream();
        let Some(Change { before, after }) = self.domains.judge(number) else { return };
        for (next, allowed) in [(before, Allowed::No), (after, Allowed::Yes)] {
            match next {
                Next::Nobody => {}
                Next::Queued(number) => self.queue_of(stream).allow(number, allowed),
                Next::Row(key) => self.ledger.allow(&key, allowed),
            }
        }
    }

    /// The ticket of a delivery that intake brought.
    pub(crate) fn ticket(&self, delivery: &Delivery) -> Option<Ticket> {
        let place = self.places.at(delivery.place);
        let ticket = || Ticket { at: place.key.at.clone(), epoch: place.epoch, offset: delivery.offset() };
        (delivery.from == From::Intake).then(ticket)
    }
}
