//! One subscription: offers and outcomes in, attempts and durable changes out.
//!
//! A pure state machine; the clock and the dice are parameters, what it wants done comes back as effects. It
//! holds first attempts in a bounded queue, knows which attempts are out, and which ledger rows are due. Every
//! call is short and synchronous and made under the lane's lock. It knows nothing of HTTP, of the store, of
//! partitions' progress, or of other lanes. Every place is live so far: what finds no room is parked.

pub mod backoff;
pub mod gate;
mod ledger;
mod patience;
pub mod settings;
pub mod signal;
pub mod verdict;

use crate::lane::gate::{Counts, Gate, Idle};
use crate::lane::ledger::{Busy, Known, Ledger, Written};
use crate::lane::patience::Patience;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{Answer, AttemptId, Dying, Effect, Finished, Of, Row, Start, What};
use crate::lane::verdict::Verdict;
use crate::model::delivery::{LedgerHead, LedgerKey, Offer, Ticket};
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
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
        let free = self.flight.len() < usize::from(self.settings.concurrency);
        if !matches!(self.gate, Gate::Open | Gate::Draining) || !free {
            return None;
        }
        if self.hold.is_some_and(|until| until > now) {
            return None;
        }
        self.hold = None;
        let retries = self.flight.values().filter(|flight| flight.kind == Kind::Retry).count();
        let half = (usize::from(self.settings.concurrency) / 2).max(1);
        if self.gate == Gate::Open
            && (self.queue.is_empty() || retries < half)
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

    /// Whether another runner is worth its while, beside `runners` that are at work already.
    #[must_use]
    pub fn wants_runner(&self, runners: usize, now: Timestamp) -> bool {
        let slots = usize::from(self.settings.concurrency);
        let held = self.hold.is_some_and(|until| until > now);
        let work = match self.gate {
            Gate::Open => !self.queue.is_empty() || self.ledger.next_due().is_some_and(|due| due <= now),
            Gate::Draining => !self.queue.is_empty(),
            Gate::Disabled | Gate::Stopping | Gate::Deleted => false,
        };
        !held && work && runners < slots && self.flight.len() < slots
    }

    /// When [`Lane::tick`] or [`Lane::start`] must be called next although nothing else happens.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let live = self.flight.values().filter_map(|flight| flight.live.as_ref()).chain(self.queue.front());
        let settle = live.map(|offer| offer.admitted.after(self.settings.settle_within)).min();
        // With all slots taken the next outcome starts what waits; with a free one it is due, or held back.
        let free = self.gate == Gate::Open && self.flight.len() < usize::from(self.settings.concurrency);
        let due = self.ledger.next_due().filter(|_| free).map(|due| due.max(self.hold.unwrap_or(due)));
        let held = self.hold.filter(|_| free && !self.queue.is_empty());
        // What may start already needs no wake-up: a runner is on its way, and asks again when it has ended one.
        let coming = [due, held].into_iter().flatten().filter(|at| *at > now).min();
        settle.into_iter().chain(coming).min()
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

    /// Forgets what is queued of a partition that was lost: it is read again by whoever has it now.
    pub fn forget(&mut self, at: &TopicPartition) {
        self.queue.retain(|offer| offer.ticket.at != *at);
    }

    /// Starts no more retries, so that what is queued can drain.
    pub fn drain(&mut self) {
        if self.gate == Gate::Open {
            self.gate = Gate::Draining;
        }
    }

    /// Starts nothing any more; what is live stays, to be cut.
    pub fn stop(&mut self) {
        self.gate = Gate::Stopping;
    }

    /// The subscription was disabled: nothing is tried, what is queued is parked.
    pub fn disable(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.gate == Gate::Open {
            self.gate = Gate::Disabled;
        }
        let queued = self.queue.drain(..).collect();
        self.park(queued, now, effects);
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

fn write(row: Row, live: Option<Offer>) -> Effect {
    Effect::Write { row, settles: live.into_iter().map(|offer| offer.ticket).collect::<Vec<Ticket>>() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::signal::Dying;
    use crate::model::dead_letter::DeadReason;
    use crate::model::event::{Emitted, IntegrationEvent};
    use crate::model::id::EventId;
    use crate::model::outcome::{Answer as HttpAnswer, FailureCause, Outcome, RetryAfter};
    use crate::model::record::Origin;
    use crate::model::subscription::Retry;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const SLOTS: u16 = 3;
    const QUEUE: usize = 4;
    const BUDGET: u64 = 6 * 128;

    fn settings() -> DeliverySettings {
        let retry = Retry { schedule: vec![Duration::from_secs(2)], max_age: Duration::from_secs(60), jitter: 0.0 };
        let (concurrency, queue, ledger_budget) = (SLOTS, QUEUE, BUDGET);
        DeliverySettings { concurrency, queue, ledger_budget, retry, ..DeliverySettings::default() }
    }

    fn sid() -> Sid {
        Sid::from_bytes([7; 16])
    }

    fn event(offset: i64, ord: u32) -> IntegrationEvent {
        let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: Timestamp::from_millis(0) };
        IntegrationEvent {
            id: EventId::derive(&origin, "m", ord),
            origin,
            mapping: "m".into(),
            ord,
            source: "/s".into(),
            event_type: "e".into(),
            subject: None,
            time: Timestamp::from_millis(0),
            tenant: None,
            key: None,
            traceparent: None,
            data: serde_json::Value::Null,
        }
    }

    fn offer(offset: i64, ord: u32, epoch: u64, admitted: Timestamp) -> Offer {
        let event = Arc::new(Emitted::new(event(offset, ord)));
        let ticket = Ticket { at: event.event.origin.topic_partition(), epoch, offset };
        Offer { event, ticket, admitted }
    }

    fn status(status: u16) -> Outcome {
        let head = bytes::Bytes::new();
        Outcome::Answered(HttpAnswer { status, retry_after: RetryAfter::Absent, head })
    }

    fn wait(status: u16, seconds: u64) -> Outcome {
        let retry_after = RetryAfter::Seconds(Duration::from_secs(seconds));
        Outcome::Answered(HttpAnswer { status, retry_after, head: bytes::Bytes::new() })
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn finish(lane: &mut Lane, start: &Start, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        let (mut effects, event) = (Vec::new(), Arc::new(Emitted::new(event(0, 0))));
        lane.finished(Finished { attempt: start.attempt, outcome, event }, now, 0.5, &mut effects);
        effects
    }

    #[test]
    fn what_is_accepted_at_once_is_never_written() {
        let mut lane = Lane::new(sid(), settings(), Vec::new());
        assert!(matches!(lane.offer(vec![offer(1, 0, 1, at(0))], &mut Vec::new()), Answer::Taken));
        let start = lane.start(at(0)).unwrap();
        let effects = finish(&mut lane, &start, status(204), at(5));
        assert!(matches!(effects[..], [Effect::Settle(Ticket { offset: 1, .. })]));
    }

    #[test]
    fn a_refusal_is_parked_and_tried_again_when_it_is_due_and_durable() {
        let mut lane = Lane::new(sid(), settings(), Vec::new());
        assert!(matches!(lane.offer(vec![offer(1, 0, 1, at(0))], &mut Vec::new()), Answer::Taken));
        let start = lane.start(at(0)).unwrap();
        let effects = finish(&mut lane, &start, status(500), at(10));
        let [Effect::Write { row, settles }] = &effects[..] else { panic!("{effects:?}") };
        assert!(matches!(row, Row::Park(_, head, _) if head.due == at(2_010) && head.attempts == 1));
        assert_eq!(settles.len(), 1);
        assert!(lane.start(at(3_000)).is_none(), "the row cannot be read before it is durable");
        lane.flushed(row, &mut Vec::new());
        assert!(lane.start(at(2_009)).is_none());
        assert_eq!(lane.wake_at(at(20)), Some(at(2_010)));
        assert!(matches!(lane.start(at(2_010)).unwrap().what, What::Retry(_)));
    }

    #[test]
    fn retry_after_holds_the_whole_lane() {
        let mut lane = Lane::new(sid(), settings(), Vec::new());
        for offset in 1..=2 {
            assert!(matches!(lane.offer(vec![offer(offset, 0, 1, at(0))], &mut Vec::new()), Answer::Taken));
        }
        let start = lane.start(at(0)).unwrap();
        finish(&mut lane, &start, wait(429, 30), at(0));
        assert!(lane.start(at(29_999)).is_none());
        assert!(lane.start(at(30_000)).is_some());
    }

    #[test]
    fn what_may_start_now_needs_a_runner_and_no_wake_up() {
        let long = DeliverySettings { settle_within: Duration::from_secs(60), ..settings() };
        let mut lane = Lane::new(sid(), DeliverySettings { concurrency: 1, ..long }, Vec::new());
        for offset in 1..=2 {
            assert!(matches!(lane.offer(vec![offer(offset, 0, 1, at(0))], &mut Vec::new()), Answer::Taken));
        }
        let start = lane.start(at(0)).unwrap();
        let effects = finish(&mut lane, &start, wait(503, 3), at(0));
        let [Effect::Write { row, .. }] = &effects[..] else { panic!("{effects:?}") };
        lane.flushed(row, &mut Vec::new());
        assert_eq!((lane.wake_at(at(10)), lane.wants_runner(0, at(10))), (Some(at(3_000)), false));
        // A lane that is woken again and again keeps the very thread busy that would run its attempt.
        assert_eq!((lane.wake_at(at(3_000)), lane.wants_runner(0, at(3_000))), (Some(at(60_000)), true));
    }

    #[test]
    fn retries_leave_half_of_the_slots_to_fresh_work() {
        let mut rows = Vec::new();
        for offset in 1..=4 {
            let head =
                LedgerHead { attempts: 1, first: at(0), due: at(0), last: None, ordering_key: None, body_len: 0 };
            rows.push((LedgerKey::of(&event(offset, 0), sid()), head));
        }
        let mut lane = Lane::new(sid(), DeliverySettings { concurrency: 4, ..settings() }, rows);
        for offset in 11..=14 {
            lane.queue.push_back(offer(offset, 0, 1, at(0)));
        }
        let starts = std::iter::from_fn(|| lane.start(at(1))).collect::<Vec<_>>();
        let retries = starts.iter().filter(|start| matches!(start.what, What::Retry(_))).count();
        assert_eq!((starts.len(), retries), (4, 2));
    }

    #[test]
    fn a_gone_endpoint_is_disabled_and_its_queue_is_owed() {
        let mut lane = Lane::new(sid(), settings(), Vec::new());
        for offset in 1..=3 {
            assert!(matches!(lane.offer(vec![offer(offset, 0, 1, at(0))], &mut Vec::new()), Answer::Taken));
        }
        let start = lane.start(at(0)).unwrap();
        let effects = finish(&mut lane, &start, status(410), at(1));
        let parks = effects.iter().filter(|e| matches!(e, Effect::Write { row: Row::Park(..), .. })).count();
        assert_eq!(parks, 3);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Disable)));
        assert!(lane.start(at(100_000)).is_none());
    }

    #[test]
    fn a_delivery_that_hangs_is_parked_after_settle_within_while_its_attempt_goes_on() {
        let mut lane = Lane::new(sid(), settings(), Vec::new());
        assert!(matches!(lane.offer(vec![offer(1, 0, 1, at(0))], &mut Vec::new()), Answer::Taken));
        let start = lane.start(at(0)).unwrap();
        assert_eq!(lane.wake_at(at(0)), Some(at(5_000)));
        let mut effects = Vec::new();
        lane.tick(at(5_000), &mut effects);
        let [Effect::Write { row, .. }] = &effects[..] else { panic!("{effects:?}") };
        lane.flushed(row, &mut Vec::new());
        assert!(lane.start(at(9_000)).is_none(), "its row is busy");
        let effects = finish(&mut lane, &start, status(200), at(9_000));
        assert!(matches!(&effects[..], [Effect::Write { row: Row::Unpark(..), settles }] if settles.is_empty()));
    }

    /// A lane, a store that keeps any prefix of what was not flushed, a partition, and a receiver's book.
    struct World {
        lane: Lane,
        now: Timestamp,
        epoch: u64,
        next: i64,
        groups: BTreeMap<i64, u32>,
        pending: Vec<(Row, Vec<Ticket>)>,
        ledger: BTreeMap<LedgerKey, LedgerHead>,
        dead: BTreeSet<LedgerKey>,
        open: BTreeMap<i64, u32>,
        flights: Vec<(Start, LedgerKey)>,
        accepted: BTreeSet<LedgerKey>,
        disabled: usize,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Offer(u32),
        Start,
        Finish(usize, u8),
        Wait(u16),
        Flush(usize),
        Kill(usize),
        Cut,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0..3u32).prop_map(Step::Offer),
            6 => Just(Step::Start),
            6 => (any::<usize>(), any::<u8>()).prop_map(|(n, what)| Step::Finish(n, what)),
            2 => (1..6_000u16).prop_map(Step::Wait),
            4 => (1..4usize).prop_map(Step::Flush),
            1 => any::<usize>().prop_map(Step::Kill),
            1 => Just(Step::Cut),
        ]
    }

    impl World {
        fn new() -> Self {
            Self {
                lane: Lane::new(sid(), settings(), Vec::new()),
                now: at(0),
                epoch: 1,
                next: 0,
                groups: BTreeMap::new(),
                pending: Vec::new(),
                ledger: BTreeMap::new(),
                dead: BTreeSet::new(),
                open: BTreeMap::new(),
                flights: Vec::new(),
                accepted: BTreeSet::new(),
                disabled: 0,
            }
        }

        fn keys(&self, offset: i64) -> Vec<LedgerKey> {
            let size = self.groups.get(&offset).copied().unwrap_or(0);
            (0..size).map(|ord| LedgerKey::of(&event(offset, ord), sid())).collect()
        }

        fn watermark(&self) -> i64 {
            self.open.keys().next().copied().unwrap_or(self.next)
        }

        fn apply(&mut self, step: Step) {
            let mut effects = Vec::new();
            match step {
                Step::Offer(size) => self.admit(size, &mut effects),
                Step::Start => self.start(),
                Step::Finish(nth, what) if !self.flights.is_empty() => {
                    let (start, key) = self.flights.remove(nth % self.flights.len());
                    self.finish(&start, &key, what, &mut effects);
                }
                Step::Finish(..) => {}
                Step::Wait(millis) => {
                    self.now = self.now.after(Duration::from_millis(u64::from(millis)));
                    self.lane.tick(self.now, &mut effects);
                }
                Step::Flush(many) => self.flush(many, &mut effects),
                Step::Kill(keep) => return self.kill(keep),
                Step::Cut => self.lane.cut(Of::All, self.now, &mut effects),
            }
            self.follow(effects);
            self.check();
        }

        fn admit(&mut self, size: u32, effects: &mut Vec<Effect>) {
            let offset = self.next;
            let size = *self.groups.entry(offset).or_insert(size);
            let group = (0..size).map(|ord| offer(offset, ord, self.epoch, self.now)).collect::<Vec<_>>();
            let (before, taken) = (self.lane.counts(), group.len());
            match self.lane.offer(group, effects) {
                Answer::Taken => {}
                Answer::QueueFull(back) => {
                    // INV-5: whole or not at all, but for what the ledger knew.
                    assert_eq!(self.lane.counts().queued, before.queued);
                    assert!(back.len() <= taken);
                    self.lane.park(back, self.now, effects);
                }
                // Intake would hold it; to the model it is a record that is not admitted yet.
                Answer::LedgerFull(back) if back.len() == taken => return,
                Answer::LedgerFull(back) => self.lane.park(back, self.now, effects),
            }
            if size > 0 {
                self.open.insert(offset, size);
            }
            self.next += 1;
        }

        fn start(&mut self) {
            let Some(start) = self.lane.start(self.now) else { return };
            let key = match &start.what {
                What::First(event) => LedgerKey::of(&event.event, sid()),
                What::Retry(key) => {
                    assert!(self.ledger.contains_key(key), "a retry's event can be read");
                    key.clone()
                }
            };
            assert!(self.flights.iter().all(|(_, out)| *out != key), "INV-6: one attempt per delivery at a time");
            self.flights.push((start, key));
        }

        fn finish(&mut self, start: &Start, key: &LedgerKey, what: u8, effects: &mut Vec<Effect>) {
            let outcome = match what {
                0..140 => status(200),
                140..200 => status(500),
                200..220 => wait(503, 3),
                220..235 => Outcome::Failed { cause: FailureCause::Reset, detail: String::new() },
                235..245 => status(413),
                _ => status(410),
            };
            if outcome.accepted() {
                self.accepted.insert(key.clone());
            }
            let event = Arc::new(Emitted::new(event(key.offset, key.ord)));
            self.lane.finished(Finished { attempt: start.attempt, outcome, event }, self.now, 0.5, effects);
        }

        fn follow(&mut self, effects: Vec<Effect>) {
            for effect in effects {
                match effect {
                    Effect::Settle(ticket) => self.settle(&ticket),
                    Effect::Write { row, settles } => self.pending.push((row, settles)),
                    Effect::Disable => self.disabled += 1,
                }
            }
        }

        fn flush(&mut self, many: usize, effects: &mut Vec<Effect>) {
            for _ in 0..many.min(self.pending.len()) {
                let (row, settles) = self.pending.remove(0);
                self.durable(&row);
                self.lane.flushed(&row, effects);
                settles.iter().for_each(|ticket| self.settle(ticket));
            }
        }

        fn durable(&mut self, row: &Row) {
            match row {
                Row::Park(key, head, _) | Row::Head(key, head) => drop(self.ledger.insert(key.clone(), head.clone())),
                Row::Unpark(key, _) => drop(self.ledger.remove(key)),
                Row::Dead(key, _, Dying { reason, .. }) => {
                    assert_ne!(*reason, DeadReason::Gone);
                    self.ledger.remove(key);
                    self.dead.insert(key.clone());
                }
            }
        }

        /// INV-1, INV-3: what settles is accepted, or durable.
        fn settle(&mut self, ticket: &Ticket) {
            if ticket.epoch != self.epoch {
                return;
            }
            let open = self.open.get_mut(&ticket.offset).expect("settles once for each delivery");
            *open -= 1;
            if *open == 0 {
                self.open.remove(&ticket.offset);
                for key in self.keys(ticket.offset) {
                    let kept = self.ledger.contains_key(&key) || self.dead.contains(&key);
                    assert!(kept || self.accepted.contains(&key), "settled, and nothing holds it: {key:?}");
                }
            }
        }

        fn kill(&mut self, keep: usize) {
            let keep = keep % (self.pending.len() + 1);
            for (row, _) in std::mem::take(&mut self.pending).into_iter().take(keep) {
                self.durable(&row);
            }
            let rows = self.ledger.iter().map(|(key, head)| (key.clone(), head.clone())).collect();
            let watermark = self.watermark();
            self.lane = Lane::new(sid(), settings(), rows);
            self.flights.clear();
            self.open.clear();
            (self.epoch, self.next) = (self.epoch + 1, watermark);
        }

        fn check(&self) {
            let counts = self.lane.counts();
            assert!(counts.in_flight <= usize::from(SLOTS));
            assert!(counts.queued <= QUEUE + 2, "a queue, or one group");
            let most = BUDGET + 128 * (u64::from(SLOTS) + (QUEUE as u64 + 2) + 3);
            assert!(counts.bytes <= most, "INV-11: {counts:?}");
        }

        /// The receiver is well again: everything ends accepted or dead, and nothing is left (INV-15).
        fn heal(&mut self) {
            for _ in 0..400 {
                self.lane.enable();
                self.apply(Step::Wait(3_000));
                while !self.flights.is_empty() {
                    self.apply(Step::Finish(0, 0));
                }
                self.apply(Step::Start);
                self.apply(Step::Flush(100));
            }
            let counts = self.lane.counts();
            assert_eq!((counts.queued, counts.in_flight, counts.rows), (0, 0, 0));
            assert!(self.ledger.is_empty() && self.open.is_empty());
            for offset in 0..self.next {
                for key in self.keys(offset) {
                    assert!(self.accepted.contains(&key) || self.dead.contains(&key), "lost: {key:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_whatever_happens_and_whenever_it_dies(steps in prop::collection::vec(step(), 1..120)) {
            let mut world = World::new();
            for step in steps {
                world.apply(step);
            }
            world.heal();
        }
    }
}
