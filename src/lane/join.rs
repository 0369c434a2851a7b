//! From behind to live: intake and the lane agree on an offset `J` between two records; the reader brings all
//! below it, intake all from it on, which is held until the reader is there (protocol T9).

use crate::lane::breaker::Pass;
use crate::lane::gate::Gate;
use crate::lane::park::{Draft, To};
use crate::lane::place::{Need, Place, Stand};
use crate::lane::queue::Queue;
use crate::lane::signal::{Joined, PlaceKey, Ride, Rider, Room, Turn};
use crate::lane::state::Lane;
use crate::model::cursor::CursorMode;
use crate::model::record::TopicPartition;

/// A reader this close to intake may ask to join.
const CLOSE: i64 = 1_000;

// === impl Lane ===

impl Lane {
    /// Asks to join at intake's `position` on `at`. Must be called by intake, between two records: what is below
    /// the position was offered, what is at or above it was not.
    pub fn join(&mut self, at: &TopicPartition, position: i64, turn: &mut Turn<'_>) -> Joined {
        let Some(number) = self.places.find(at, 0) else { return Joined::Live };
        let place = self.places.at(number);
        let next = match place.stand {
            Stand::Live { .. } => return Joined::Live,
            Stand::Joining { .. } => return Joined::Holding,
            Stand::Behind { next } => next,
        };
        let half_empty = self.queue.len() * 2 <= self.settings.queue;
        let open = !matches!(self.gate(), Gate::Shut(_)) && !place.closing;
        if !open || !half_empty || !place.is_covered() || !place.may_ask(turn.now) || position - next > CLOSE {
            return Joined::NotYet;
        }
        let place = self.places.get(number);
        if next > position {
            place.go_live(next); // ahead of intake, which skips what is below: no reader is needed
            self.places.recount();
            return Joined::Live;
        }
        place.stand = Stand::Joining { next, join: position, held: std::collections::VecDeque::new() };
        self.arrive(number);
        if self.places.at(number).is_live() { Joined::Live } else { Joined::Holding }
    }

    /// What lies between the cursor on `at` and intake's `position` is skipped, because somebody wants it so: the place
    /// is live from there on. Gives where it stood; `None`: it is not behind that.
    pub fn skip(&mut self, at: &TopicPartition, position: i64, turn: &mut Turn<'_>) -> Option<i64> {
        let number = self.places.find(at, 0)?;
        let from = self.places.at(number).next().filter(|next| *next < position)?;
        if matches!(self.places.at(number).stand, Stand::Joining { .. }) {
            self.cancel_join(number, turn);
        }
        let place = self.places.get(number);
        // Who waits for the cursor that this one replaces settles with it.
        let settles = std::mem::take(&mut place.waiting);
        place.go_live(position);
        place.joined = None;
        let (draft, near) = (Draft { settles, ..Draft::default() }, Some(turn.now));
        self.write_cursor(number, To { mode: CursorMode::Live, offset: position, near }, (draft, turn));
        self.places.recount();
        self.after(turn);
        Some(from)
    }

    /// A reader passed everything before `next`: a record that held nothing for the rider, a gap, or the end.
    pub fn passed(&mut self, key: &PlaceKey, next: i64, turn: &mut Turn<'_>) -> Ride {
        let Some(number) = self.places.find(&key.at, key.stream) else { return Ride::Off };
        let place = self.places.get(number);
        place.advance(next);
        place.need = Need::default();
        self.arrive(number);
        let place = self.places.at(number);
        let ride = match (place.next(), place.to) {
            (None, _) => Ride::Live,
            (Some(next), Some(to)) if next >= to => Ride::Ended,
            _ if place.closing || matches!(self.gate(), Gate::Shut(_)) => Ride::Off,
            _ => Ride::On,
        };
        self.after(turn);
        ride
    }

    /// Where a reader has to go on for this place; `None`: it needs none, or is gone. It may stand before what the
    /// reader passed, because what was queued was left to the cursor: then the reader must let go of it.
    #[must_use]
    pub fn next_of(&self, key: &PlaceKey) -> Option<i64> {
        self.places.at(self.places.find(&key.at, key.stream)?).next()
    }

    /// Whether a reader is still to bring the record at `offset` to this place; else intake has brought it, or the
    /// reader has passed it.
    #[must_use]
    pub fn is_left_to_reader(&self, key: &PlaceKey, offset: i64) -> bool {
        let Some(number) = self.places.find(&key.at, key.stream) else { return false };
        match self.places.at(number).stand {
            Stand::Live { .. } => false,
            Stand::Behind { next } => next <= offset,
            Stand::Joining { next, join, .. } => next <= offset && offset < join,
        }
    }

    /// The reader of this place failed: a join of it is called off.
    pub fn stranded(&mut self, key: &PlaceKey, turn: &mut Turn<'_>) {
        let Some(number) = self.places.find(&key.at, key.stream) else { return };
        if matches!(self.places.at(number).stand, Stand::Joining { .. }) {
            self.cancel_join(number, turn);
        }
        self.called = false; // it waits again
        self.after(turn);
    }

    /// The places that wait for a scan, of those the lane has room for now.
    pub fn riders(&mut self) -> Vec<Rider> {
        self.called = false;
        let waiting = self.places.iter().filter(|(_, place)| self.is_rider(place));
        waiting.filter_map(|(_, place)| self.rider(place)).collect()
    }

    /// Where the places on `at` stand that are not live and go forward.
    #[must_use]
    pub fn going_forward(&self, at: &TopicPartition) -> Vec<i64> {
        if matches!(self.gate(), Gate::Shut(_)) {
            return Vec::new();
        }
        self.places.on(at).into_iter().filter_map(|number| self.places.at(number).next()).collect()
    }

    fn rider(&self, place: &Place) -> Option<Rider> {
        let joins = matches!(place.stand, Stand::Joining { .. });
        let soon = joins || self.queue_for(place).len() * 4 <= self.reader_room();
        let room = if soon { Room::Most } else { Room::Half };
        Some(Rider { place: place.key.clone(), next: place.next()?, to: place.to, since: place.since, room })
    }

    fn queue_for(&self, place: &Place) -> &Queue {
        if place.key.stream == 0 { &self.queue } else { &self.replays }
    }

    /// Whether a reader is worth its while for this place now.
    pub(crate) fn is_rider(&self, place: &Place) -> bool {
        let Some(next) = place.next() else { return false };
        place.is_covered()
            && !place.closing
            && place.to.is_none_or(|to| next < to)
            && self.queue_for(place).len() * 2 <= self.reader_room()
            && self.has_room_for(place.need)
            && !matches!(self.gate(), Gate::Shut(_))
    }

    fn has_room_for(&self, need: Need) -> bool {
        let room = || !self.breaker.has_opened() && self.ledger.has_room(need.rows, need.bytes);
        need.rows == 0 || self.ledger.rows() == 0 || room()
    }

    /// How many deliveries a reader may have in the queue. After an outage no more than may go at once: what is taken and
    /// then overtaken by a failure costs rows.
    pub(crate) fn reader_room(&self) -> usize {
        match self.breaker.pass() {
            Pass::Few(few) if self.breaker.has_opened() => self.settings.queue.min(usize::from(few)),
            Pass::Few(_) | Pass::All | Pass::None => self.settings.queue,
        }
    }

    /// Goes live when the reader has come to the agreed offset; only now may what is held start (INV-7).
    fn arrive(&mut self, number: u32) {
        let place = self.places.get(number);
        let Stand::Joining { next, join, .. } = place.stand else { return };
        if next < join {
            return;
        }
        let held = place.take_held();
        place.go_live(join);
        self.places.recount();
        held.into_iter().for_each(|delivery| self.push(delivery));
    }

    /// Calls a join off. What is held settles: the cursor is durable, and not above it.
    pub(crate) fn cancel_join(&mut self, number: u32, turn: &mut Turn<'_>) {
        let place = self.places.get(number);
        let Some(next) = place.next() else { return };
        let held = place.take_held();
        place.stand = Stand::Behind { next };
        place.put_off(turn.now);
        held.iter().filter_map(|delivery| self.ticket(delivery)).for_each(|ticket| turn.settle(ticket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::settings::DeliverySettings;
    use crate::lane::signal::Effect;
    use crate::lane::world::log::{at, settings, status};
    use crate::lane::world::solo::{Solo, main};
    use crate::model::outcome::RetryAfter::Absent;
    use crate::model::subscription::Ordering;

    fn join(solo: &mut Solo, position: i64) -> Joined {
        solo.act(|lane, turn| lane.join(&at(0), position, turn))
    }

    #[test]
    fn inv_7_what_is_held_starts_only_when_the_reader_has_come_to_the_agreed_offset() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        assert_eq!(join(&mut solo, 7), Joined::Holding);
        solo.offer(7, &[0]);
        assert!(solo.starts().is_empty());
        assert_eq!(solo.scan(5, &[0]), Ride::On);
        let first = solo.starts();
        assert_eq!((first.len(), &first[0].1), (1, &vec![5]));
        solo.finish(first[0].0, status(200, Absent));
        assert_eq!(solo.scan(6, &[0]), Ride::Live, "the reader is there");
        let offsets = solo.starts().into_iter().flat_map(|(_, offsets)| offsets).collect::<Vec<_>>();
        assert_eq!(offsets, [6, 7]);
        assert_eq!(solo.lane.counts().live, 1);
    }

    #[test]
    fn a_gap_or_the_end_brings_the_reader_to_the_agreed_offset_too() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        join(&mut solo, 7);
        assert_eq!(solo.act(|lane, turn| lane.passed(&main(), 6, turn)), Ride::On);
        assert_eq!(solo.scan(9, &[0]), Ride::Live, "intake brings that one");
        assert_eq!(solo.lane.queued(), 0);
    }

    #[test]
    fn a_hold_that_is_full_or_old_calls_the_join_off_and_the_next_one_waits_longer() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        join(&mut solo, 7);
        (7..11).for_each(|offset| solo.offer(offset, &[0]));
        assert_eq!((solo.lane.counts().behind, solo.settled.len()), (1, 4), "the cursor stands before them");
        assert_eq!(join(&mut solo, 11), Joined::NotYet);
        solo.now += 1_000;
        assert_eq!(join(&mut solo, 11), Joined::Holding);
        solo.offer(11, &[0]);
        solo.wait(5_000);
        assert_eq!((solo.lane.counts().behind, solo.settled.len()), (1, 5), "INV-13");
        solo.now += 1_999;
        assert_eq!(join(&mut solo, 12), Joined::NotYet);
        solo.now += 1;
        assert_eq!(join(&mut solo, 12), Joined::Holding);
    }

    #[test]
    fn inv_8_a_reader_that_says_less_than_before_moves_nothing_back() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        solo.act(|lane, turn| lane.passed(&main(), 8, turn));
        solo.act(|lane, turn| lane.passed(&main(), 6, turn));
        assert_eq!(solo.lane.next_of(&main()), Some(8));
    }

    #[test]
    fn a_place_far_behind_or_with_a_full_queue_does_not_ask() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        assert_eq!(join(&mut solo, 1_006), Joined::NotYet);
        (5..8).for_each(|offset| assert_eq!(solo.scan(offset, &[0]), Ride::On));
        assert_eq!(join(&mut solo, 8), Joined::NotYet);
    }

    #[test]
    fn ahead_of_intake_no_reader_is_needed_and_what_is_below_is_settled() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 9);
        assert_eq!(join(&mut solo, 5), Joined::Live);
        solo.offer(5, &[0, 0]);
        assert_eq!((solo.settled.len(), solo.lane.queued()), (2, 0));
        solo.offer(9, &[0]);
        assert_eq!((solo.settled.len(), solo.lane.queued()), (2, 1));
    }

    #[test]
    fn what_is_skipped_is_settled_and_nothing_of_it_comes() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        solo.act(|lane, turn| lane.pause(turn));
        (20..22).for_each(|offset| solo.offer(offset, &[0]));
        assert_eq!(solo.act(|lane, turn| lane.skip(&at(0), 22, turn)), Some(5));
        assert_eq!((solo.lane.counts().live, solo.cursor()), (1, Some((CursorMode::Live, 22))));
        solo.flush();
        assert_eq!(solo.settled, [20, 21]);
        solo.act(|lane, turn| lane.resume(turn));
        assert!(solo.lane.riders().is_empty());
        solo.offer(22, &[0]);
        assert_eq!(solo.starts()[0].1, [22]);
        assert_eq!(solo.act(|lane, turn| lane.skip(&at(0), 30, turn)), None, "it is live");
    }

    #[test]
    fn who_waits_for_the_cursor_that_is_skipped_settles_with_the_new_one() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        solo.act(|lane, turn| lane.pause(turn));
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        solo.act(|lane, turn| lane.skip(&at(0), 4, turn));
        assert!(solo.settled.is_empty(), "nothing is durable yet");
        solo.flush();
        assert_eq!(solo.settled.len(), 3);
    }

    #[test]
    fn a_join_that_is_skipped_settles_what_it_holds() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        join(&mut solo, 7);
        solo.offer(7, &[0]);
        assert_eq!(solo.act(|lane, turn| lane.skip(&at(0), 8, turn)), Some(5));
        solo.flush();
        assert_eq!((solo.settled.clone(), solo.lane.counts().live), (vec![7], 1));
    }

    #[test]
    fn what_is_held_is_never_parked() {
        let mut solo = Solo::behind(settings(Ordering::Key, 0), 5);
        assert_eq!(solo.scan(5, &[1]), Ride::On);
        join(&mut solo, 7);
        solo.offer(7, &[1]);
        solo.act(|lane, turn| lane.shed(turn));
        assert_eq!((solo.lane.counts().rows, solo.cursor().map(|(_, offset)| offset)), (0, Some(5)));
        solo.flush();
        assert_eq!(solo.settled, [7]);
    }

    #[test]
    fn a_rider_gets_off_where_the_lane_is_full_and_comes_back_when_its_queue_is_half_empty() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        (5..8).for_each(|offset| assert_eq!(solo.scan(offset, &[0]), Ride::On));
        assert_eq!(solo.scan(8, &[0]), Ride::Off);
        assert!(solo.lane.riders().is_empty());
        while solo.lane.queued() > 1 {
            let (attempt, _) = solo.starts()[0].clone();
            solo.finish(attempt, status(200, Absent));
        }
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::Read)), "INV-15: a reader is called again");
        assert!(solo.lane.riders().iter().all(|rider| rider.next == 8) && solo.lane.riders().len() == 1);
    }

    #[test]
    fn in_an_outage_a_reader_brings_a_probe_and_not_a_queue_full_that_would_become_rows() {
        let mut solo = Solo::new(DeliverySettings { queue: 100, ..settings(Ordering::None, 0) });
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        for (attempt, _) in solo.starts() {
            solo.finish(attempt, status(500, Absent));
        }
        solo.offer(4, &[0]);
        solo.flush();
        for _ in 0..3 {
            solo.wait(1_000);
            let (attempt, _) = solo.starts()[0].clone();
            solo.finish(attempt, status(500, Absent));
            solo.flush();
        }
        solo.wait(1_000);
        assert!(matches!(solo.lane.gate(), Gate::HalfOpen(1)));
        assert_eq!(solo.lane.riders().len(), 1);
        assert_eq!((solo.scan(4, &[0]), solo.scan(5, &[0])), (Ride::On, Ride::Off));
        assert!(solo.lane.riders().is_empty());
        let (attempt, offsets) = solo.starts()[0].clone();
        solo.finish(attempt, status(200, Absent));
        assert_eq!((offsets, solo.lane.riders().len()), (vec![4], 1), "it goes on with the next");
    }

    #[test]
    fn in_an_outage_a_reader_parks_nothing_behind_rows_and_goes_on_when_it_is_over() {
        let mut solo = Solo::new(DeliverySettings { queue: 100, ledger_rows: 100, ..settings(Ordering::Key, 0) });
        (0..6).for_each(|offset| solo.offer(offset, &[1 + (offset % 3) as u8]));
        for (attempt, _) in solo.starts() {
            solo.finish(attempt, status(500, Absent));
        }
        solo.offer(6, &[1]);
        solo.flush();
        solo.wait(1_000);
        let (probe, _) = solo.starts()[0].clone();
        solo.finish(probe, status(200, Absent));
        assert!(matches!(solo.lane.gate(), Gate::HalfOpen(_)));
        solo.flush();
        assert_eq!((solo.scan(6, &[2]), solo.lane.counts().rows), (Ride::Off, 5));
        assert!(solo.lane.riders().is_empty());
        while solo.lane.gate() != Gate::Open {
            solo.now += 2_500;
            let (attempt, _) = solo.starts()[0].clone();
            solo.finish(attempt, status(200, Absent));
            solo.flush();
        }
        assert!(solo.lane.counts().rows > 0, "not only when the ledger is empty");
        assert_eq!((solo.lane.riders().len(), solo.scan(6, &[2])), (1, Ride::On));
    }
}
