//! The riders of one scan: who they are, and what their lanes are told.
//!
//! A lane may take a rider's place back at any time (what was queued is left to the cursor when memory is short or
//! the endpoint fails, a partition goes and comes again). A scan that went on then would leave a hole. So each rider
//! remembers what it told its lane last, and lets go when the place stands before that.

use crate::catchup::turns::{CLOSE, Who};
use crate::catchup::waiters::Waiter;
use crate::lane::signal::{PlaceKey, Ride, Turn};
use crate::lane::state::Lane;
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::snapshot::Group;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The riders of one scan.
#[derive(Default)]
pub(crate) struct Aboard {
    of: HashMap<Sid, Vec<Passenger>>,
    sids: HashSet<Sid>,
    full: HashSet<Who>,
}

struct Passenger {
    cell: Arc<Cell>,
    place: PlaceKey,
    /// Everything before this was passed, as its lane knows.
    told: i64,
}

/// Whether a rider is still one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    Kept,
    /// It could not take what it was offered, or cannot be offered anything now.
    Off,
    /// It needs no reader any more.
    Left,
}

// === impl Aboard ===

impl Aboard {
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whose places ride.
    pub(crate) fn sids(&self) -> &HashSet<Sid> {
        &self.sids
    }

    pub(crate) fn who(&self) -> HashSet<Who> {
        self.of.values().flatten().map(Passenger::who).collect()
    }

    /// Who got off because it could not take what it was offered.
    pub(crate) fn full(self) -> HashSet<Who> {
        self.full
    }

    pub(crate) fn board(&mut self, waiter: Waiter) {
        let Waiter { cell, rider } = waiter;
        self.sids.insert(cell.sid);
        let passenger = Passenger { told: rider.next, place: rider.place, cell };
        self.of.entry(passenger.cell.sid).or_default().push(passenger);
    }

    /// Offers what the record at `offset` holds for one subscription to its places that ride. Who cannot take it
    /// whole gets off.
    pub(crate) fn offer(&mut self, offset: i64, group: &Group) {
        let sid = group.cell.sid;
        let Some(riders) = self.of.get_mut(&sid) else { return };
        let full = &mut self.full;
        riders.retain_mut(|rider| {
            let seat = rider.offer(offset, &group.events);
            if seat == Seat::Off {
                full.insert(rider.who());
            }
            seat == Seat::Kept
        });
        if riders.is_empty() {
            self.of.remove(&sid);
            self.sids.remove(&sid);
        }
    }

    /// Tells all lanes that everything before `here` was passed; close to intake their places ask to join.
    pub(crate) fn pass(&mut self, here: i64, hands: &Hands) {
        let (of, sids) = (&mut self.of, &mut self.sids);
        of.retain(|sid, riders| {
            riders.retain_mut(|rider| rider.pass(here, hands) == Seat::Kept);
            if riders.is_empty() {
                sids.remove(sid);
            }
            !riders.is_empty()
        });
    }

    /// Reading fails: joins are called off, the places wait again.
    pub(crate) fn strand(&mut self) {
        for rider in self.of.drain().flat_map(|(_, riders)| riders) {
            rider.cell.act(|lane, turn| lane.stranded(&rider.place, turn));
        }
        self.sids.clear();
    }

    /// The log begins at `low`: what of it was not read is lost.
    pub(crate) fn overtaken(&mut self, low: i64) {
        for rider in self.of.drain().flat_map(|(_, riders)| riders) {
            rider.cell.act(|lane, turn| lane.overtaken(&rider.place, low, turn));
        }
        self.sids.clear();
    }
}

// === impl Passenger ===

impl Passenger {
    fn who(&self) -> Who {
        Who { sid: self.cell.sid, stream: self.place.stream }
    }

    fn offer(&mut self, offset: i64, events: &[Arc<Emitted>]) -> Seat {
        let events = self.cell.narrowed.meant(self.place.stream, events);
        if events.is_empty() {
            return Seat::Kept; // that it was passed is told with the next beat
        }
        let take = |lane: &mut Lane, place: &PlaceKey, turn: &mut Turn<'_>| {
            // All before it was passed, whether it gets on or off here.
            match lane.passed(place, offset, turn) {
                Ride::On => lane.scan_offer(place, (offset, events), turn),
                ride => ride,
            }
        };
        self.tell(offset + 1, take)
    }

    fn pass(&mut self, here: i64, hands: &Hands) -> Seat {
        let seat = self.tell(here, |lane, place, turn| lane.passed(place, here, turn));
        if seat == Seat::Kept && self.place.stream == 0 {
            let position = hands.partitions.with(&self.place.at, |progress| progress.position());
            if position.is_some_and(|position| position - here <= CLOSE) {
                hands.readers.ask_to_join(self.cell.sid, &self.cell, &self.place.at);
            }
        }
        seat
    }

    /// INVARIANT: a place only moves over what was read without a hole from where it stood
    /// (`a_place_that_was_put_back_lets_go_and_misses_nothing`).
    fn tell(&mut self, told: i64, say: impl FnOnce(&mut Lane, &PlaceKey, &mut Turn<'_>) -> Ride) -> Seat {
        let (place, before) = (&self.place, self.told);
        let ride = self.cell.act(|lane, turn| match lane.next_of(place) {
            Some(next) if next >= before => say(lane, place, turn),
            Some(_) | None => Ride::Off,
        });
        self.told = told.max(before);
        match ride {
            Ride::On => Seat::Kept,
            Ride::Off => Seat::Off,
            Ride::Live | Ride::Ended => Seat::Left,
        }
    }
}
