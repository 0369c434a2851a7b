//! Which attempt is made next: fresh, retry, replay, probe (protocol T3, T4, T13).
//!
//! A due retry comes before fresh work, but leaves it half of the slots; replays get a quarter at most, and one
//! start in eight while fresh work waits. Starting costs no search but in batches.

use crate::lane::breaker::Pass;
use crate::lane::flights::{Flight, HasRow, Kind, Load, Member, Tried};
use crate::lane::gate::{Gate, Shut};
use crate::lane::queue::{Delivery, From, Queue};
use crate::lane::signal::{Start, What};
use crate::lane::state::Lane;
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::subscription::{OnBlocked, Ordering};
use crate::model::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// While fresh work waits, a replay has one start in so many.
const REPLAYS: u64 = 8;

// === impl Lane ===

impl Lane {
    /// The next attempt to make, if a slot is free and something may go.
    pub fn start(&mut self, now: Timestamp) -> Option<Start> {
        if self.flights.len() >= usize::from(self.limit()) || self.is_held(now) || !self.rate.ready(now) {
            return None;
        }
        let start = match self.gate() {
            Gate::Open | Gate::HalfOpen(_) => self.pick(now),
            Gate::Shut(Shut::Breaker) if self.breaker.wants_row(now) => self.probe(now),
            Gate::Shut(Shut::LedgerFull) => self.bury(now).or_else(|| self.retry(now)),
            Gate::Shut(_) => None,
        }?;
        self.starts += 1;
        if !matches!(start.what, What::Bury(_)) {
            self.rate.take();
        }
        Some(start)
    }

    /// Whether another runner is worth its while, beside `runners` that are at work already.
    #[must_use]
    pub fn wants_runner(&self, runners: usize, now: Timestamp) -> bool {
        let limit = usize::from(self.limit());
        if runners >= limit || self.flights.len() >= limit || self.is_held(now) || self.rate.next(now).is_some() {
            return false;
        }
        let due = || self.ledger.next_due().is_some_and(|due| due <= now);
        match self.gate() {
            Gate::Open | Gate::HalfOpen(_) => {
                self.is_ripe(&self.queue, now)
                    || (due() && !self.breaker.wants_fresh())
                    || (self.is_ripe(&self.replays, now) && self.flights.replays() < self.replay_share())
            }
            Gate::Shut(Shut::Breaker) => self.breaker.wants_row(now) && self.ledger.next_due().is_some(),
            Gate::Shut(Shut::LedgerFull) => due() || self.buries(),
            Gate::Shut(_) => false,
        }
    }

    /// When [`Lane::tick`] or [`Lane::start`] must be called next although nothing else happens; walks over what is
    /// in memory. Ask again whenever the lane wrote something, and when a start gave nothing.
    #[must_use]
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let within = self.settings.settle_within;
        let queued = self.queue.iter().chain(self.places.iter().flat_map(|(_, place)| place.held()));
        let out = self.flights.members().map(|member| &member.delivery);
        let live = queued.chain(out).filter(|delivery| delivery.from == From::Intake);
        let settle = live.map(|delivery| delivery.since.after(within)).min();
        let beat = self.places.iter().any(|(_, place)| place.has_row()).then(|| self.beat.after(Self::BEAT));
        let free = self.flights.len() < usize::from(self.limit());
        let next = self.next_start(now).filter(|_| free);
        let next = next.map(|at| at.max(self.hold.unwrap_or(at)).max(self.rate.next(now).unwrap_or(at)));
        [settle, beat, next, self.breaker.wake_at()].into_iter().flatten().min()
    }

    /// When an attempt could start, by the gate, the ledger and the queues alone.
    fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.ledger.next_due().map(|due| due.max(now));
        match self.gate() {
            Gate::Open | Gate::HalfOpen(_) => {
                let ripe = [&self.queue, &self.replays].into_iter().filter_map(|queue| self.ripe_at(queue, now));
                ripe.chain(due.filter(|_| !self.breaker.wants_fresh())).min()
            }
            Gate::Shut(Shut::LedgerFull) => due,
            Gate::Shut(_) => None,
        }
    }

    fn pick(&mut self, now: Timestamp) -> Option<Start> {
        let limit = usize::from(self.limit());
        let fresh = self.is_ripe(&self.queue, now);
        // With a single slot they take turns.
        let share = limit > 1 && self.flights.retries() < limit / 2 || limit == 1 && self.starts % 2 == 0;
        if (share || !fresh)
            && !self.breaker.wants_fresh()
            && let Some(start) = self.retry(now)
        {
            return Some(start);
        }
        let turn = !fresh || self.starts % REPLAYS == REPLAYS - 1;
        if turn && self.is_ripe(&self.replays, now) && self.flights.replays() < self.replay_share() {
            let members = self.gather(Kind::Replay)?;
            return Some(self.launch_fresh(members, (Kind::Replay, now)));
        }
        if !fresh {
            return None;
        }
        if self.settings.batch.is_some() {
            let members = self.gather(Kind::First)?;
            return Some(self.launch_fresh(members, (Kind::First, now)));
        }
        let delivery = self.queue.pop()?;
        self.leave_queue(&delivery);
        let event = Arc::clone(&delivery.event);
        let load = Load::One(Member { delivery, row: HasRow::No });
        Some(self.launch(load, What::First(event), (Kind::First, now)))
    }

    fn retry(&mut self, now: Timestamp) -> Option<Start> {
        if self.ledger.next_due().is_none_or(|due| due > now) {
            return None;
        }
        let row = self.ledger.take_first()?;
        Some(self.launch_row(row, (Kind::Retry, now)))
    }

    /// A row, due or not: the one that waited longest for its turn comes first.
    fn probe(&mut self, now: Timestamp) -> Option<Start> {
        let row = self.ledger.take_first()?;
        let start = self.launch_row(row, (Kind::Retry, now));
        self.breaker.probing();
        Some(start)
    }

    /// The ledger is full and the subscriber would rather lose one than wait: the head of the fullest domain.
    fn bury(&mut self, now: Timestamp) -> Option<Start> {
        if !self.buries() {
            return None;
        }
        let key = self.domains.fullest()?.clone();
        let row = self.ledger.take(key)?;
        Some(self.launch_row(row, (Kind::Bury, now)))
    }

    fn buries(&self) -> bool {
        self.settings.on_blocked == OnBlocked::DeadLetter && self.settings.ordering == Ordering::Key
    }

    fn launch_row(&mut self, row: (LedgerKey, LedgerHead, Option<u32>), (kind, now): (Kind, Timestamp)) -> Start {
        let (key, head, domain) = row;
        if let Some(number) = domain {
            self.domains.get(number).launch();
            self.judge(domain);
        }
        let first = if head.attempts == 0 { now } else { head.first };
        let tried = Tried { key: key.clone(), attempts: head.attempts, first, domain };
        let what = if kind == Kind::Bury { What::Bury(key) } else { What::Retry(key) };
        self.launch(Load::Row(tried), what, (kind, now))
    }

    fn launch_fresh(&mut self, members: Vec<Delivery>, (kind, now): (Kind, Timestamp)) -> Start {
        let events = members.iter().map(|delivery| Arc::clone(&delivery.event)).collect::<Vec<_>>();
        let mut members = members.into_iter().map(|delivery| Member { delivery, row: HasRow::No }).collect::<Vec<_>>();
        if members.len() == 1
            && let (Some(member), Some(event)) = (members.pop(), events.first())
        {
            return self.launch(Load::One(member), What::First(Arc::clone(event)), (kind, now));
        }
        self.launch(Load::Many(members), What::Batch(events), (kind, now))
    }

    fn launch(&mut self, load: Load, what: What, (kind, started): (Kind, Timestamp)) -> Start {
        let era = self.breaker.era();
        Start { attempt: self.flights.add(Flight { load, started, era, kind }), what }
    }

    /// Takes the members of the next batch out of a queue, in its order. Several of one order domain ride together
    /// when no row stands between them.
    fn gather(&mut self, kind: Kind) -> Option<Vec<Delivery>> {
        let queue = if kind == Kind::Replay { &mut self.replays } else { &mut self.queue };
        let first = queue.pop()?;
        self.leave_queue(&first);
        let Some(batch) = self.settings.batch else { return Some(vec![first]) };
        let mut bytes = u64::from(first.size);
        let mut members = vec![first];
        while members.len() < batch.max_events {
            let domains = members.iter().filter_map(|member| member.domain).collect::<Vec<_>>();
            let next = domains.into_iter().filter_map(|domain| self.domains.get(domain).next_queued()).min();
            let queue = if kind == Kind::Replay { &self.replays } else { &self.queue };
            let next = match (next, queue.first_number()) {
                (Some(follower), Some(ready)) if follower < ready => Some(follower),
                (Some(follower), None) => Some(follower),
                _ => None,
            };
            let size = next.map_or_else(|| queue.first(), |number| queue.get(number)).map(|delivery| delivery.size);
            let Some(size) = size.filter(|size| bytes + u64::from(*size) <= batch.max_bytes) else { break };
            let queue = if kind == Kind::Replay { &mut self.replays } else { &mut self.queue };
            let member = match next {
                Some(number) => queue.remove(number),
                None => queue.pop(),
            };
            let Some(member) = member else { break };
            bytes += u64::from(size);
            self.leave_queue(&member);
            members.push(member);
        }
        Some(members)
    }

    /// A delivery left its queue to be attempted.
    fn leave_queue(&mut self, delivery: &Delivery) {
        let place = self.places.get(delivery.place);
        place.queued -= 1;
        place.raise(delivery.offset());
        if let Some(domain) = delivery.domain {
            let spot = delivery.spot();
            let of = self.domains.get(domain);
            of.unqueue(spot);
            of.launch();
            self.judge(Some(domain));
        }
    }

    /// Whether an attempt with what is queued may start now: with batches, when one is full or has waited.
    fn is_ripe(&self, queue: &Queue, now: Timestamp) -> bool {
        self.ripe_at(queue, now).is_some_and(|at| at <= now)
    }

    fn ripe_at(&self, queue: &Queue, now: Timestamp) -> Option<Timestamp> {
        let first = queue.first()?;
        let Some(batch) = self.settings.batch else { return Some(now) };
        let full = queue.ready() >= batch.max_events || queue.bytes() >= batch.max_bytes;
        Some(if full { now } else { first.since.after(batch.max_wait) })
    }

    fn replay_share(&self) -> usize {
        usize::from(self.limit() / 4).max(1)
    }

    fn is_held(&self, now: Timestamp) -> bool {
        self.hold.is_some_and(|until| until > now)
    }

    /// How often cursors move.
    pub(crate) const BEAT: Duration = Duration::from_secs(1);

    /// Whether the breaker is open.
    pub(crate) fn is_failing(&self) -> bool {
        self.breaker.pass() == Pass::None
    }
}
