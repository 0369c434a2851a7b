//! One subscription: offers and outcomes in, attempts and durable changes out.
//!
//! A pure state machine; the clock and the dice are parameters, what it wants done comes back as effects. It
//! holds first attempts in a bounded queue, knows which attempts are out, and which ledger rows are due. Every
//! call is short and synchronous and made under the lane's lock. It knows nothing of HTTP, of the store, of
//! partitions' progress, or of other lanes. Every place is live so far: what finds no room is parked.

pub mod backoff;
mod ledger;
mod patience;
pub mod settings;
pub mod signal;
pub mod verdict;

use crate::lane::ledger::{Busy, Known, Ledger, Written};
use crate::lane::patience::Patience;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{Answer, AttemptId, Dying, Effect, Finished, Of, Row, Start, What};
use crate::lane::verdict::Verdict;
use crate::model::delivery::{LedgerHead, LedgerKey, Offer, Ticket};
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The lane of one subscription.
#[derive(Debug)]
pub struct Lane {
    sid: Sid,
    settings: DeliverySettings,
    gate: Gate,
    /// The endpoint asked to be left alone until then (`Retry-After`).
    hold: Option<Timestamp>,
    queue: VecDeque<Offer>,
    flight: HashMap<AttemptId, Flight>,
    attempts: u64,
    ledger: Ledger,
    patience: Patience,
}

/// An attempt that is out.
#[derive(Debug)]
struct Flight {
    key: LedgerKey,
    /// The live delivery, until it settles by a row or by the outcome.
    live: Option<Offer>,
    /// Attempts before this one.
    attempts: u16,
    /// When the first attempt began.
    first: Timestamp,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    First,
    Retry,
}

/// Whether attempts start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They do.
    Open,
    /// They do not: the subscription is disabled. Its rows stay and are not tried.
    Disabled,
    /// They do not: the process stops.
    Stopping,
    /// They do not: the subscription is gone.
    Deleted,
}

/// How much a lane holds, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// First attempts that wait.
    pub queued: usize,
    /// Attempts that are out.
    pub in_flight: usize,
    /// Ledger rows.
    pub rows: usize,
    /// Bytes of ledger rows.
    pub bytes: u64,
}

// === impl Lane ===

impl Lane {
    /// A lane with the ledger rows that the store holds of it.
    #[must_use]
    pub fn new(sid: Sid, settings: DeliverySettings, rows: Vec<(LedgerKey, LedgerHead)>) -> Self {
        let ledger = Ledger::new(rows, settings.ledger_budget);
        Self {
            sid,
            settings,
            gate: Gate::Open,
            hold: None,
            queue: VecDeque::new(),
            flight: HashMap::new(),
            attempts: 0,
            ledger,
            patience: Patience::new(),
        }
    }

    /// Offers what one record holds for this subscription; whole or not at all. An event that has a ledger row
    /// already is left out of it.
    pub fn offer(&mut self, mut group: Vec<Offer>, effects: &mut Vec<Effect>) -> Answer {
        if self.gate == Gate::Deleted {
            effects.extend(group.into_iter().map(|offer| Effect::Settle(offer.ticket)));
            return Answer::Taken;
        }
        if self.ledger.rows() > 0 {
            group = self.leave_out_known(group, effects);
        }
        if group.is_empty() {
            return Answer::Taken;
        }
        if self.ledger.is_full() {
            return Answer::LedgerFull(group);
        }
        if self.gate == Gate::Disabled {
            return Answer::QueueFull(group);
        }
        if !self.queue.is_empty() && self.queue.len() + group.len() > self.settings.queue {
            return Answer::QueueFull(group);
        }
        self.queue.extend(group);
        Answer::Taken
    }

    /// Parks a group that found no room, to be tried as soon as a slot is free.
    pub fn park(&mut self, group: Vec<Offer>, now: Timestamp, effects: &mut Vec<Effect>) {
        for offer in group {
            self.park_queued(offer, now, effects);
        }
    }

    /// The next attempt to make, if a slot is free and something may go. A due retry comes before fresh work, but
    /// retries leave half of the slots to it.
    pub fn start(&mut self, now: Timestamp) -> Option<Start> {
        if self.gate != Gate::Open || self.flight.len() >= usize::from(self.settings.concurrency) {
            return None;
        }
        if self.hold.is_some_and(|until| until > now) {
            return None;
        }
        self.hold = None;
        let retries = self.flight.values().filter(|flight| flight.kind == Kind::Retry).count();
        let half = (usize::from(self.settings.concurrency) / 2).max(1);
        if (self.queue.is_empty() || retries < half)
            && let Some((key, head)) = self.ledger.take_due(now)
        {
            let first = if head.attempts == 0 { now } else { head.first };
            let flight = Flight { key: key.clone(), live: None, attempts: head.attempts, first, kind: Kind::Retry };
            return Some(self.launch(flight, What::Retry(key)));
        }
        let offer = self.queue.pop_front()?;
        let event = Arc::clone(&offer.event);
        let key = LedgerKey::of(&event.event, self.sid);
        let flight = Flight { key, live: Some(offer), attempts: 0, first: now, kind: Kind::First };
        Some(self.launch(flight, What::First(event)))
    }

    /// Takes what came of an attempt. `roll` in `0.0..1.0` varies the wait before the next.
    pub fn finished(&mut self, finished: Finished, now: Timestamp, roll: f64, effects: &mut Vec<Effect>) {
        let Some(flight) = self.flight.remove(&finished.attempt) else { return };
        let attempts = flight.attempts.saturating_add(1);
        let scheduled = backoff::wait(&self.settings.retry, attempts, roll);
        let age = now.since(flight.first);
        match verdict::judge(&finished.outcome, scheduled, age, self.settings.retry.max_age) {
            Verdict::Accepted => self.accepted(flight, effects),
            Verdict::Again { after, slow_lane } => {
                if let Some(wait) = slow_lane {
                    self.hold = self.hold.max(Some(now.after(wait)));
                }
                self.failed(flight, finished, now.after(after), effects);
            }
            Verdict::Dead(reason) => {
                let Finished { outcome: last, event, .. } = finished;
                self.died(flight, Dying { reason, attempts, last, event }, effects);
            }
            Verdict::Disable => {
                self.failed(flight, finished, now.after(scheduled), effects);
                effects.push(Effect::Disable);
                self.disable(now, effects);
            }
        }
    }

    /// What time brings: a live delivery older than `settle_within` is parked, so that it does not hold the
    /// commit; its attempt, if one is out, goes on.
    pub fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let within = self.settings.settle_within;
        self.park_flights(now, effects, |offer| now.since(offer.admitted) >= within);
        while let Some(offer) = self.queue.pop_front_if(|offer| now.since(offer.admitted) >= within) {
            self.park_queued(offer, now, effects);
        }
    }

    /// When [`Lane::tick`] or [`Lane::start`] must be called next although nothing else happens.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let live = self.flight.values().filter_map(|flight| flight.live.as_ref()).chain(self.queue.front());
        let settle = live.map(|offer| offer.admitted.after(self.settings.settle_within)).min();
        // With all slots taken the next outcome starts what waits; with a free one it is due, or held back.
        let free = self.gate == Gate::Open && self.flight.len() < usize::from(self.settings.concurrency);
        let due = self.ledger.next_due().filter(|_| free).map(|due| due.max(self.hold.unwrap_or(now)).max(now));
        let held = self.hold.filter(|_| free && !self.queue.is_empty());
        [settle, due, held].into_iter().flatten().min()
    }

    /// A change this lane asked for is durable.
    pub fn flushed(&mut self, row: &Row, effects: &mut Vec<Effect>) {
        let waiting = match row {
            Row::Park(key, ..) | Row::Head(key, _) => self.ledger.flushed(key, Written::Row),
            Row::Unpark(key, _) | Row::Dead(key, Some(_), _) => self.ledger.flushed(key, Written::Gone),
            Row::Dead(_, None, _) => Vec::new(),
        };
        effects.extend(waiting.into_iter().map(Effect::Settle));
    }

    /// The stored length of a parked event became known.
    pub fn weigh(&mut self, key: &LedgerKey, body_len: u32) {
        self.ledger.weigh(key, body_len);
    }

    /// Parks what is live, queued or out: the process stops, or the partition goes. Attempts that are out may
    /// still end; until then their rows are busy.
    pub fn cut(&mut self, of: Of<'_>, now: Timestamp, effects: &mut Vec<Effect>) {
        let meant = |offer: &Offer| match of {
            Of::All => true,
            Of::Partition(at) => offer.ticket.at == *at,
        };
        self.park_flights(now, effects, meant);
        let (cut, keep): (Vec<_>, Vec<_>) = std::mem::take(&mut self.queue).into_iter().partition(meant);
        self.queue = keep.into();
        self.park(cut, now, effects);
    }

    /// Shuts the gate for good; what is live stays, to be drained or cut.
    pub fn stop(&mut self) {
        self.gate = Gate::Stopping;
    }

    /// The subscription was disabled: nothing is tried, what is queued is parked.
    pub fn disable(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.gate == Gate::Open {
            self.gate = Gate::Disabled;
        }
        self.park(self.queue.drain(..).collect::<Vec<_>>(), now, effects);
    }

    /// The subscription was enabled again.
    pub fn enable(&mut self) {
        if self.gate == Gate::Disabled {
            self.gate = Gate::Open;
        }
    }

    /// The subscription is gone: everything of it settles, outcomes of attempts still out change nothing.
    pub fn delete(&mut self, effects: &mut Vec<Effect>) {
        self.gate = Gate::Deleted;
        let flights = self.flight.drain().filter_map(|(_, flight)| flight.live);
        let tickets = flights.chain(self.queue.drain(..)).map(|offer| offer.ticket).collect::<Vec<_>>();
        effects.extend(tickets.into_iter().chain(self.ledger.clear()).map(Effect::Settle));
    }

    /// Takes over changed settings; what is out or parked keeps its dates.
    pub fn configure(&mut self, settings: DeliverySettings) {
        self.settings = settings;
    }

    /// How long intake may still wait for room here.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience.left()
    }

    /// Intake waited for room here.
    pub fn waited(&mut self, waited: Duration) {
        self.patience.spend(waited);
    }

    /// Whether the lane has live deliveries.
    #[must_use]
    pub fn is_idle(&self) -> Idle {
        if self.queue.is_empty() && self.flight.is_empty() { Idle::Yes } else { Idle::No }
    }

    /// Attempts that could start now if there were slots: fresh ones.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How much it holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (rows, bytes) = (self.ledger.rows(), self.ledger.bytes());
        Counts { queued: self.queue.len(), in_flight: self.flight.len(), rows, bytes }
    }

    /// When the oldest ledger row was first attempted or parked; walks over all rows.
    #[must_use]
    pub fn ledger_oldest(&self) -> Option<Timestamp> {
        self.ledger.oldest()
    }

    /// Whether attempts start.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.gate
    }

    fn launch(&mut self, flight: Flight, what: What) -> Start {
        self.attempts += 1;
        let attempt = AttemptId(self.attempts);
        self.flight.insert(attempt, flight);
        Start { attempt, what }
    }

    fn accepted(&mut self, flight: Flight, effects: &mut Vec<Effect>) {
        self.patience.earn();
        match self.ledger.leave(&flight.key) {
            None => effects.extend(flight.live.map(|offer| Effect::Settle(offer.ticket))),
            Some(head) => effects.push(write(Row::Unpark(flight.key, head), flight.live)),
        }
    }

    fn failed(&mut self, flight: Flight, finished: Finished, due: Timestamp, effects: &mut Vec<Effect>) {
        let (attempts, last) = (flight.attempts.saturating_add(1), Some(finished.outcome));
        let head = LedgerHead { attempts, first: flight.first, due, last, ordering_key: None, body_len: 0 };
        match flight.live {
            Some(offer) => self.park_row(flight.key, head, Busy::No, offer, effects),
            None => {
                if let Some(head) = self.ledger.again(&flight.key, head) {
                    effects.push(write(Row::Head(flight.key, head), None));
                }
            }
        }
    }

    fn died(&mut self, flight: Flight, dying: Dying, effects: &mut Vec<Effect>) {
        let head = self.ledger.leave(&flight.key);
        effects.push(write(Row::Dead(flight.key, head, dying), flight.live));
    }

    fn park_flights(&mut self, now: Timestamp, effects: &mut Vec<Effect>, meant: impl Fn(&Offer) -> bool) {
        let flights = self.flight.values_mut().filter(|flight| flight.live.as_ref().is_some_and(&meant));
        let parked = flights.map(|flight| (flight.key.clone(), flight.first, flight.live.take())).collect::<Vec<_>>();
        for (key, first, offer) in parked {
            let Some(offer) = offer else { continue };
            let attempts = 1; // its outcome is unknown when the process dies before it is known
            let head = LedgerHead { attempts, first, due: now, last: None, ordering_key: None, body_len: 0 };
            self.park_row(key, head, Busy::Yes, offer, effects);
        }
    }

    fn park_queued(&mut self, offer: Offer, now: Timestamp, effects: &mut Vec<Effect>) {
        let key = LedgerKey::of(&offer.event.event, self.sid);
        let head = LedgerHead { attempts: 0, first: now, due: now, last: None, ordering_key: None, body_len: 0 };
        self.park_row(key, head, Busy::No, offer, effects);
    }

    /// INVARIANT (INV-3): the ticket settles when the row is durable.
    fn park_row(&mut self, key: LedgerKey, head: LedgerHead, busy: Busy, offer: Offer, effects: &mut Vec<Effect>) {
        self.ledger.park(key.clone(), head.clone(), busy);
        let event = Arc::clone(&offer.event);
        effects.push(write(Row::Park(key, head, event), Some(offer)));
    }

    fn leave_out_known(&mut self, group: Vec<Offer>, effects: &mut Vec<Effect>) -> Vec<Offer> {
        let mut fresh = Vec::with_capacity(group.len());
        for Offer { event, ticket, admitted } in group {
            match self.ledger.know(&LedgerKey::of(&event.event, self.sid), ticket) {
                Known::No(ticket) => fresh.push(Offer { event, ticket, admitted }),
                Known::Durable(ticket) => effects.push(Effect::Settle(ticket)),
                Known::Soon => {}
            }
        }
        fresh
    }
}

/// Whether a lane has live deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// It has none.
    Yes,
    /// It has some.
    No,
}

fn write(row: Row, live: Option<Offer>) -> Effect {
    Effect::Write { row, settles: live.into_iter().map(|offer| offer.ticket).collect::<Vec<Ticket>>() }
}
