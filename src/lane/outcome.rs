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
            // Fewer events together may well be small enough: each goes alone next.
            Verdict::Dead(DeadReason::Refused) if many > 1 => Verdict::Again { after: scheduled, slow_lane: None },
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
        match (health, self.failing) {
            (Health::Good, _) => self.failing = None,
            (Health::Bad, None) => self.failing = Some(now),
            (Health::Bad, Some(since)) if self.settings.disable_after.is_some_and(|most| now.since(since) >= most) => {
                self.failing = Some(now);
                turn.effects.push(Effect::Disable(Disabling::Failing));
            }
            _ => {}
        }
        let seen = Seen { health, era: flight.era, most: self.slots.limit() };
        let moved = self.breaker.outcome(seen, now);
        self.breaker_moved(moved, turn);
    }

    /// An attempt ended without an outcome: if it was a probe, another one may go.
    pub(crate) fn learn_nothing(&mut self, flight: &Flight, turn: &mut Turn<'_>) {
        let seen = Seen { health: Health::Unknown, era: flight.era, most: self.slots.limit() };
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
        Outcome::Failed { cause: FailureCause::CutOff | FailureCause::TooLarge, .. } => Health::Unknown,
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
