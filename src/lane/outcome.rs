//! What came of attempts: accepted, parked, tried again, dead; and what it says about the endpoint (protocol T5, T6).

use crate::lane::backoff;
use crate::lane::breaker::{Health, Moved, Seen};
use crate::lane::flights::{Flight, HasRow, Kind, Load, Member, Tried};
use crate::lane::gate::Shut;
use crate::lane::ledger::{Birth, Written};
use crate::lane::park::{Draft, head};
use crate::lane::queue::Delivery;
use crate::lane::signal::{AttemptId, Change, Disabling, Dying, Effect, Finished, News, Turn, Write};
use crate::lane::slots::Ended;
use crate::lane::state::Lane;
use crate::lane::verdict::{self, Verdict};
use crate::model::cursor::BehindReason;
use crate::model::dead_letter::DeadReason;
use crate::model::delivery::LedgerHead;
use crate::model::event::Emitted;
use crate::model::outcome::{FailureCause, Outcome};
use crate::model::time::Timestamp;
use std::sync::Arc;

/// An outcome, and what it means for one delivery.
struct Judged<'a> {
    outcome: &'a Outcome,
    verdict: Verdict,
}

// === impl Lane ===

impl Lane {
    /// Takes what came of an attempt. One that was cut off, or is of an earlier life, changes nothing (INV-14).
    pub fn finished(&mut self, finished: Finished, turn: &mut Turn<'_>) {
        let Some(flight) = self.flights.remove(finished.attempt) else { return };
        let (started, many) = (flight.started, flight.load.len());
        let Finished { outcome, event, .. } = finished;
        match &flight.load {
            Load::One(member) => self.member_ended(member, (started, many), (&outcome, turn)),
            Load::Many(members) => {
                members.iter().for_each(|member| self.member_ended(member, (started, many), (&outcome, turn)));
            }
            Load::Row(tried) => self.row_ended(tried, event, (&outcome, turn)),
        }
        self.learn(&flight, &outcome, turn);
        self.after(turn);
    }

    /// The event of a row that is to be given up was read.
    pub fn buried(&mut self, attempt: AttemptId, event: Arc<Emitted>, turn: &mut Turn<'_>) {
        let Some(Flight { load: Load::Row(tried), .. }) = self.flights.remove(attempt) else { return };
        let Some(head) = self.ledger.leave(&tried.key) else { return };
        let dying = Dying { reason: DeadReason::Blocked, attempts: head.attempts, last: head.last.clone(), event };
        self.bury_row(&tried, (head, dying), turn);
        self.after(turn);
    }

    /// The event of a row cannot be read; the row stays as it is, and blocks its key, until the next start.
    pub fn unreadable(&mut self, attempt: AttemptId, turn: &mut Turn<'_>) {
        let Some(flight) = self.flights.remove(attempt) else { return };
        self.learn_nothing(&flight, turn);
        let Load::Row(tried) = &flight.load else { return };
        self.ledger.stick(&tried.key);
        self.land(tried.domain);
        self.after(turn);
    }

    /// A batch this lane asked for is durable. Call it before its tickets settle; those that are settled here
    /// waited for the same rows.
    pub fn flushed(&mut self, write: &Write, turn: &mut Turn<'_>) {
        if self.reasons.has(Shut::Deleted) || !self.places.lives(&write.at, write.id) {
            return;
        }
        for change in &write.changes {
            let (key, written) = match change {
                Change::Park(key, ..) | Change::Head(key, _) => (key, Written::Row),
                Change::Unpark(key, _) | Change::Dead(key, ..) => (key, Written::Gone),
                Change::Cursor(key, row) => {
                    self.cursor_flushed(key, (write.id, Some(*row)), turn);
                    continue;
                }
                Change::DropCursor(key) => {
                    self.cursor_flushed(key, (write.id, None), turn);
                    continue;
                }
                Change::Lost(_) => continue,
            };
            let (waiting, gone) = self.ledger.flushed(key, written);
            waiting.into_iter().for_each(|ticket| turn.settle(ticket));
            if let Some(number) = gone {
                // The dead keep their domain busy until here.
                self.domains.get(number).unpark(key);
                self.judge(gone);
            }
        }
        self.after(turn);
    }

    /// Another attempt with this outcome is scheduled, or not, says the schedule.
    fn judge_outcome(&self, age: (u16, Timestamp), many: usize, (outcome, turn): (&Outcome, &mut Turn<'_>)) -> Verdict {
        let (attempts, first) = age;
        let retry = &self.settings.retry;
        let scheduled = backoff::wait(retry, attempts, (turn.dice)());
        match verdict::judge(outcome, scheduled, turn.now.since(first), retry.max_age) {
            // Fewer events together may well be small enough, or one of them alone is what cannot be sent: each goes alone next.
            Verdict::Dead(DeadReason::Refused | DeadReason::TransformFailed) if many > 1 => {
                Verdict::Again { after: scheduled, slow_lane: None }
            }
            verdict => verdict,
        }
    }

    fn member_ended(&mut self, member: &Member, flight: (Timestamp, usize), ended: (&Outcome, &mut Turn<'_>)) {
        let ((started, many), (outcome, turn)) = (flight, ended);
        let Member { delivery, row } = member;
        if outcome.accepted() && *row == HasRow::No {
            self.patience.earn();
            if let Some(ticket) = self.ticket(delivery) {
                turn.settle(ticket);
            }
            self.land(delivery.domain);
            return;
        }
        let verdict = self.judge_outcome((1, started), many, (outcome, turn));
        match row {
            HasRow::No => self.first_ended(delivery, started, (Judged { outcome, verdict }, turn)),
            HasRow::Yes => {
                let key = delivery.key(self.sid, self.places.at(delivery.place).key.stream);
                let tried = Tried { key, attempts: 0, first: started, domain: delivery.domain };
                let event = Some(Arc::clone(&delivery.event));
                self.tried_ended(&tried, event, (Judged { outcome, verdict }, turn));
            }
        }
    }

    /// A first attempt without a row was not accepted.
    fn first_ended(&mut self, delivery: &Delivery, started: Timestamp, ended: (Judged<'_>, &mut Turn<'_>)) {
        let (Judged { outcome, verdict }, turn) = ended;
        let due = match verdict {
            Verdict::Dead(reason) => {
                let event = Arc::clone(&delivery.event);
                let dying = Dying { reason, attempts: 1, last: Some(outcome.clone()), event };
                let mut draft = Draft::default();
                let head = LedgerHead { body_len: 0, ..head(delivery, (1, started), turn.now) };
                self.draft_row(delivery, (head, Birth::Dying), &mut draft);
                let key = delivery.key(self.sid, self.places.at(delivery.place).key.stream);
                draft.changes.push(Change::Dead(key, None, dying));
                self.write(delivery.place, draft, turn);
                self.land(delivery.domain);
                return;
            }
            Verdict::Again { after, .. } => turn.now.after(after),
            Verdict::Accepted | Verdict::Disable => turn.now,
        };
        let head = LedgerHead { last: Some(outcome.clone()), ..head(delivery, (1, started), due) };
        self.park(delivery, head, turn);
        self.land(delivery.domain);
    }

    fn row_ended(&mut self, tried: &Tried, event: Option<Arc<Emitted>>, ended: (&Outcome, &mut Turn<'_>)) {
        let (outcome, turn) = ended;
        let age = (tried.attempts.saturating_add(1), tried.first);
        let verdict = self.judge_outcome(age, 1, (outcome, turn));
        self.tried_ended(tried, event, (Judged { outcome, verdict }, turn));
    }

    /// An attempt of a delivery with a row ended.
    fn tried_ended(&mut self, tried: &Tried, event: Option<Arc<Emitted>>, ended: (Judged<'_>, &mut Turn<'_>)) {
        let (Judged { outcome, verdict }, turn) = ended;
        let attempts = tried.attempts.saturating_add(1);
        let due = match (verdict, event) {
            (Verdict::Accepted, _) => {
                self.patience.earn();
                if let Some(head) = self.ledger.leave(&tried.key) {
                    let changes = vec![Change::Unpark(tried.key.clone(), head)];
                    self.write_at(tried.key.at.clone(), Draft { changes, ..Draft::default() }, turn);
                }
                if let Some(number) = tried.domain {
                    self.domains.get(number).unpark(&tried.key);
                }
                self.land(tried.domain);
                return;
            }
            (Verdict::Dead(reason), Some(event)) => {
                let dying = Dying { reason, attempts, last: Some(outcome.clone()), event };
                if let Some(head) = self.ledger.leave(&tried.key) {
                    self.bury_row(tried, (head, dying), turn);
                }
                return;
            }
            (Verdict::Again { after, .. }, _) => turn.now.after(after),
            (Verdict::Disable | Verdict::Dead(_), _) => turn.now,
        };
        let (first, last) = (tried.first, Some(outcome.clone()));
        let head = LedgerHead { attempts, first, due, last, ordering_key: None, body_len: 0 };
        if let Some(head) = self.ledger.again(&tried.key, head) {
            let changes = vec![Change::Head(tried.key.clone(), head)];
            self.write_at(tried.key.at.clone(), Draft { changes, ..Draft::default() }, turn);
        }
        self.land(tried.domain);
    }

    /// Dead letter and removal in one batch; the domain stays busy until that is durable.
    fn bury_row(&mut self, tried: &Tried, dead: (LedgerHead, Dying), turn: &mut Turn<'_>) {
        let (head, dying) = dead;
        let changes = vec![Change::Dead(tried.key.clone(), Some(head), dying)];
        self.write_at(tried.key.at.clone(), Draft { changes, ..Draft::default() }, turn);
        self.land(tried.domain);
    }

    /// A delivery of a domain is out no more.
    pub(crate) fn land(&mut self, domain: Option<u32>) {
        if let Some(number) = domain {
            self.domains.get(number).land();
            self.judge(domain);
        }
    }

    /// What the outcome says about the endpoint: gate, slots, breaker.
    fn learn(&mut self, flight: &Flight, outcome: &Outcome, turn: &mut Turn<'_>) {
        let (health, now) = (health(outcome, flight.load.len()), turn.now);
        let in_flight = self.flights.len() + 1;
        self.slots.ended(Ended { outcome, started: flight.started, in_flight }, now);
        if let Some(until) = asked_to_wait(outcome, now) {
            self.hold = self.hold.max(Some(until));
        }
        if matches!(outcome, Outcome::Answered(answer) if answer.status == 410) && flight.kind != Kind::Bury {
            turn.effects.push(Effect::Disable(Disabling::Gone));
            self.disable(turn);
        }
        self.vitals.learn(health, now);
        self.vitals.took(outcome, now.since(flight.started));
        if health == Health::Bad && self.vitals.is_lost(self.settings.disable_after, now) {
            turn.effects.push(Effect::Disable(Disabling::Failing));
        }
        let Flight { era, started, .. } = *flight;
        let seen = Seen { health, era, started, most: self.slots.limit() };
        if health == Health::Good && self.breaker.has_opened() {
            self.ledger.hasten(now);
        }
        let moved = self.breaker.outcome(seen, now);
        self.breaker_moved(moved, turn);
        let mark = self.vitals.mark((health, self.breaker.pass()), now);
        turn.effects.extend(mark.map(Effect::Mark));
    }

    /// An attempt ended without an outcome: if it was a probe, another one may go.
    pub(crate) fn learn_nothing(&mut self, flight: &Flight, turn: &mut Turn<'_>) {
        let Flight { era, started, .. } = *flight;
        let seen = Seen { health: Health::Unknown, era, started, most: self.slots.limit() };
        let moved = self.breaker.outcome(seen, turn.now);
        self.breaker_moved(moved, turn);
    }

    pub(crate) fn breaker_moved(&mut self, moved: Moved, turn: &mut Turn<'_>) {
        match moved {
            Moved::No => {}
            Moved::Opened => {
                turn.tell(News::Failing);
                self.shut_out(BehindReason::Failing, turn);
            }
            Moved::HalfOpened => turn.tell(News::Trying),
            Moved::Closed => turn.tell(News::Recovered),
        }
    }
}

/// What an outcome of so many events together says about the endpoint.
fn health(outcome: &Outcome, many: usize) -> Health {
    match outcome {
        Outcome::Answered(answer) => match answer.status {
            200..300 => Health::Good,
            413 | 415 if many == 1 => Health::Unknown,
            _ => Health::Bad,
        },
        Outcome::Failed { cause: FailureCause::CutOff | FailureCause::TooLarge | FailureCause::Transform, .. } => {
            Health::Unknown
        }
        Outcome::Failed { .. } => Health::Bad,
    }
}

/// Until when the whole lane should hold back: it was told to, by 429, 502, 503 or 504 with `Retry-After`.
fn asked_to_wait(outcome: &Outcome, now: Timestamp) -> Option<Timestamp> {
    match verdict::judge(outcome, std::time::Duration::ZERO, std::time::Duration::ZERO, std::time::Duration::MAX) {
        Verdict::Again { slow_lane: Some(wait), .. } => Some(now.after(wait)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::lane::world::log::{settings, status};
    use crate::lane::world::solo::Solo;
    use crate::model::outcome::RetryAfter::Absent;
    use crate::model::subscription::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::lane::gate::Gate;
    use crate::lane::settings::DeliverySettings;
    use crate::lane::signal::What;
    use crate::model::subscription::{OnBlocked, Retry};

    #[test]
    fn what_is_accepted_at_once_is_never_written() {
        for ordering in Ordering::ALL {
            let mut solo = Solo::new(settings(ordering, 0));
            solo.offer(1, &[1, 2]);
            for (attempt, _) in solo.starts() {
                solo.finish(attempt, status(204, Absent));
            }
            assert_eq!((solo.settled.as_slice(), solo.writes.len()), (&[1, 1][..], 0));
        }
    }

    #[test]
    fn a_refusal_is_parked_and_tried_again_when_it_is_due_and_durable() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        solo.offer(1, &[0]);
        let start = solo.start().unwrap();
        solo.finish(start.attempt, status(500, Absent));
        let due = solo.time().after(Duration::from_secs(2));
        assert!(
            matches!(solo.changes().next(), Some(Change::Park(_, head, _)) if head.due == due && head.attempts == 1)
        );
        assert!(solo.settled.is_empty(), "INV-3");
        solo.now += 3_000;
        assert!(solo.start().is_none(), "the row cannot be read before it is durable");
        solo.now -= 3_000;
        solo.flush();
        assert_eq!(solo.settled, [1]);
        assert_eq!(solo.lane.wake_at(solo.time()), Some(due));
        solo.now += 1_999;
        assert!(solo.start().is_none());
        solo.now += 1;
        assert!(matches!(solo.start().unwrap().what, What::Retry(_)));
    }

    #[test]
    fn after_an_outage_what_failed_in_it_is_due_at_once_but_for_what_was_asked_to_wait() {
        let retry = Retry { schedule: vec![Duration::from_secs(3_600)], ..DeliverySettings::default().retry };
        let mut solo = Solo::new(DeliverySettings { retry, ..settings(Ordering::None, 0) });
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        let asked = crate::model::outcome::RetryAfter::Seconds(Duration::from_secs(5_000));
        for ((attempt, _), retry_after) in solo.starts().into_iter().zip([asked, Absent, Absent]) {
            solo.finish(attempt, status(500, retry_after));
        }
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::Breaker));
        solo.flush();
        solo.wait(1_000);
        let probes = solo.starts();
        assert_eq!(probes.len(), 1);
        solo.finish(probes[0].0, status(200, Absent));
        let due = solo.starts().into_iter().map(|(_, offsets)| offsets[0]).collect::<Vec<_>>();
        assert!(due == [2] || due == [3], "one was the probe, one was asked to wait: {due:?}");
        assert_eq!(solo.lane.ledger.next_due(), Some(solo.time().after(Duration::from_millis(4_999_000))));
    }

    #[test]
    fn a_gone_endpoint_is_disabled_and_what_is_queued_is_owed() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        let start = solo.start().unwrap();
        solo.finish(start.attempt, status(410, Absent));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::Disable(Disabling::Gone))));
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::Disabled));
        solo.flush();
        assert_eq!((solo.settled.len(), solo.lane.counts().rows, solo.lane.counts().behind), (3, 1, 1));
        solo.wait(1_000_000);
        assert!(solo.start().is_none(), "not even a probe");
    }

    #[test]
    fn an_endpoint_that_fails_for_disable_after_is_disabled() {
        let disable_after = Some(Duration::from_secs(60));
        let mut solo = Solo::new(DeliverySettings { disable_after, ..settings(Ordering::None, 0) });
        for (offset, (wait, code)) in (1..).zip([(0, 500), (30_000, 200), (30_000, 500), (59_000, 500)]) {
            solo.now += wait;
            solo.offer(offset, &[0]);
            let (attempt, _) = solo.starts().pop().unwrap();
            solo.finish(attempt, status(code, Absent));
            assert!(!solo.effects.iter().any(|effect| matches!(effect, Effect::Disable(_))), "{offset}");
        }
        solo.now += 1_000;
        solo.offer(9, &[0]);
        let (attempt, _) = solo.starts().pop().unwrap();
        solo.finish(attempt, status(500, Absent));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::Disable(Disabling::Failing))));
    }

    #[test]
    fn a_dead_delivery_keeps_its_key_busy_until_that_is_durable() {
        let mut solo = Solo::new(settings(Ordering::Key, 0));
        (1..=2).for_each(|offset| solo.offer(offset, &[1]));
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(415, Absent));
        assert!(solo.starts().is_empty());
        solo.flush();
        assert_eq!(solo.starts()[0].1, [2]);
        assert_eq!(solo.lane.counts().rows, 0);
    }

    #[test]
    fn when_a_key_blocks_and_the_ledger_is_full_its_head_is_given_up_where_that_is_asked_for() {
        for (on_blocked, buries) in [(OnBlocked::Wait, false), (OnBlocked::DeadLetter, true)] {
            let mut solo = Solo::new(DeliverySettings { on_blocked, queue: 9, ..settings(Ordering::Key, 0) });
            (1..=6).for_each(|offset| solo.offer(offset, &[1]));
            let (attempt, _) = solo.starts()[0].clone();
            solo.finish(attempt, status(500, Absent));
            assert_eq!(solo.lane.gate(), Gate::Shut(Shut::LedgerFull));
            solo.flush();
            let start = solo.start();
            assert_eq!(start.is_some(), buries);
            let Some(start) = start else { continue };
            assert!(matches!(&start.what, What::Bury(key) if key.offset == 1));
            let event = crate::lane::world::log::event(0, 1, (0, 1));
            solo.act(|lane, turn| lane.buried(start.attempt, event, turn));
            let dying = solo
                .changes()
                .find_map(|change| if let Change::Dead(_, _, dying) = change { Some(dying) } else { None });
            assert!(dying.is_some_and(|dying| dying.reason == DeadReason::Blocked && dying.last.is_some()));
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_blocks_its_key_and_nothing_else() {
        let mut solo = Solo::new(settings(Ordering::Key, 0));
        solo.offer(1, &[1]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(500, Absent));
        solo.flush();
        solo.wait(2_500);
        let (attempt, _) = solo.starts()[0].clone();
        solo.act(|lane, turn| lane.unreadable(attempt, turn));
        solo.offer(2, &[1, 2]);
        solo.flush();
        solo.wait(2_500);
        let starts = solo.starts();
        assert_eq!((starts.len(), solo.lane.counts().in_flight), (1, 1), "key 2 goes, key 1 waits");
    }

    #[test]
    fn an_open_breaker_detaches_and_probes_once_then_the_slots_come_back() {
        let mut solo = Solo::new(DeliverySettings { queue: 9, ..settings(Ordering::None, 0) });
        (1..=6).for_each(|offset| solo.offer(offset, &[0]));
        for (attempt, _) in solo.starts() {
            solo.finish(attempt, status(500, Absent));
        }
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::Breaker));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::News(News::Failing))));
        solo.offer(7, &[0]);
        solo.flush();
        let counts = solo.lane.counts();
        assert_eq!((counts.queued, counts.rows, counts.behind, solo.settled.len()), (0, 3, 1, 7));
        solo.wait(999);
        assert!(solo.start().is_none());
        solo.wait(1);
        let probes = solo.starts();
        assert_eq!(probes.len(), 1, "one probe at a time, due or not");
        solo.finish(probes[0].0, status(200, Absent));
        assert_eq!(solo.lane.gate(), Gate::HalfOpen(1));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::Read)), "its reader may come");
    }

    #[test]
    fn a_ledger_that_becomes_full_sends_what_waits_behind_its_cursor_and_opens_when_half_of_it_is_free() {
        let breaker = crate::lane::settings::BreakerSettings::default();
        let settings = DeliverySettings { concurrency: 9, queue: 9, breaker, ..settings(Ordering::None, 0) };
        let mut solo = Solo::new(settings);
        (1..=6).for_each(|offset| solo.offer(offset, &[0]));
        let out = (0..5).map(|_| solo.start().unwrap().attempt).collect::<Vec<_>>();
        for attempt in out {
            solo.finish(attempt, status(500, Absent));
        }
        assert_eq!((solo.lane.gate(), solo.lane.queued()), (Gate::Shut(Shut::LedgerFull), 0));
        solo.flush();
        assert_eq!(solo.settled.len(), 6);
        solo.wait(2_500);
        let mut left = 5;
        while solo.lane.gate() != Gate::Open {
            let attempt = solo.start().unwrap().attempt;
            solo.finish(attempt, status(200, Absent));
            solo.flush();
            left -= 1;
            assert!(left >= 2, "at half of its rows");
        }
        assert_eq!((left, solo.lane.counts().rows), (2, 2));
    }
}
