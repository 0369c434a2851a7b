//! Deliveries come in: from intake (protocol T2), or from a reader that passes over a partition (section 6).
//!
//! What one record holds for the subscription is one group, taken whole or not at all (INV-5). Intake's groups
//! are always taken in some way: queued, parked behind an earlier one of their key, held, or left to the cursor.
//! A reader's group that finds no room is not taken: the rider gets off.

use crate::lane::gate::{Gate, Shut};
use crate::lane::ledger::Known;
use crate::lane::place::{Cover, Need, Place, Stand};
use crate::lane::queue::{Delivery, From, Spot};
use crate::lane::signal::{Group, PlaceKey, Ride, Turn};
use crate::lane::state::Lane;
use crate::model::cursor::BehindReason;
use crate::model::delivery::Ticket;
use crate::model::event::Emitted;
use crate::model::record::TopicPartition;
use crate::model::subscription::Ordering;
use crate::model::weight::ROW;
use std::sync::Arc;

/// A group that found no room, as it was.
struct NoRoom {
    need: Need,
    events: Vec<Arc<Emitted>>,
}

// === impl Lane ===

impl Lane {
    /// Takes a group from intake. A group of another epoch than the place's changes nothing (INV-14).
    pub fn offer(&mut self, at: &TopicPartition, group: Group, turn: &mut Turn<'_>) {
        let Group { epoch, offset, events } = group;
        let ticket = || Ticket { at: at.clone(), epoch, offset };
        if self.reasons.has(Shut::Deleted) {
            events.iter().for_each(|_| turn.settle(ticket()));
            return;
        }
        let number = self.places.find(at, 0).unwrap_or_else(|| {
            self.places.add(Place::new(PlaceKey { at: at.clone(), stream: 0 }, epoch)) // nothing is owed: it is live
        });
        let place = self.places.get(number);
        if place.epoch != epoch {
            return;
        }
        place.note(offset, events.first().map(|event| event.event.origin.timestamp));
        if offset < place.floor() {
            events.iter().for_each(|_| turn.settle(ticket()));
            return;
        }
        let events = self.leave_out_known(number, events, (From::Intake, turn));
        if events.is_empty() {
            return;
        }
        match self.places.at(number).stand {
            Stand::Behind { .. } => self.leave_to_cursor(number, &events, turn),
            Stand::Joining { .. } => self.hold(number, events, turn),
            Stand::Live { .. } => self.offer_live(number, (offset, events), turn),
        }
        self.after(turn);
    }

    /// Takes a group from a reader.
    pub fn scan_offer(&mut self, key: &PlaceKey, group: (i64, Vec<Arc<Emitted>>), turn: &mut Turn<'_>) -> Ride {
        let (offset, events) = group;
        let Some(number) = self.places.find(&key.at, key.stream) else { return Ride::Off };
        let place = self.places.get(number);
        let Some(next) = place.next() else { return Ride::Live };
        if offset < next {
            return Ride::On; // it passed here before
        }
        let arrives = matches!(place.stand, Stand::Joining { join, .. } if offset >= join);
        if arrives || place.to.is_some_and(|to| offset >= to) {
            return self.passed(key, offset, turn);
        }
        if place.closing || !place.is_covered() || matches!(self.gate(), Gate::Shut(_)) {
            return self.get_off(number, Need::default(), turn);
        }
        let written = events.first().map(|event| event.event.origin.timestamp);
        let events = self.leave_out_known(number, events, (From::Reader, turn));
        if let Err(NoRoom { need, .. }) = self.take(number, (From::Reader, events), turn) {
            return self.get_off(number, need, turn);
        }
        self.places.get(number).note(offset, written);
        self.passed(key, offset + 1, turn)
    }

    fn get_off(&mut self, number: u32, need: Need, turn: &mut Turn<'_>) -> Ride {
        let place = self.places.get(number);
        (place.need, place.since) = (need, turn.now);
        self.after(turn);
        Ride::Off
    }

    fn offer_live(&mut self, number: u32, group: (i64, Vec<Arc<Emitted>>), turn: &mut Turn<'_>) {
        let (offset, events) = group;
        let (reason, events) = match self.gate() {
            Gate::Shut(shut) => (reason(shut), events),
            Gate::Open | Gate::HalfOpen(_) => match self.take(number, (From::Intake, events), turn) {
                Ok(()) => return,
                Err(NoRoom { need: Need { rows: 0, .. }, events }) => (BehindReason::Slow, events),
                Err(NoRoom { events, .. }) => (BehindReason::Full, events),
            },
        };
        self.detach(number, (Some(offset), reason), turn);
        self.leave_to_cursor(number, &events, turn);
    }

    /// Settles what stands behind the cursor, as soon as the cursor is durable.
    pub(crate) fn leave_to_cursor(&mut self, number: u32, events: &[Arc<Emitted>], turn: &mut Turn<'_>) {
        let place = self.places.get(number);
        for event in events {
            let (epoch, offset) = (place.epoch, event.event.origin.offset);
            let ticket = Ticket { at: place.key.at.clone(), epoch, offset };
            match place.cover {
                Cover::Durable => turn.settle(ticket),
                Cover::Soon(_) | Cover::None => place.waiting.push(ticket),
            }
        }
    }

    /// Queues a group, behind earlier ones of its keys in the ledger where it must be; all of it or nothing.
    fn take(&mut self, number: u32, group: (From, Vec<Arc<Emitted>>), turn: &mut Turn<'_>) -> Result<(), NoRoom> {
        let (from, events) = group;
        let stream = self.places.at(number).key.stream;
        let keyed = self.settings.ordering == Ordering::Key && self.ledger.rows() > 0;
        let blocked = if keyed { events.iter().filter(|event| self.is_blocked(number, event)).count() } else { 0 };
        let limit = match from {
            From::Intake => self.settings.queue,
            From::Reader => self.reader_room(),
        };
        if !self.queue_of(stream).has_room(events.len() - blocked, limit) {
            return Err(NoRoom { need: Need::default(), events });
        }
        if blocked > 0 {
            let parked = events.iter().filter(|event| self.is_blocked(number, event)).cloned().collect::<Vec<_>>();
            let bytes = parked.iter().map(|event| ROW + u64::from(event.size())).sum();
            // Before an outage is over a reader would fill the ledger with what the log has.
            let early = from == From::Reader && self.breaker.has_opened();
            if early || !self.ledger.has_room(blocked, bytes) {
                return Err(NoRoom { need: Need { rows: blocked, bytes }, events });
            }
            let queued = events.into_iter().filter(|event| !parked.iter().any(|other| Arc::ptr_eq(event, other)));
            let queued = queued.collect::<Vec<_>>();
            let parked = parked.into_iter().map(|event| self.delivery(number, (from, event), turn)).collect();
            self.park_untried(parked, turn);
            queued.into_iter().for_each(|event| self.push(self.delivery(number, (from, event), turn)));
            return Ok(());
        }
        events.into_iter().for_each(|event| self.push(self.delivery(number, (from, event), turn)));
        Ok(())
    }

    fn delivery(&self, place: u32, group: (From, Arc<Emitted>), turn: &Turn<'_>) -> Delivery {
        let (from, event) = group;
        let size = if self.settings.batch.is_some() { event.size() } else { 0 };
        Delivery { place, event, from, since: turn.now, domain: None, size }
    }

    /// Puts a delivery into its queue and its domain.
    pub(crate) fn push(&mut self, mut delivery: Delivery) {
        let place = self.places.get(delivery.place);
        if place.closing {
            place.aside.push(delivery);
            return;
        }
        place.queued += 1;
        if self.settings.ordering == Ordering::Key {
            delivery.domain = delivery.event.event.key.as_ref().map(|key| self.domains.number(&place.key, key));
        }
        let (stream, domain, spot) = (place.key.stream, delivery.domain, delivery.spot());
        let number = self.queue_of(stream).push(delivery);
        if let Some(domain) = domain {
            self.domains.get(domain).queue(spot, number);
            self.judge(Some(domain));
        }
    }

    fn hold(&mut self, number: u32, events: Vec<Arc<Emitted>>, turn: &mut Turn<'_>) {
        let limit = self.settings.queue;
        let more = events.iter().map(|event| self.delivery(number, (From::Intake, Arc::clone(event)), turn));
        let more = more.collect::<Vec<_>>();
        match &mut self.places.get(number).stand {
            Stand::Joining { held, .. } if held.is_empty() || held.len() + more.len() <= limit => held.extend(more),
            _ => {
                self.cancel_join(number, turn);
                self.leave_to_cursor(number, &events, turn);
            }
        }
    }

    /// Leaves out events that have a ledger row; live ones settle with the row.
    fn leave_out_known(
        &mut self,
        number: u32,
        events: Vec<Arc<Emitted>>,
        (from, turn): (From, &mut Turn<'_>),
    ) -> Vec<Arc<Emitted>> {
        if self.ledger.rows() == 0 {
            return events;
        }
        let mut fresh = Vec::with_capacity(events.len());
        for event in events {
            let delivery = self.delivery(number, (from, event), turn);
            let key = delivery.key(self.sid, self.places.at(number).key.stream);
            let known = self.ledger.know(&key);
            if known == Known::No {
                fresh.push(delivery.event);
                continue;
            }
            self.places.get(number).raise(key.offset);
            match self.ticket(&delivery) {
                Some(ticket) if known == Known::Durable => turn.settle(ticket),
                Some(ticket) => self.ledger.wait(&key, ticket),
                None => {}
            }
        }
        fresh
    }

    /// Whether it goes to the ledger at once, behind an earlier delivery of the same order domain.
    fn is_blocked(&self, number: u32, event: &Emitted) -> bool {
        let (place, spot) = (&self.places.at(number).key, Spot::at(event));
        let domain = event.event.key.as_ref().and_then(|key| self.domains.find(place, key));
        domain.is_some_and(|domain| self.domains.blocks(domain, spot))
    }
}

/// Why a place is behind when the gate is shut.
pub(crate) fn reason(shut: Shut) -> BehindReason {
    match shut {
        Shut::Breaker => BehindReason::Failing,
        Shut::LedgerFull | Shut::DeadLettersFull => BehindReason::Full,
        Shut::Paused => BehindReason::Paused,
        Shut::Disabled | Shut::Deleted => BehindReason::Disabled,
        Shut::Unverified | Shut::Changing => BehindReason::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::partition::Opening;
    use crate::lane::world::log::{at, event, settings, status};
    use crate::lane::world::solo::Solo;
    use crate::model::outcome::RetryAfter::Absent;
    use crate::model::subscription::Ordering;

    use crate::lane::settings::DeliverySettings;
    use crate::lane::signal::{Change, Joined};
    use crate::model::cursor::CursorMode;

    #[test]
    fn a_full_queue_detaches_and_an_empty_one_takes_any_group() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        solo.offer(1, &[0; 5]);
        assert_eq!(solo.lane.queued(), 5);
        solo.offer(2, &[0]);
        assert_eq!((solo.lane.queued(), solo.cursor()), (0, Some((CursorMode::Behind, 1))), "nothing was tried yet");
        assert!(solo.settled.is_empty(), "INV-3");
        solo.offer(3, &[0, 0]);
        solo.flush();
        assert_eq!((solo.settled.len(), solo.lane.counts().rows), (8, 0), "no rows: the log has them");
        solo.offer(4, &[0]);
        assert_eq!(solo.settled.len(), 9, "the cursor is durable: at once");
    }

    #[test]
    fn a_follower_of_a_parked_key_is_parked_behind_it_and_other_keys_go_on() {
        let mut solo = Solo::new(settings(Ordering::Key, 0));
        solo.offer(1, &[1]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(500, Absent));
        solo.offer(2, &[1, 2]);
        let parked = solo.changes().filter(|change| matches!(change, Change::Park(..))).count();
        assert_eq!((parked, solo.lane.queued()), (2, 1));
        assert_eq!(solo.starts()[0].1, [2]);
    }

    #[test]
    fn inv_4_nothing_has_a_row_while_an_earlier_one_of_its_key_that_was_held_has_none() {
        let breaker = crate::lane::settings::BreakerSettings { consecutive: 999, ratio: 1.0, ..Default::default() };
        let mut solo = Solo::behind(DeliverySettings { breaker, ..settings(Ordering::Key, 0) }, 0);
        for offset in 0..5 {
            assert_eq!(solo.scan(offset, &[2]), Ride::On);
            let (attempt, _) = solo.starts()[0].clone();
            solo.finish(attempt, status(200, Absent)); // the endpoint is well
        }
        assert_eq!(solo.scan(5, &[1]), Ride::On);
        let (attempt, _) = solo.starts()[0].clone();
        assert_eq!(solo.act(|lane, turn| lane.join(&at(0), 7, turn)), Joined::Holding);
        solo.offer(7, &[1]);
        solo.finish(attempt, status(500, Absent));
        assert_eq!(solo.scan(6, &[0]), Ride::Live, "what was held is queued, behind the row");
        solo.offer(8, &[1]);
        let parked = |change: &Change| match change {
            Change::Park(key, ..) => Some(key.offset),
            _ => None,
        };
        assert_eq!(solo.changes().filter_map(parked).collect::<Vec<_>>(), [5], "a kill would leave 8 without 7");
        assert_eq!(solo.lane.queued(), 3);
    }

    #[test]
    fn inv_3_what_is_read_again_while_the_end_of_its_row_is_not_durable_settles_with_that() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        solo.offer(1, &[0]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(500, Absent));
        let parked = solo.changes().find_map(|change| match change {
            Change::Park(key, head, _) => Some((key.clone(), head.clone())),
            _ => None,
        });
        solo.flush();
        let opening = Opening { epoch: 2, cursors: Vec::new(), rows: parked.into_iter().collect() };
        solo.act(|lane, turn| {
            lane.forget(&at(0), turn);
            lane.open(&at(0), opening, turn);
        });
        (solo.now, solo.settled) = (solo.now + 60_000, Vec::new());
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(200, Absent));
        let group = Group { epoch: 2, offset: 1, events: vec![event(0, 1, (0, 0))] };
        solo.act(|lane, turn| lane.offer(&at(0), group, turn));
        assert!(solo.settled.is_empty(), "a commit now and a kill would leave a row of what was accepted");
        solo.flush();
        assert_eq!(solo.settled, [1]);
    }

    #[test]
    fn inv_5_inv_11_a_group_whose_blocked_part_finds_no_room_is_not_taken_at_all() {
        let mut solo = Solo::new(DeliverySettings { queue: 9, ..settings(Ordering::Key, 0) });
        solo.offer(1, &[1]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(500, Absent));
        solo.offer(2, &[2, 1, 1, 1, 1]);
        assert_eq!((solo.lane.queued(), solo.lane.counts().rows), (0, 1));
        assert_eq!(solo.cursor(), Some((CursorMode::Behind, 2)));
        solo.flush();
        assert_eq!(solo.scan(2, &[2, 1, 1, 1, 1]), Ride::Off);
        assert!(solo.lane.riders().is_empty(), "not before there is room for it");
    }

    #[test]
    fn inv_14_a_group_of_another_epoch_changes_nothing() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 0);
        let events = vec![crate::lane::world::log::event(0, 1, (0, 0))];
        solo.act(|lane, turn| lane.offer(&at(0), Group { epoch: 7, offset: 1, events }, turn));
        assert!(solo.settled.is_empty() && solo.writes.is_empty());
    }

    #[test]
    fn inv_11_one_endpoint_that_fails_half_of_what_it_gets_costs_no_more_rows_than_its_budget_and_what_was_in_memory() {
        let breaker = crate::lane::settings::BreakerSettings { consecutive: 999, ratio: 1.0, ..Default::default() };
        let mut solo = Solo::new(DeliverySettings { breaker, ..settings(Ordering::Key, 0) });
        let (budget, slots, queue) = (solo.lane.settings.ledger_rows, 3, 3);
        for offset in 0..600 {
            solo.offer(offset, &[(offset % 7) as u8 + 1]);
            if offset % 3 == 0 {
                for (nth, (attempt, _)) in solo.starts().into_iter().enumerate() {
                    solo.finish(attempt, status(if nth % 2 == 0 { 500 } else { 200 }, Absent));
                }
            }
            assert!(solo.lane.counts().rows <= budget + slots + queue, "{:?}", solo.lane.counts());
            solo.flush();
            solo.wait(300);
            if let Some(rider) = solo.lane.riders().first().cloned() {
                let all = rider.next..=offset;
                all.take_while(|next| solo.scan(*next, &[(*next % 7) as u8 + 1]) == Ride::On).for_each(drop);
                solo.act(|lane, turn| lane.join(&at(0), offset + 1, turn));
            }
        }
        assert!(solo.lane.counts().rows > 0);
    }
}
