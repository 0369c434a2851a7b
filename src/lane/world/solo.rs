//! One lane, a clock that is set by hand, and a store that takes everything: for promises about single moves.

use crate::lane::partition::Opening;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{AttemptId, Change, Effect, Finished, Group, PlaceKey, Ride, Start, Turn, What, Write};
use crate::lane::state::Lane;
use crate::lane::world::log::{at, event, sid};
use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
use crate::model::event::Emitted;
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use std::sync::Arc;

pub(crate) struct Solo {
    pub(crate) lane: Lane,
    pub(crate) now: i64,
    /// Effects of the last call.
    pub(crate) effects: Vec<Effect>,
    /// Batches that are not durable yet.
    pub(crate) writes: Vec<Write>,
    /// Offsets that settled.
    pub(crate) settled: Vec<i64>,
}

impl Solo {
    pub(crate) fn new(settings: DeliverySettings) -> Self {
        let lane = Lane::new(sid(), settings);
        Self { lane, now: 1_000_000, effects: Vec::new(), writes: Vec::new(), settled: Vec::new() }
    }

    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Speaks to the lane, and keeps what it wants done.
    pub(crate) fn act<T>(&mut self, work: impl FnOnce(&mut Lane, &mut Turn<'_>) -> T) -> T {
        let (mut effects, mut dice, now) = (Vec::new(), || 0.5, self.time());
        let answer = work(&mut self.lane, &mut Turn { now, dice: &mut dice, effects: &mut effects });
        self.effects.clear();
        for effect in effects {
            match effect {
                Effect::Settle(ticket) => self.settled.push(ticket.offset),
                Effect::Write(write) => self.writes.push(write),
                effect => self.effects.push(effect),
            }
        }
        answer
    }

    /// Intake offers a record with these ordering keys on partition 0, in epoch 1.
    pub(crate) fn offer(&mut self, offset: i64, keys: &[u8]) {
        let events = (0..).zip(keys).map(|(ord, key)| event(0, offset, (ord, *key))).collect();
        self.act(|lane, turn| lane.offer(&at(0), Group { epoch: 1, offset, events }, turn));
    }

    pub(crate) fn start(&mut self) -> Option<Start> {
        self.lane.start(self.time())
    }

    /// All that may start now; the offsets of each attempt.
    pub(crate) fn starts(&mut self) -> Vec<(AttemptId, Vec<i64>)> {
        let offset = |event: &Arc<Emitted>| event.event.origin.offset;
        let starts = std::iter::from_fn(|| self.start());
        let offsets = starts.map(|start| match start.what {
            What::First(event) => (start.attempt, vec![offset(&event)]),
            What::Batch(events) => (start.attempt, events.iter().map(offset).collect()),
            What::Retry(key) | What::Bury(key) => (start.attempt, vec![key.offset]),
        });
        offsets.collect()
    }

    /// An attempt ends; the event is made again for a retry.
    pub(crate) fn finish(&mut self, attempt: AttemptId, outcome: Outcome) {
        let finished = Finished { attempt, outcome, event: Some(event(0, 0, (0, 0))) };
        self.act(|lane, turn| lane.finished(finished, turn));
    }

    /// Time passes, and the lane is told.
    pub(crate) fn wait(&mut self, millis: i64) {
        self.now += millis;
        self.act(|lane, turn| lane.tick(turn));
    }

    /// All that was asked for is durable.
    pub(crate) fn flush(&mut self) {
        while !self.writes.is_empty() {
            for write in std::mem::take(&mut self.writes) {
                self.act(|lane, turn| lane.flushed(&write, turn));
                self.settled.extend(write.settles.iter().map(|ticket| ticket.offset));
            }
        }
    }

    /// The changes that are not durable yet.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.writes.iter().flat_map(|write| &write.changes)
    }

    /// A place on partition 0 that is behind at `next`, as a start finds it; with nothing else of the lane there.
    pub(crate) fn behind(settings: DeliverySettings, next: i64) -> Self {
        let mut solo = Self::new(settings);
        let row = CursorRow {
            mode: CursorMode::Behind,
            offset: next,
            near: None,
            since: solo.time(),
            reason: BehindReason::Slow,
            to: None,
        };
        let opening = Opening { epoch: 1, cursors: vec![(0, row)], rows: Vec::new() };
        solo.act(|lane, turn| lane.open(&at(0), opening, turn));
        solo
    }

    /// A reader brings a record with these ordering keys to the main stream of partition 0.
    pub(crate) fn scan(&mut self, offset: i64, keys: &[u8]) -> Ride {
        let events = (0..).zip(keys).map(|(ord, key)| event(0, offset, (ord, *key))).collect();
        self.act(|lane, turn| lane.scan_offer(&main(), (offset, events), turn))
    }

    /// The cursor of partition 0's main stream, as it was last asked to be.
    pub(crate) fn cursor(&self) -> Option<(CursorMode, i64)> {
        let cursor = self.lane.cursors().find(|(key, _)| **key == main());
        cursor.map(|(_, row)| (row.mode, row.offset))
    }
}

/// The main stream of partition 0.
pub(crate) fn main() -> PlaceKey {
    PlaceKey { at: at(0), stream: 0 }
}
