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
        let breaker = self.breaker.wake_at().filter(|_| self.reasons.first().is_none());
        [settle, beat, next, breaker].into_iter().flatten().min()
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
        let share = limit > 1 && self.flights.retries() < limit / 2 || limit == 1 && self.starts.is_multiple_of(2);
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

#[cfg(test)]
mod tests {
    use crate::lane::world::log::{at, settings, status};
    use crate::lane::world::solo::Solo;
    use crate::model::outcome::RetryAfter::{Absent, Seconds};
    use crate::model::outcome::{FailureCause, Outcome};
    use crate::model::subscription::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::lane::settings::DeliverySettings;
    use crate::lane::signal::AttemptId;
    use crate::lane::signal::PlaceKey;
    use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
    use crate::model::subscription::Batching;

    fn roomy() -> DeliverySettings {
        let settings = settings(Ordering::None, 0);
        let breaker = crate::lane::settings::BreakerSettings::default();
        DeliverySettings { queue: 100, concurrency: 4, ledger_rows: 100, breaker, ..settings }
    }

    #[test]
    fn retries_leave_half_of_the_slots_to_fresh_work_and_take_all_without() {
        for (fresh, expected) in [(4, 2), (0, 4)] {
            let mut solo = Solo::new(roomy());
            (0..4).for_each(|offset| solo.offer(offset, &[0]));
            for (attempt, _) in solo.starts() {
                solo.finish(attempt, status(500, Absent));
            }
            solo.flush();
            solo.wait(2_500);
            (10..10 + fresh).for_each(|offset| solo.offer(offset, &[0]));
            let retries = solo.starts().iter().filter(|(_, offsets)| offsets[0] < 10).count();
            assert_eq!(retries, expected);
        }
    }

    #[test]
    fn with_a_single_slot_retries_and_fresh_work_take_turns() {
        let mut solo = Solo::new(DeliverySettings { concurrency: 1, ..roomy() });
        (0..3).for_each(|offset| solo.offer(offset, &[0]));
        for _ in 0..3 {
            let (attempt, _) = solo.starts()[0].clone();
            solo.finish(attempt, status(500, Absent));
        }
        solo.flush();
        solo.wait(2_500);
        (10..13).for_each(|offset| solo.offer(offset, &[0]));
        let mut fresh = Vec::new();
        for _ in 0..6 {
            let (attempt, offsets) = solo.starts()[0].clone();
            fresh.push(offsets[0] >= 10);
            solo.finish(attempt, status(200, Absent));
        }
        assert_eq!(fresh.iter().filter(|fresh| **fresh).count(), 3);
        assert!(fresh[..4].iter().any(|fresh| *fresh) && fresh[..4].iter().any(|fresh| !*fresh), "{fresh:?}");
    }

    #[test]
    fn a_replay_has_a_quarter_of_the_slots() {
        let mut solo = Solo::new(roomy());
        let (mode, near, since, reason) = (CursorMode::Behind, None, solo.time(), BehindReason::Replay);
        let row = CursorRow { mode, offset: 0, near, since, reason, to: Some(9) };
        let key = PlaceKey { at: at(0), stream: 5 };
        solo.offer(10, &[0]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(200, Absent));
        solo.act(|lane, turn| lane.begin(key.clone(), (1, row), turn));
        for offset in 0..5 {
            let events = vec![crate::lane::world::log::event(0, offset, (0, 0))];
            solo.act(|lane, turn| lane.scan_offer(&key, (offset, events), turn));
        }
        assert_eq!(solo.starts().len(), 1, "even when nothing else is to do, so that live events find slots");
    }

    #[test]
    fn retry_after_holds_the_whole_lane_and_the_lane_knows_until_when() {
        let mut solo = Solo::new(roomy());
        (0..2).for_each(|offset| solo.offer(offset, &[0]));
        let first = solo.start().unwrap();
        solo.finish(first.attempt, status(429, Seconds(Duration::from_secs(3))));
        assert!(solo.starts().is_empty() && !solo.lane.wants_runner(0, solo.time()));
        let until = solo.time().after(Duration::from_secs(3));
        assert_eq!(solo.lane.next_start(solo.time()).map(|at| at.max(solo.lane.hold.unwrap())), Some(until));
        assert!(solo.lane.wake_at(solo.time()).unwrap() <= until);
        solo.now += 2_999;
        assert!(solo.start().is_none());
        solo.now += 1;
        assert!(solo.lane.wants_runner(0, solo.time()) && solo.start().is_some());
    }

    #[test]
    fn a_rate_limit_spreads_attempts_and_the_lane_knows_when_the_next_may_go() {
        let mut solo = Solo::new(DeliverySettings { per_minute: Some(120), ..roomy() });
        (0..4).for_each(|offset| solo.offer(offset, &[0]));
        assert_eq!(solo.starts().len(), 1);
        assert!(!solo.lane.wants_runner(1, solo.time()));
        assert_eq!(solo.lane.wake_at(solo.time()), Some(solo.time().after(Duration::from_millis(500))));
        solo.now += 500;
        assert_eq!(solo.starts().len(), 1);
    }

    fn batching(max_wait: u64) -> DeliverySettings {
        let max_wait = Duration::from_millis(max_wait);
        DeliverySettings { batch: Some(Batching { max_events: 3, max_bytes: 1_000, max_wait }), ..roomy() }
    }

    #[test]
    fn a_batch_goes_when_it_is_full_or_its_first_has_waited() {
        let mut solo = Solo::new(batching(800));
        (0..2).for_each(|offset| solo.offer(offset, &[0]));
        assert!(solo.starts().is_empty());
        assert_eq!(solo.lane.wake_at(solo.time()), Some(solo.time().after(Duration::from_millis(800))));
        (2..4).for_each(|offset| solo.offer(offset, &[0]));
        assert_eq!(solo.starts().into_iter().map(|(_, offsets)| offsets).collect::<Vec<_>>(), [[0, 1, 2]]);
        solo.now += 800;
        assert_eq!(solo.starts()[0].1, [3]);
    }

    #[test]
    fn a_batch_ends_at_its_bytes_but_takes_one_of_any_size() {
        let mut solo = Solo::new(batching(0));
        let size = u64::from(crate::lane::world::log::event(0, 0, (0, 0)).size());
        let batch = |max_bytes| Some(Batching { max_bytes, ..solo.lane.settings.batch.unwrap() });
        let settings = [size * 2, 1].map(|bytes| DeliverySettings { batch: batch(bytes), ..roomy() });
        for (settings, expected) in settings.into_iter().zip([vec![0, 1], vec![2]]) {
            solo.act(|lane, turn| lane.configure(settings, turn));
            if solo.lane.queued() == 0 {
                (0..3).for_each(|offset| solo.offer(offset, &[0]));
            }
            assert_eq!(solo.start().map(|start| offsets(start.what)), Some(expected));
        }
    }

    fn offsets(what: What) -> Vec<i64> {
        match what {
            What::First(event) => vec![event.event.origin.offset],
            What::Batch(events) => events.iter().map(|event| event.event.origin.offset).collect(),
            What::Retry(key) | What::Bury(key) => vec![key.offset],
        }
    }

    #[test]
    fn a_batch_that_failed_is_tried_again_one_by_one_and_what_is_too_large_for_a_batch_may_fit_alone() {
        let mut solo = Solo::new(batching(0));
        (0..3).for_each(|offset| solo.offer(offset, &[0]));
        let (attempt, offsets) = solo.starts()[0].clone();
        assert_eq!(offsets.len(), 3);
        solo.finish(attempt, status(413, Absent));
        solo.flush();
        assert_eq!((solo.lane.counts().rows, solo.settled.len()), (3, 3));
        solo.wait(2_500);
        assert!(solo.starts().iter().all(|(_, offsets)| offsets.len() == 1));
    }

    #[test]
    fn what_a_transform_fails_on_is_dead_alone_and_takes_none_of_its_batch_along() {
        let fails = || Outcome::Failed { cause: FailureCause::Transform, detail: String::new() };
        let mut solo = Solo::new(batching(0));
        (0..3).for_each(|offset| solo.offer(offset, &[0]));
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, fails());
        solo.flush();
        solo.wait(2_500);
        let alone = solo.starts();
        assert_eq!((alone.len(), solo.lane.counts().rows), (3, 3));
        solo.finish(alone[0].0, fails());
        alone[1..].iter().for_each(|(attempt, _)| solo.finish(*attempt, status(200, Absent)));
        solo.flush();
        assert_eq!(solo.lane.counts().rows, 0, "the one is dead at once, the others are accepted");
    }

    #[test]
    fn inv_4_a_batch_with_a_late_member_is_parked_whole() {
        let mut solo = Solo::behind(DeliverySettings { ordering: Ordering::Key, queue: 9, ..batching(0) }, 1);
        solo.scan(1, &[1]);
        solo.act(|lane, turn| lane.join(&at(0), 2, turn));
        solo.offer(2, &[1]);
        let (attempt, offsets) = solo.starts()[0].clone();
        assert_eq!(offsets, [1, 2], "the reader's, and intake's");
        solo.wait(5_000);
        let parked = solo.writes.iter().flat_map(|write| &write.changes);
        let parked = parked.filter_map(|change| {
            if let crate::lane::signal::Change::Park(key, ..) = change { Some(key.offset) } else { None }
        });
        assert_eq!(parked.collect::<Vec<_>>(), [1, 2], "a kill must not leave 2 a row and 1 none");
        solo.finish(attempt, status(200, Absent));
    }

    #[test]
    fn inv_4_what_is_queued_behind_a_batch_has_no_row_before_all_of_the_batch_have_theirs() {
        let late = |solo: &mut Solo, _| solo.wait(5_000);
        let failed = |solo: &mut Solo, attempt| solo.finish(attempt, status(500, Absent));
        for end in [late as fn(&mut Solo, AttemptId), failed] {
            let mut solo = Solo::new(DeliverySettings { ordering: Ordering::Key, queue: 9, ..batching(0) });
            (0..4).for_each(|offset| solo.offer(offset, &[1]));
            let (attempt, offsets) = solo.starts()[0].clone();
            assert_eq!(offsets, [0, 1, 2]);
            end(&mut solo, attempt);
            let parked = solo.changes().filter_map(|change| match change {
                crate::lane::signal::Change::Park(key, ..) => Some(key.offset),
                _ => None,
            });
            let parked = parked.collect::<Vec<_>>();
            assert!(parked.starts_with(&[0, 1, 2]), "a kill keeps the first of these: {parked:?}");
        }
    }

    #[test]
    fn with_order_several_of_a_key_ride_in_one_batch_and_the_next_waits_for_it() {
        let mut solo = Solo::new(DeliverySettings { ordering: Ordering::Key, ..batching(0) });
        for (offset, key) in (0..).zip([1, 1, 2, 1]) {
            solo.offer(offset, &[key]);
        }
        let starts = solo.starts();
        assert_eq!(starts.iter().map(|(_, offsets)| offsets.clone()).collect::<Vec<_>>(), [[0, 1, 2]]);
        solo.finish(starts[0].0, status(200, Absent));
        assert_eq!(solo.starts()[0].1, [3]);
    }
}
