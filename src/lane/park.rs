//! What leaves memory for the store: single deliveries become ledger rows (protocol `park`, T7), whole places go
//! behind a cursor (T8).
//!
//! INVARIANT (INV-3): a ticket that leaves by a row or a cursor rides in the batch that makes it durable.

use crate::lane::breaker::Pass;
use crate::lane::flights::{HasRow, Member};
use crate::lane::gate::Shut;
use crate::lane::ledger::{Birth, Judged, New};
use crate::lane::place::{Cover, Stand, Stored};
use crate::lane::queue::{Delivery, From};
use crate::lane::signal::{Change, Effect, News, Turn, Write, WriteId};
use crate::lane::state::Lane;
use crate::model::cursor::{BehindReason, CursorKey, CursorMode, CursorRow};
use crate::model::delivery::{LedgerHead, Ticket};
use crate::model::record::TopicPartition;
use crate::model::subscription::Ordering;
use crate::model::time::Timestamp;
use std::collections::HashSet;
use std::sync::Arc;

/// A batch that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) changes: Vec<Change>,
    pub(crate) settles: Vec<Ticket>,
}

/// A cursor that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To {
    pub(crate) mode: CursorMode,
    pub(crate) offset: i64,
    pub(crate) near: Option<Timestamp>,
}

// === impl Lane ===

impl Lane {
    /// Parks a delivery whose first attempt failed, and behind the last of its order domain in that attempt what is
    /// queued of the domain. Call it before the delivery lands.
    pub(crate) fn park(&mut self, delivery: &Delivery, head: LedgerHead, turn: &mut Turn<'_>) {
        let mut draft = Draft::default();
        self.draft_row(delivery, (head, Birth::Waiting), &mut draft);
        if delivery.domain.is_some_and(|domain| self.domains.get(domain).is_last_out()) {
            self.draft_followers(delivery, turn.now, &mut draft);
        }
        self.write(delivery.place, draft, turn);
    }

    /// Parks deliveries of one place that were never tried.
    pub(crate) fn park_untried(&mut self, parked: Vec<Delivery>, turn: &mut Turn<'_>) {
        let Some(place) = parked.first().map(|delivery| delivery.place) else { return };
        let mut draft = Draft::default();
        for delivery in parked {
            self.draft_row(&delivery, (untried(&delivery, turn.now), Birth::Waiting), &mut draft);
        }
        self.write(place, draft, turn);
    }

    /// `settle_within` is over for deliveries that are out: they are parked, their attempts go on (protocol T7). A
    /// batch is parked whole: a later one of a key must not have a row while an earlier one has none.
    pub(crate) fn park_flights(&mut self, turn: &mut Turn<'_>, meant: impl Fn(&Delivery) -> bool) {
        let old = self.flights.iter().flat_map(|(_, flight)| {
            let members = flight.load.members();
            let any = members.iter().any(|member| meant(&member.delivery));
            members.iter().filter(move |_| any).map(|member| Arc::as_ptr(&member.delivery.event) as usize)
        });
        let old = old.collect::<HashSet<_>>();
        if old.is_empty() {
            return;
        }
        let is_old = |delivery: &Delivery| old.contains(&(Arc::as_ptr(&delivery.event) as usize));
        let taken = self.take_flights(turn.now, is_old);
        for (delivery, head) in &taken {
            let mut draft = Draft::default();
            self.draft_row(delivery, (head.clone(), Birth::Busy), &mut draft);
            self.write(delivery.place, draft, turn);
        }
        for (delivery, _) in &taken {
            let mut draft = Draft::default();
            self.draft_followers(delivery, turn.now, &mut draft);
            if !draft.changes.is_empty() {
                self.write(delivery.place, draft, turn);
            }
        }
    }

    /// Puts a place behind its cursor: what was attempted or overtaken goes to the ledger, the rest is forgotten,
    /// because the log has it (protocol T8). `at` is a record that was not taken.
    pub(crate) fn detach(&mut self, number: u32, (at, reason): (Option<i64>, BehindReason), turn: &mut Turn<'_>) {
        let mut draft = Draft::default();
        for (delivery, head) in self.take_flights(turn.now, |delivery| delivery.place == number) {
            self.draft_row(&delivery, (head, Birth::Busy), &mut draft);
        }
        let mut queued = self.unqueue(number);
        let place = self.places.get(number);
        queued.append(&mut place.aside);
        // What is held is never parked: the reader is still below it.
        let (held, hi, next) = (place.take_held(), place.hi, place.next());
        // Below the floor all was brought by the reader, and may be queued still: the floor bounds the rest only.
        let (mut offset, mut near) = (at.or(next).unwrap_or(place.seen).max(place.floor()), place.near);
        for delivery in queued {
            if delivery.offset() <= hi {
                self.draft_row(&delivery, (untried(&delivery, turn.now), Birth::Waiting), &mut draft);
                continue;
            }
            draft.settles.extend(self.ticket(&delivery));
            if delivery.offset() < offset {
                (offset, near) = (delivery.offset(), Some(delivery.event.event.origin.timestamp));
            }
        }
        draft.settles.extend(held.iter().filter_map(|delivery| self.ticket(delivery)));
        let place = self.places.get(number);
        if place.is_live() {
            place.since = turn.now;
        }
        (place.reason, place.stand, place.joined) = (reason, Stand::Behind { next: offset }, None);
        let id = self.write_cursor(number, To { mode: CursorMode::Behind, offset, near }, (draft, turn));
        let place = self.places.get(number);
        if place.cover == Cover::None {
            place.cover = Cover::Soon(id);
        }
        self.places.recount();
    }

    /// The gate shuts: what waits in memory goes behind its cursors. Other places follow at their next offer.
    pub(crate) fn shut_out(&mut self, reason: BehindReason, turn: &mut Turn<'_>) {
        for number in self.places.numbers() {
            let place = self.places.at(number);
            match (&place.stand, place.queued) {
                (Stand::Joining { .. }, 0) => self.cancel_join(number, turn),
                (Stand::Joining { .. }, _) | (_, 1..) => self.detach(number, (None, reason), turn),
                _ => {}
            }
        }
    }

    /// What follows from a change: a ledger or dead letters that became full or free, rules of order that waited, a
    /// reader that has work. The last thing in each call that changed something.
    pub(crate) fn after(&mut self, turn: &mut Turn<'_>) {
        match self.letters.judge() {
            Judged::Same => {}
            Judged::Full => {
                self.reasons.add(Shut::DeadLettersFull);
                turn.tell(News::DeadLettersFull);
                self.shut_out(BehindReason::Full, turn);
            }
            Judged::Free => {
                self.reasons.remove(Shut::DeadLettersFull);
                turn.tell(News::DeadLettersFree);
            }
        }
        match self.ledger.judge() {
            Judged::Same => {}
            Judged::Full => {
                turn.tell(if self.ledger.is_confined() { News::LedgersFull } else { News::LedgerFull });
                let failing = self.breaker.pass() == Pass::None;
                self.shut_out(if failing { BehindReason::Failing } else { BehindReason::Full }, turn);
            }
            Judged::Free => turn.tell(News::LedgerFree),
        }
        if self.changing.is_some() && self.flights.len() == 0 {
            self.swap(turn);
        }
        if self.places.away() > 0 && !self.called && self.places.iter().any(|(_, place)| self.is_rider(place)) {
            self.called = true;
            turn.effects.push(Effect::Read);
        }
    }

    /// Asks for a batch of one place's partition.
    pub(crate) fn write(&mut self, place: u32, draft: Draft, turn: &mut Turn<'_>) -> WriteId {
        let at = self.places.at(place).key.at.clone();
        self.write_at(at, draft, turn)
    }

    pub(crate) fn write_at(&mut self, at: TopicPartition, draft: Draft, turn: &mut Turn<'_>) -> WriteId {
        self.writes += 1;
        let id = WriteId(self.writes);
        let Draft { changes, settles } = draft;
        turn.effects.push(Effect::Write(Write { id, at, changes, settles }));
        id
    }

    /// Asks for a new cursor, in one batch with what it relies on.
    ///
    /// INVARIANT (INV-8): a cursor never goes back. Counted, and written as it is: a lower one loses nothing.
    pub(crate) fn write_cursor(&mut self, number: u32, to: To, (draft, turn): (Draft, &mut Turn<'_>)) -> WriteId {
        let mut draft = draft;
        let place = self.places.get(number);
        let To { mode, offset, near } = to;
        if place.cursor().is_some_and(|row| row.offset > offset) {
            debug_assert!(false, "a cursor would go back to {offset}: {place:?}");
            self.regressions += 1;
        }
        let row = CursorRow { mode, offset, near, since: place.since, reason: place.reason, to: place.to };
        if mode == CursorMode::Live {
            place.cover = Cover::None;
        }
        let key = CursorKey { at: place.key.at.clone(), stream: place.key.stream, sid: self.sid };
        draft.changes.push(Change::Cursor(key, row));
        let id = self.write(number, draft, turn);
        self.places.get(number).row = Some(Stored { row: Some(row), write: Some(id) });
        id
    }

    /// Adds a new row of a delivery, and what settles with it.
    pub(crate) fn draft_row(&mut self, delivery: &Delivery, row: (LedgerHead, Birth), draft: &mut Draft) {
        let (head, birth) = row;
        let place = self.places.get(delivery.place);
        place.raise(delivery.offset());
        let key = delivery.key(self.sid, place.key.stream);
        let domain = match (self.settings.ordering, &delivery.event.event.key) {
            (Ordering::Key, Some(name)) => Some(self.domains.number(&place.key, name)),
            _ => None,
        };
        self.ledger.add(New { key: key.clone(), head: head.clone(), domain, birth });
        if let Some(domain) = domain {
            self.domains.get(domain).park(key.clone());
            self.judge(Some(domain));
        }
        draft.settles.extend(self.ticket(delivery));
        if birth != Birth::Dying {
            draft.changes.push(Change::Park(key, head, Arc::clone(&delivery.event)));
        }
    }

    /// Adds rows of what is queued of a delivery's order domain.
    ///
    /// INVARIANT (INV-4): all of the domain that is out has rows already, in this batch or an earlier one. A kill
    /// that leaves a later one a row and an earlier one none lets the later one go first.
    fn draft_followers(&mut self, delivery: &Delivery, now: Timestamp, draft: &mut Draft) {
        if let Some(domain) = delivery.domain {
            let stream = self.places.at(delivery.place).key.stream;
            let followers = self.domains.get(domain).queued().collect::<Vec<_>>();
            for number in followers {
                let Some(follower) = self.queue_of(stream).remove(number) else { continue };
                self.domains.get(domain).unqueue(follower.spot());
                self.places.get(follower.place).queued -= 1;
                self.draft_row(&follower, (untried(&follower, now), Birth::Waiting), draft);
            }
        }
    }

    /// Notes that deliveries that are out have rows from now on; gives those that had none, with their heads.
    fn take_flights(&mut self, now: Timestamp, meant: impl Fn(&Delivery) -> bool) -> Vec<(Delivery, LedgerHead)> {
        let mut taken = Vec::new();
        for (started, member) in self.flights.members_mut() {
            if member.row == HasRow::No && meant(&member.delivery) {
                // Its outcome is unknown when the process dies before it is known.
                let head = head(&member.delivery, (1, started), now);
                taken.push((member.delivery.clone(), head));
                member.settled_by_row();
            }
        }
        taken
    }

    /// Takes all of a place out of its queue.
    pub(crate) fn unqueue(&mut self, number: u32) -> Vec<Delivery> {
        let place = self.places.get(number);
        if std::mem::take(&mut place.queued) == 0 {
            return Vec::new();
        }
        let stream = place.key.stream;
        let taken = self.queue_of(stream).take(number);
        let mut deliveries = Vec::with_capacity(taken.len());
        for (_, delivery) in taken {
            if let Some(domain) = delivery.domain {
                self.domains.get(domain).unqueue(delivery.spot());
                self.judge(Some(domain));
            }
            deliveries.push(delivery);
        }
        deliveries
    }
}

// === impl Member ===

impl Member {
    /// From here on the row stands for the delivery; its ticket went with the row.
    fn settled_by_row(&mut self) {
        self.row = HasRow::Yes;
        self.delivery.from = From::Reader;
    }
}

/// The head of a new row after so many attempts, the first of which began then.
pub(crate) fn head(delivery: &Delivery, (attempts, first): (u16, Timestamp), due: Timestamp) -> LedgerHead {
    let event = &delivery.event;
    let (ordering_key, body_len) = (event.event.key.clone(), event.size());
    LedgerHead { attempts, first, due, last: None, ordering_key, body_len }
}

fn untried(delivery: &Delivery, now: Timestamp) -> LedgerHead {
    head(delivery, (0, now), now)
}
