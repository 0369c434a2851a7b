//! From behind to live: intake and the lane agree on an offset `J` between two records; the reader brings all
//! below it, intake all from it on, which is held until the reader is there (protocol T9).

use crate::lane::gate::{Gate, Shut};
use crate::lane::place::{Place, Stand};
use crate::lane::signal::{Joined, PlaceKey, Ride, Rider, Turn};
use crate::lane::state::Lane;
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

    /// Whether some place could ask to join: then intake should, for each partition it is about to pause at.
    #[must_use]
    pub fn wants_to_join(&self) -> bool {
        self.places.away() > 0 && self.places.iter().any(|(_, place)| place.is_behind() && place.key.stream == 0)
    }

    /// A reader passed everything before `next`: a record that held nothing for the rider, a gap, or the end.
    pub fn passed(&mut self, key: &PlaceKey, next: i64, turn: &mut Turn<'_>) -> Ride {
        let Some(number) = self.places.find(&key.at, key.stream) else { return Ride::Off };
        let place = self.places.get(number);
        place.advance(next);
        place.need = crate::lane::place::Need::default();
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
        waiting.filter_map(|(_, place)| Some(rider(place, place.next()?))).collect()
    }

    /// Whether a reader is worth its while for this place now.
    pub(crate) fn is_rider(&self, place: &Place) -> bool {
        let Some(next) = place.next() else { return false };
        let queue = if place.key.stream == 0 { &self.queue } else { &self.replays };
        place.is_covered()
            && !place.closing
            && place.to.is_none_or(|to| next < to)
            && queue.len() * 2 <= self.settings.queue
            && (place.need.rows == 0
                || self.ledger.has_room(place.need.rows, place.need.bytes)
                || self.ledger.rows() == 0)
            && !matches!(self.gate(), Gate::Shut(_))
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

    /// Whether the subscription is gone.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.reasons.has(Shut::Deleted)
    }
}

fn rider(place: &Place, next: i64) -> Rider {
    Rider { place: place.key.clone(), next, to: place.to, since: place.since }
}
