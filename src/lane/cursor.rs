//! What time and commits bring: deliveries that wait too long, cursors that move, rows that are not needed any more
//! (protocol T7, T9 e and f, T10), ranges that retention took (section 6).

use crate::lane::breaker::Rows;
use crate::lane::flights::HasRow;
use crate::lane::park::{Draft, To};
use crate::lane::place::{Cover, Place, Stand, Stored};
use crate::lane::queue::{Delivery, From};
use crate::lane::signal::{Change, Effect, PlaceKey, Turn, WriteId};
use crate::lane::state::Lane;
use crate::model::cursor::{BehindReason, CursorKey, CursorMode, CursorRow};
use crate::model::dead_letter::DeadRange;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// The lowest delivery of a place that is in memory without a row.
#[derive(Clone, Copy, Debug)]
struct Lowest {
    offset: i64,
    near: Timestamp,
}

// === impl Lane ===

impl Lane {
    /// What time brings. Call it at [`Lane::wake_at`].
    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        self.settle_old(turn);
        let rows = if self.ledger.next_due().is_some() { Rows::Some } else { Rows::None };
        let moved = self.breaker.tick(turn.now, rows, self.flights.len());
        self.breaker_moved(moved, turn);
        if turn.now.since(self.beat) >= Self::BEAT {
            self.beat = turn.now;
            self.move_cursors(turn);
        }
        self.after(turn);
    }

    /// The group has committed `offset` on `at`, acknowledged: a cursor that says no more than that goes.
    pub fn committed(&mut self, at: &TopicPartition, offset: i64, turn: &mut Turn<'_>) {
        let Some(number) = self.places.find(at, 0) else { return };
        let place = self.places.get(number);
        place.committed = place.committed.max(offset);
        self.release(number, turn);
    }

    /// The log of `key`'s partition begins at `low`: what the place had not read below it is lost, and said so.
    pub fn overtaken(&mut self, key: &PlaceKey, low: i64, turn: &mut Turn<'_>) {
        let Some(number) = self.places.find(&key.at, key.stream) else { return };
        let Some(from) = self.places.at(number).next().filter(|next| *next < low) else { return };
        if matches!(self.places.at(number).stand, Stand::Joining { .. }) {
            self.cancel_join(number, turn);
        }
        let lowest = self.lowest().get(&number).copied();
        let place = self.places.get(number);
        place.advance(low);
        place.seen = place.seen.max(low);
        let PlaceKey { at, stream } = key.clone();
        let range = DeadRange { sid: self.sid, at, stream, died: turn.now, from, to: low };
        let offset = lowest.map_or(low, |lowest| lowest.offset.min(low));
        let draft = Draft { changes: vec![Change::Lost(range)], ..Draft::default() };
        self.write_cursor(number, To { mode: CursorMode::Behind, offset, near: None }, (draft, turn));
        self.after(turn);
    }

    /// A cursor row, or its removal, is durable.
    pub(crate) fn cursor_flushed(&mut self, key: &CursorKey, row: (WriteId, Option<CursorRow>), turn: &mut Turn<'_>) {
        let (id, row) = row;
        let Some(number) = self.places.find(&key.at, key.stream) else { return };
        let place = self.places.get(number);
        if place.row.is_some_and(|stored| stored.write == Some(id)) {
            place.row = row.map(|row| Stored { row: Some(row), write: None });
        }
        if place.cover == Cover::Soon(id) {
            place.cover = Cover::Durable;
            place.waiting.drain(..).for_each(|ticket| turn.effects.push(Effect::Settle(ticket)));
        }
        match row.map(|row| row.mode) {
            Some(CursorMode::Behind) => {}
            Some(CursorMode::Live) => self.release(number, turn),
            None if place.to.is_some() => {
                turn.effects.push(Effect::Ended(place.key.clone()));
                self.places.remove(number);
                self.places.recount();
            }
            None => {}
        }
    }

    /// Nothing live may wait longer than `settle_within` (INV-13).
    fn settle_old(&mut self, turn: &mut Turn<'_>) {
        let (within, now) = (self.settings.settle_within, turn.now);
        let is_old = |delivery: &Delivery| delivery.from == From::Intake && now.since(delivery.since) >= within;
        self.park_flights(turn, is_old);
        let late = self.queue.iter().filter(|delivery| is_old(delivery)).map(|delivery| delivery.place);
        for number in late.collect::<BTreeSet<_>>() {
            if self.places.at(number).queued > 0 {
                let reason = if self.is_failing() { BehindReason::Failing } else { BehindReason::Slow };
                self.detach(number, (None, reason), turn);
            }
        }
        for number in self.places.numbers() {
            if self.places.at(number).held().any(is_old) {
                self.cancel_join(number, turn);
            }
        }
    }

    fn move_cursors(&mut self, turn: &mut Turn<'_>) {
        if !self.places.iter().any(|(_, place)| place.has_row()) {
            return;
        }
        let lowest = self.lowest();
        for number in self.places.numbers() {
            self.move_cursor(number, lowest.get(&number).copied(), turn);
        }
    }

    fn move_cursor(&mut self, number: u32, lowest: Option<Lowest>, turn: &mut Turn<'_>) {
        let place = self.places.at(number);
        let Some(row) = place.cursor().filter(|_| !place.closing) else { return };
        match (&place.stand, place.joined) {
            (Stand::Behind { next } | Stand::Joining { next, .. }, _) => {
                let mut to = To { mode: CursorMode::Behind, offset: *next, near: place.near };
                if let Some(lowest) = lowest.filter(|lowest| lowest.offset < *next) {
                    (to.offset, to.near) = (lowest.offset, Some(lowest.near));
                }
                let over = place.to.is_some_and(|end| *next >= end) && lowest.is_none();
                if to.offset > row.offset {
                    self.write_cursor(number, to, (Draft::default(), turn));
                } else if over && self.ledger.of_stream(&place.key.at, place.key.stream) == 0 {
                    self.drop_cursor(number, turn);
                }
            }
            (Stand::Live { .. }, Some(join)) if row.mode == CursorMode::Behind => {
                if lowest.is_none_or(|lowest| lowest.offset >= join) {
                    let to = To { mode: CursorMode::Live, offset: join, near: place.near };
                    self.places.get(number).joined = None;
                    self.write_cursor(number, to, (Draft::default(), turn));
                }
            }
            (Stand::Live { .. }, _) => self.release(number, turn),
        }
    }

    /// Drops a durable {live, J} once an acknowledged commit has reached J.
    fn release(&mut self, number: u32, turn: &mut Turn<'_>) {
        let place = self.places.at(number);
        let durable = place.cursor().filter(|_| place.row_is_durable() && !place.closing);
        let spent = |row: CursorRow| row.mode == CursorMode::Live && place.committed >= row.offset;
        if place.is_live() && durable.is_some_and(spent) {
            self.drop_cursor(number, turn);
        }
    }

    fn drop_cursor(&mut self, number: u32, turn: &mut Turn<'_>) {
        let PlaceKey { at, stream } = self.places.at(number).key.clone();
        let changes = vec![Change::DropCursor(CursorKey { at, stream, sid: self.sid })];
        let id = self.write(number, Draft { changes, ..Draft::default() }, turn);
        self.places.get(number).row = Some(Stored { row: None, write: Some(id) });
    }

    /// Of each place the lowest delivery that is queued, or out without a row.
    fn lowest(&self) -> HashMap<u32, Lowest> {
        let mut lowest: HashMap<u32, Lowest> = HashMap::new();
        let out = self.flights.members().filter(|member| member.row == HasRow::No).map(|member| &member.delivery);
        for delivery in self.queue.iter().chain(self.replays.iter()).chain(out) {
            let (offset, near) = (delivery.offset(), delivery.event.event.origin.timestamp);
            let entry = lowest.entry(delivery.place).or_insert(Lowest { offset, near });
            if offset < entry.offset {
                *entry = Lowest { offset, near };
            }
        }
        lowest
    }
}

// === impl Place ===

impl Place {
    /// What is held until the reader arrives.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Delivery> {
        let held = match &self.stand {
            Stand::Joining { held, .. } => Some(held),
            Stand::Live { .. } | Stand::Behind { .. } => None,
        };
        held.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::world::log::{at, settings, status};
    use crate::lane::world::solo::{Solo, main};
    use crate::model::outcome::RetryAfter::Absent;
    use crate::model::subscription::Ordering;

    use crate::lane::settings::{BreakerSettings, DeliverySettings};
    use crate::lane::signal::Joined;
    use crate::model::weight::Weight;

    #[test]
    fn inv_13_what_is_out_for_settle_within_is_parked_while_its_attempt_goes_on() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        solo.offer(1, &[0]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.wait(4_999);
        assert!(solo.writes.is_empty());
        solo.wait(1);
        solo.flush();
        assert_eq!(solo.settled, [1]);
        solo.now += 9_000;
        assert!(solo.start().is_none(), "INV-6: its row is busy");
        solo.finish(attempt, status(200, Absent));
        assert!(matches!(solo.changes().next(), Some(Change::Unpark(..))));
        solo.flush();
        assert_eq!((solo.settled.len(), solo.lane.counts().rows), (1, 0), "it settles once");
    }

    #[test]
    fn inv_9_what_a_parked_follower_overtook_is_parked_and_the_follower_is_not_read_again() {
        let breaker = BreakerSettings { consecutive: 999, ratio: 1.0, ..BreakerSettings::default() };
        let mut solo = Solo::new(DeliverySettings { breaker, concurrency: 2, ..settings(Ordering::Key, 0) });
        solo.offer(1, &[1]);
        solo.offer(2, &[2]);
        let first = solo.starts();
        solo.offer(3, &[2]);
        solo.offer(4, &[1]);
        solo.finish(first[0].0, status(500, Absent));
        solo.flush();
        solo.now += 3_000;
        for offset in [1, 4] {
            let (attempt, offsets) = solo.starts()[0].clone();
            assert_eq!(offsets, [offset]);
            solo.finish(attempt, status(200, Absent));
            solo.flush();
        }
        solo.act(|lane, turn| lane.shed(turn));
        assert_eq!(solo.cursor(), Some((CursorMode::Behind, 5)), "4 was accepted already");
        assert_eq!(solo.lane.counts().rows, 2, "2 is out and 3 was overtaken");
    }

    #[test]
    fn inv_13_what_is_queued_for_settle_within_is_left_to_the_cursor() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        solo.starts();
        (4..=5).for_each(|offset| solo.offer(offset, &[0]));
        solo.wait(5_000);
        assert_eq!((solo.lane.queued(), solo.cursor()), (0, Some((CursorMode::Behind, 4))));
        solo.flush();
        assert_eq!(solo.settled.len(), 5);
    }

    #[test]
    fn the_cursor_follows_the_lowest_delivery_that_has_no_row() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        (5..8).for_each(|offset| {
            solo.scan(offset, &[0]);
        });
        let (attempt, _) = solo.starts()[0].clone();
        solo.wait(1_000);
        assert_eq!(solo.cursor(), Some((CursorMode::Behind, 5)));
        solo.finish(attempt, status(200, Absent));
        solo.starts();
        solo.wait(1_000);
        assert_eq!(solo.cursor(), Some((CursorMode::Behind, 6)), "6 and 7 are out");
    }

    #[test]
    fn the_row_says_live_when_all_below_is_settled_and_goes_only_when_a_commit_tells_as_much() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        solo.scan(5, &[0]);
        solo.scan(6, &[0]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(200, Absent));
        let out = solo.starts();
        assert_eq!(solo.act(|lane, turn| lane.join(&at(0), 7, turn)), Joined::Live);
        solo.wait(1_000);
        assert_eq!(solo.cursor(), Some((CursorMode::Behind, 5)), "6 is out still");
        for (attempt, _) in out {
            solo.finish(attempt, status(200, Absent));
        }
        solo.wait(1_000);
        assert_eq!(solo.cursor(), Some((CursorMode::Live, 7)));
        solo.act(|lane, turn| lane.committed(&at(0), 7, turn));
        assert!(solo.cursor().is_some(), "not before it is durable");
        solo.flush();
        assert_eq!(solo.cursor(), None, "the commit came first");

        let mut solo = Solo::behind(settings(Ordering::None, 0), 9);
        solo.act(|lane, turn| lane.join(&at(0), 5, turn));
        solo.wait(1_000);
        solo.flush();
        for committed in [5, 8] {
            solo.act(|lane, turn| lane.committed(&at(0), committed, turn));
            solo.wait(1_000);
            assert_eq!(solo.cursor(), Some((CursorMode::Live, 9)));
        }
        solo.act(|lane, turn| lane.committed(&at(0), 9, turn));
        assert_eq!(solo.cursor(), None);
    }

    #[test]
    fn inv_15_a_commit_that_was_acknowledged_before_the_place_went_live_lets_its_row_go_too() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 7);
        solo.act(|lane, turn| lane.committed(&at(0), 7, turn));
        assert_eq!(solo.act(|lane, turn| lane.join(&at(0), 7, turn)), Joined::Live);
        solo.wait(1_000);
        solo.flush();
        solo.flush();
        assert_eq!(solo.cursor(), None, "there may never be another commit");
    }

    #[test]
    fn what_retention_took_is_told_although_the_dead_letters_are_full() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        solo.act(|lane, turn| lane.letters_found(Weight { rows: 99, bytes: 1 << 40 }, turn));
        assert_eq!(solo.lane.full(), Some("dead_letters"));
        let before = solo.lane.counts().letters;
        solo.act(|lane, turn| lane.overtaken(&main(), 20, turn));
        assert!(
            solo.changes().any(|change| matches!(change, Change::Lost(range) if (range.from, range.to) == (5, 20)))
        );
        assert_eq!(solo.lane.counts().letters, before, "and weighs nothing");
    }

    #[test]
    fn what_retention_took_is_one_dead_range_in_one_batch_with_the_cursor() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        solo.scan(5, &[0]);
        solo.act(|lane, turn| lane.overtaken(&main(), 20, turn));
        let [write] = &solo.writes[..] else { panic!("{:?}", solo.writes) };
        let [Change::Lost(range), Change::Cursor(_, row)] = &write.changes[..] else { panic!("{write:?}") };
        assert_eq!((range.from, range.to, row.offset), (6, 20, 5), "5 is in memory, and will be delivered");
        assert!(solo.lane.riders().iter().all(|rider| rider.next == 20));
        solo.act(|lane, turn| lane.overtaken(&main(), 20, turn));
        assert_eq!(solo.writes.len(), 1, "once");
    }
}
