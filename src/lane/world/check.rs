//! What must hold at every step and at the end: the invariants of `protocol.md` section 12, by number.

use crate::lane::ledger::Known;
use crate::lane::place::Stand;
use crate::lane::world::drive::World;
use crate::lane::world::log::{GROUP, LETTERS, QUEUE, ROWS, SLOTS, Step, at, event, sid};
use crate::model::cursor::{CursorKey, CursorMode};
use crate::model::delivery::LedgerKey;
use crate::model::subscription::Ordering;
use crate::model::weight::Weight;
use std::collections::BTreeSet;

impl World {
    /// The deliveries of a record without a ledger row.
    pub(crate) fn fresh(&self, p: usize, offset: i64, stream: u128) -> Vec<LedgerKey> {
        let keys = (0..self.parts[p].log[offset as usize].len()).map(|ord| self.key(p, offset, (stream, ord as u32)));
        keys.filter(|key| self.lane.ledger.know(key) == Known::No).collect()
    }

    /// INV-5: all of a group is the lane's, or nothing of it.
    pub(crate) fn check_group(&self, p: usize, offset: i64, (stream, fresh): (u128, Vec<LedgerKey>)) {
        let has = |key: &LedgerKey| self.has(key, stream);
        let taken = fresh.iter().filter(|key| has(key)).count();
        assert!(taken == 0 || taken == fresh.len(), "INV-5: {taken} of {}", fresh.len());
        let Some(number) = self.lane.places.find(&at(p), stream) else { return };
        let place = self.lane.places.at(number);
        let covered = place.next().is_some() || offset < place.floor();
        assert!(taken == fresh.len() || covered, "taken, or behind a cursor: {place:?}");
    }

    pub(crate) fn has(&self, key: &LedgerKey, stream: u128) -> bool {
        let lane = &self.lane;
        let held = lane.places.iter().flat_map(|(_, place)| place.held().chain(&place.aside));
        let mut memory = lane.queue.iter().chain(lane.replays.iter()).chain(held);
        let stream_of = |number: u32| lane.places.at(number).key.stream;
        memory.any(|delivery| stream_of(delivery.place) == stream && delivery.key(sid(), stream) == *key)
            || lane.ledger.know(key) != Known::No
    }

    pub(crate) fn check_start(&self, key: &LedgerKey, before: &[LedgerKey], how: &str) {
        let p = key.at.partition as usize;
        let out = self.out.iter().flat_map(|out| &out.keys);
        assert!(out.clone().all(|other| other != key), "INV-6: one attempt per delivery at a time");
        // A row of an earlier life may stand at or above J, where a commit was lost: it is tried again all the same.
        if !self.flushed.rows.contains_key(key)
            && let Some(number) = self.lane.places.find(&key.at, key.stream)
            && let Stand::Joining { join, .. } = self.lane.places.at(number).stand
        {
            assert!(key.offset < join, "INV-7: nothing at or above J starts while joining");
        }
        let all = self.deliveries(p, key.stream);
        let mine = all.iter().find(|(other, _)| other == key).expect("it is of the log").1;
        if self.lane.settings.ordering == Ordering::None || mine == 0 {
            return;
        }
        let domain = all.iter().filter(|(_, other)| *other == mine).map(|(other, _)| other);
        for earlier in domain.clone().take_while(|other| *other != key) {
            let done = self.is_done(earlier) && out.clone().all(|other| other != earlier);
            let excused = self.unordered.contains(key);
            assert!(
                done || excused || before.contains(earlier),
                "INV-4: {earlier:?} is not settled before {key:?} is {how}"
            );
        }
        let domain = domain.collect::<BTreeSet<_>>();
        assert!(out.clone().all(|other| !domain.contains(other)), "INV-12: one of a domain at a time");
    }

    /// INV-1, INV-2, INV-3: what the durable state says is settled, is.
    pub(crate) fn seal(&mut self) {
        for p in 0..self.parts.len() {
            for stream in self.streams() {
                let row = self.flushed.cursors.get(&CursorKey { at: at(p), stream, sid: sid() });
                let below = match row.map(|row| (row.mode, row.offset)) {
                    Some((CursorMode::Behind, offset)) => offset,
                    Some((CursorMode::Live, offset)) => offset.max(self.parts[p].committed),
                    None if stream == 0 => self.parts[p].committed,
                    None => i64::MAX,
                };
                for (key, _) in self.deliveries(p, stream) {
                    if key.offset >= below || self.flushed.rows.contains_key(&key) {
                        continue;
                    }
                    assert!(self.is_done(&key), "INV-2: durably settled, but neither accepted nor owed: {key:?}");
                    self.sealed.insert(key);
                }
            }
        }
    }

    pub(crate) fn check(&self) {
        let counts = self.lane.counts();
        assert!(counts.in_flight <= usize::from(SLOTS));
        let queued = counts.queued.saturating_sub(self.lane.replays.len());
        assert!(queued <= 2 * QUEUE + GROUP, "the queue, and what was held: {counts:?}");
        let members = usize::from(SLOTS) * self.settings.batch.map_or(1, |batch| batch.max_events);
        let most = ROWS + members + (2 * QUEUE + GROUP) + (QUEUE + GROUP); // the queue, what was held; replays
        assert!(counts.rows <= most, "INV-11: {counts:?}");
        assert_eq!(counts.regressions, 0, "INV-8");
        let letters = counts.letters.rows;
        assert!(letters <= LETTERS + members as u64 + 1, "what is out may still die: {counts:?}");
    }

    /// All dead letters are removed: the lane hears of it.
    pub(crate) fn forget_letters(&mut self) {
        let letters = self.lane.counts().letters;
        self.forgotten += letters.rows;
        self.act(|lane, turn| lane.letters_gone(letters, turn));
    }

    /// After a death the lane hears what the store holds.
    pub(crate) fn recall_letters(&mut self) {
        let rows = (self.flushed.dead.len() as u64).saturating_sub(self.forgotten);
        self.act(|lane, turn| lane.letters_found(Weight { rows, bytes: rows }, turn));
    }

    /// Receivers are up: everything ends accepted or dead, and nothing is left (INV-15).
    pub(crate) fn heal(&mut self) {
        for _ in 0..600 {
            self.apply(Step::Resume);
            self.apply(Step::Forget);
            for p in 0..self.parts.len() {
                if self.parts[p].stopped {
                    self.apply(Step::Close(p));
                }
                self.apply(Step::Admit(p));
                self.apply(Step::Scan(p, 4));
                self.apply(Step::Join(p));
            }
            while !self.out.is_empty() {
                self.apply(Step::Finish(0, 0));
            }
            self.apply(Step::Start);
            self.apply(Step::Flush(usize::MAX));
            (0..self.parts.len()).for_each(|p| self.apply(Step::Commit(p)));
            self.apply(Step::Wait(20_000));
            if self.is_quiet() {
                break;
            }
        }
        assert!(self.is_quiet(), "INV-15: {:?} {:?} {:?}", self.lane, self.flushed, self.parts);
        for (p, stream) in (0..self.parts.len()).flat_map(|p| self.streams().into_iter().map(move |s| (p, s))) {
            for (key, _) in self.deliveries(p, stream) {
                assert!(self.is_done(&key), "lost: {key:?}");
            }
        }
    }

    pub(crate) fn is_quiet(&self) -> bool {
        let counts = self.lane.counts();
        let empty = counts.queued == 0 && counts.in_flight == 0 && counts.rows == 0 && counts.behind == 0;
        let durable = self.pending.is_empty() && self.flushed.rows.is_empty() && self.flushed.cursors.is_empty();
        let ended = self.parts.iter().all(|part| part.committed == part.log.len() as i64 && part.open.is_empty());
        let domains = self.lane.domains.len() == 0;
        empty && counts.joining == 0 && durable && ended && domains
    }

    pub(crate) fn watermark(&self, p: usize) -> i64 {
        self.parts[p].open.keys().next().copied().unwrap_or(self.parts[p].position)
    }

    pub(crate) fn key(&self, p: usize, offset: i64, (stream, ord): (u128, u32)) -> LedgerKey {
        let key = self.parts[p].log[offset as usize][ord as usize];
        LedgerKey { stream, ..LedgerKey::of(&event(p, offset, (ord, key)).event, sid()) }
    }

    /// All deliveries of a stream on a partition, in order, with their ordering keys.
    pub(crate) fn deliveries(&self, p: usize, stream: u128) -> Vec<(LedgerKey, u8)> {
        let (from, to) = match self.replays.get(&stream) {
            Some((of, from, to)) if *of == p => (*from, *to),
            Some(_) => (0, 0),
            None => (0, self.parts[p].log.len() as i64),
        };
        let spots = (from..to).flat_map(|offset| {
            let keys = self.parts[p].log[offset as usize].clone();
            (0u32..).zip(keys).map(move |(ord, key)| (offset, ord, key))
        });
        spots.map(|(offset, ord, key)| (self.key(p, offset, (stream, ord)), key)).collect()
    }

    pub(crate) fn streams(&self) -> Vec<u128> {
        std::iter::once(0).chain(self.replays.keys().copied()).collect()
    }

    pub(crate) fn is_done(&self, key: &LedgerKey) -> bool {
        self.book.contains_key(key) || self.flushed.dead.contains(key)
    }
}
