//! Tests: the delivery protocol as a whole, driven by random schedules that may die between any two effects.
//!
//! A fake store keeps any prefix of the batches that were not flushed; a receiver keeps a book; several partitions
//! come, go and are lost. The checks are those of `protocol.md` section 12, named where they are made.

use crate::lane::gate::{Gate, Shut};
use crate::lane::partition::Opening;
use crate::lane::place::Stand;
use crate::lane::settings::{BreakerSettings, DeliverySettings};
use crate::lane::signal::{AttemptId, Change, Effect, Finished, Group, Joined, PlaceKey, Ride, Turn, What, Write};
use crate::lane::state::Lane;
use crate::model::cursor::{BehindReason, CursorKey, CursorMode, CursorRow};
use crate::model::delivery::{LedgerHead, LedgerKey, Ticket};
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::{EventId, Sid};
use crate::model::outcome::{Answer, FailureCause, Outcome, RetryAfter};
use crate::model::record::{Origin, TopicPartition};
use crate::model::subscription::{Batching, OnBlocked, Ordering, Retry};
use crate::model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const QUEUE: usize = 3;
pub(crate) const SLOTS: u16 = 3;
pub(crate) const ROWS: usize = 4;
const GROUP: usize = 5;

/// One step of a schedule.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Admit(usize),
    Start,
    /// The receiver takes an attempt; the lane does not know yet.
    Accept(usize),
    Finish(usize, u8),
    /// An attempt ends that was cut off long ago.
    Late(usize, u8),
    Wait(u32),
    /// After a tick and a flush nothing is open for longer than `settle_within`.
    Settle,
    Flush(usize),
    Commit(usize),
    Scan(usize, usize),
    Strand(usize),
    Join(usize),
    Kill(usize),
    Stop(usize),
    Close(usize),
    Lose(usize),
    Pause,
    Resume,
    Shed,
    Reorder,
    Replay(usize, i64, i64),
}

/// A partition of the log, and how far intake is.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Record by record the ordering keys of what it holds for the subscription; 0: no key.
    pub(crate) log: Vec<Vec<u8>>,
    epoch: u64,
    position: i64,
    committed: i64,
    open: BTreeMap<i64, u32>,
    admitted: BTreeMap<i64, Timestamp>,
    stopped: bool,
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    rows: BTreeMap<LedgerKey, LedgerHead>,
    cursors: BTreeMap<CursorKey, CursorRow>,
    dead: BTreeSet<LedgerKey>,
}

/// An attempt that is out.
#[derive(Debug)]
struct Out {
    attempt: AttemptId,
    keys: Vec<LedgerKey>,
    accepted: bool,
    bury: bool,
}

pub(crate) struct World {
    pub(crate) lane: Lane,
    settings: DeliverySettings,
    pub(crate) parts: Vec<Part>,
    now: Timestamp,
    epochs: u64,
    pub(crate) flushed: Image,
    pending: VecDeque<Write>,
    out: Vec<Out>,
    cut: Vec<AttemptId>,
    /// The receiver's book: how often each was accepted.
    pub(crate) book: BTreeMap<LedgerKey, u32>,
    /// What the durable state said is settled, once: it must not come again.
    sealed: BTreeSet<LedgerKey>,
    /// What may come twice: cut off, or not sealed at a kill.
    excused: BTreeSet<LedgerKey>,
    replays: BTreeMap<u128, (usize, i64, i64)>,
    paused: bool,
    rolls: u64,
}

pub(crate) fn sid() -> Sid {
    Sid::from_bytes([7; 16])
}

pub(crate) fn at(partition: usize) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: partition as i32 }
}

pub(crate) fn event(partition: usize, offset: i64, (ord, key): (u32, u8)) -> Arc<Emitted> {
    let timestamp = Timestamp::from_millis(offset);
    let origin = Origin { topic: "t".into(), partition: partition as i32, offset, timestamp };
    Arc::new(Emitted::new(IntegrationEvent {
        id: EventId::derive(&origin, "m", ord),
        origin,
        mapping: "m".into(),
        ord,
        source: "/s".into(),
        event_type: "e".into(),
        subject: None,
        time: timestamp,
        tenant: None,
        key: (key > 0).then(|| key.to_string()),
        traceparent: None,
        data: serde_json::Value::Null,
    }))
}

pub(crate) fn status(status: u16, retry_after: RetryAfter) -> Outcome {
    Outcome::Answered(Answer { status, retry_after, head: bytes::Bytes::new() })
}

fn outcome(what: u8) -> Outcome {
    match what % 16 {
        0..=7 => status(204, RetryAfter::Absent),
        8..=11 => status(500, RetryAfter::Absent),
        12 => status(429, RetryAfter::Seconds(Duration::from_secs(3))),
        13 => status(413, RetryAfter::Absent),
        14 => Outcome::Failed { cause: FailureCause::Timeout, detail: String::new() },
        _ => status(410, RetryAfter::Absent),
    }
}

/// Settings with small bounds; `variant` tries what may be combined.
pub(crate) fn settings(ordering: Ordering, variant: u8) -> DeliverySettings {
    let seconds = Duration::from_secs;
    let retry = Retry { schedule: vec![seconds(2), seconds(8)], max_age: seconds(600), jitter: 0.2 };
    let batch = Batching { max_events: 3, max_bytes: 1_000, max_wait: seconds(1) };
    DeliverySettings {
        retry,
        ordering,
        queue: QUEUE,
        concurrency: SLOTS,
        ledger_rows: ROWS,
        batch: (variant & 1 == 1).then_some(batch),
        on_blocked: if variant & 2 == 2 { OnBlocked::DeadLetter } else { OnBlocked::Wait },
        rate: (variant & 4 == 4).then_some(2),
        breaker: BreakerSettings { consecutive: 3, ..BreakerSettings::default() },
        ..DeliverySettings::default()
    }
}

impl World {
    pub(crate) fn new(settings: DeliverySettings, logs: Vec<Vec<Vec<u8>>>) -> Self {
        let parts = logs.into_iter().map(|log| Part { log, ..Part::default() }).collect();
        let mut world = Self {
            lane: Lane::new(sid(), settings.clone()),
            settings,
            parts,
            now: Timestamp::from_millis(1_000_000),
            epochs: 0,
            flushed: Image::default(),
            pending: VecDeque::new(),
            out: Vec::new(),
            cut: Vec::new(),
            book: BTreeMap::new(),
            sealed: BTreeSet::new(),
            excused: BTreeSet::new(),
            replays: BTreeMap::new(),
            paused: false,
            rolls: 0,
        };
        (0..world.parts.len()).for_each(|p| world.open(p));
        world
    }

    /// Speaks to the lane, then follows its effects.
    fn act<T>(&mut self, work: impl FnOnce(&mut Lane, &mut Turn<'_>) -> T) -> T {
        let (mut effects, rolls) = (Vec::new(), &mut self.rolls);
        let mut dice = || {
            *rolls += 1;
            (*rolls % 10) as f64 / 10.0
        };
        let mut turn = Turn { now: self.now, dice: &mut dice, effects: &mut effects };
        let answer = work(&mut self.lane, &mut turn);
        for effect in effects {
            match effect {
                Effect::Settle(ticket) => self.settle(&ticket),
                Effect::Write(write) => {
                    for change in &write.changes {
                        if let Change::Park(key, head, _) = change {
                            self.lane.weigh(key, head.body_len);
                        }
                    }
                    self.pending.push_back(write);
                }
                Effect::Cut(attempt) => {
                    let place = self.out.iter().position(|out| out.attempt == attempt).expect("it is out");
                    self.excused.extend(self.out.remove(place).keys);
                    self.cut.push(attempt);
                }
                Effect::Disable(_) | Effect::Read | Effect::News(_) => {}
                Effect::Ended(place) => {
                    let cursors = self.flushed.cursors.keys();
                    assert_eq!(cursors.filter(|key| key.stream == place.stream).count(), 0, "its cursor is gone");
                }
            }
        }
        answer
    }

    fn settle(&mut self, ticket: &Ticket) {
        let part = &mut self.parts[ticket.at.partition as usize];
        if part.epoch != ticket.epoch {
            return; // INV-14
        }
        let left = part.open.get_mut(&ticket.offset).expect("each delivery settles once");
        *left -= 1;
        if *left == 0 {
            part.open.remove(&ticket.offset);
        }
    }

    fn watermark(&self, p: usize) -> i64 {
        self.parts[p].open.keys().next().copied().unwrap_or(self.parts[p].position)
    }

    fn group(&self, p: usize, offset: i64) -> Vec<Arc<Emitted>> {
        let keys = &self.parts[p].log[offset as usize];
        (0..).zip(keys).map(|(ord, key)| event(p, offset, (ord, *key))).collect()
    }

    fn key(&self, p: usize, offset: i64, (stream, ord): (u128, u32)) -> LedgerKey {
        let key = self.parts[p].log[offset as usize][ord as usize];
        LedgerKey { stream, ..LedgerKey::of(&event(p, offset, (ord, key)).event, sid()) }
    }

    /// All deliveries of a stream on a partition, in order, with their ordering keys.
    fn deliveries(&self, p: usize, stream: u128) -> Vec<(LedgerKey, u8)> {
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

    fn streams(&self) -> Vec<u128> {
        std::iter::once(0).chain(self.replays.keys().copied()).collect()
    }

    fn is_done(&self, key: &LedgerKey) -> bool {
        self.book.contains_key(key) || self.flushed.dead.contains(key)
    }

    pub(crate) fn apply(&mut self, step: Step) {
        let many = self.parts.len();
        match step {
            Step::Admit(p) => self.admit(p % many),
            Step::Start => self.start(),
            Step::Accept(nth) if !self.out.is_empty() => self.accept(nth % self.out.len()),
            Step::Finish(nth, what) if !self.out.is_empty() => self.finish(nth % self.out.len(), what),
            Step::Late(nth, what) if !self.cut.is_empty() => {
                let attempt = self.cut[nth % self.cut.len()];
                let finished = Finished { attempt, outcome: outcome(what), event: None };
                let before = (self.lane.counts(), self.pending.len());
                self.act(|lane, turn| lane.finished(finished, turn));
                assert_eq!((self.lane.counts(), self.pending.len()), before, "INV-14");
            }
            Step::Accept(_) | Step::Finish(..) | Step::Late(..) => {}
            Step::Wait(millis) => {
                self.now = self.now.after(Duration::from_millis(u64::from(millis)));
                self.act(|lane, turn| lane.tick(turn));
            }
            Step::Settle => {
                self.act(|lane, turn| lane.tick(turn));
                self.flush(usize::MAX);
                for part in self.parts.iter().filter(|part| !part.stopped) {
                    let old = |offset: &i64| self.now.since(part.admitted[offset]) >= self.settings.settle_within;
                    assert!(!part.open.keys().any(old), "INV-13: {part:?}");
                }
            }
            Step::Flush(many) => self.flush(many),
            Step::Commit(p) => self.commit(p % many),
            Step::Scan(p, records) => self.scan(p % many, records),
            Step::Strand(p) => self.act(|lane, turn| lane.stranded(&PlaceKey { at: at(p % many), stream: 0 }, turn)),
            Step::Join(p) => self.join(p % many),
            Step::Kill(keep) => self.kill(keep),
            Step::Stop(p) => {
                self.parts[p % many].stopped = true;
                self.lane.stop(&at(p % many));
            }
            Step::Close(p) => self.close(p % many),
            Step::Lose(p) => self.lose(p % many),
            Step::Pause => {
                self.paused = true;
                self.act(|lane, turn| lane.pause(turn));
            }
            Step::Resume => {
                self.paused = false;
                self.act(|lane, turn| lane.resume(turn));
            }
            Step::Shed => self.act(|lane, turn| lane.shed(turn)),
            Step::Reorder => self.act(|lane, turn| lane.configure(turn_order(lane), turn)),
            Step::Replay(p, from, length) => self.replay(p % many, from, length),
        }
        self.check();
    }

    fn admit(&mut self, p: usize) {
        let part = &mut self.parts[p];
        if part.stopped || part.position as usize >= part.log.len() {
            return;
        }
        let (epoch, offset) = (part.epoch, part.position);
        let size = part.log[offset as usize].len();
        if size > 0 {
            part.open.insert(offset, size as u32);
            part.admitted.insert(offset, self.now);
            let events = self.group(p, offset);
            let fresh = self.fresh(p, offset, 0);
            self.act(|lane, turn| lane.offer(&at(p), Group { epoch, offset, events }, turn));
            self.check_group(p, offset, (0, fresh));
        }
        self.parts[p].position = offset + 1;
    }

    /// The deliveries of a record without a ledger row.
    fn fresh(&self, p: usize, offset: i64, stream: u128) -> Vec<LedgerKey> {
        let keys = (0..self.parts[p].log[offset as usize].len()).map(|ord| self.key(p, offset, (stream, ord as u32)));
        keys.filter(|key| self.lane.ledger.know(key) == crate::lane::ledger::Known::No).collect()
    }

    /// INV-5: all of a group is the lane's, or nothing of it.
    fn check_group(&self, p: usize, offset: i64, (stream, fresh): (u128, Vec<LedgerKey>)) {
        let has = |key: &LedgerKey| self.has(key, stream);
        let taken = fresh.iter().filter(|key| has(key)).count();
        assert!(taken == 0 || taken == fresh.len(), "INV-5: {taken} of {}", fresh.len());
        let Some(number) = self.lane.places.find(&at(p), stream) else { return };
        let place = self.lane.places.at(number);
        let covered = place.next().is_some() || offset < place.floor();
        assert!(taken == fresh.len() || covered, "taken, or behind a cursor: {place:?}");
    }

    fn has(&self, key: &LedgerKey, stream: u128) -> bool {
        let lane = &self.lane;
        let held = lane.places.iter().flat_map(|(_, place)| place.held().chain(&place.aside));
        let mut memory = lane.queue.iter().chain(lane.replays.iter()).chain(held);
        let stream_of = |number: u32| lane.places.at(number).key.stream;
        memory.any(|delivery| stream_of(delivery.place) == stream && delivery.key(sid(), stream) == *key)
            || lane.ledger.know(key) != crate::lane::ledger::Known::No
    }

    fn start(&mut self) {
        let Some(start) = self.lane.start(self.now) else { return };
        let bury = matches!(start.what, What::Bury(_));
        let keys = match start.what {
            What::Retry(key) | What::Bury(key) => {
                assert!(self.flushed.rows.contains_key(&key), "a row is read when it is durable");
                vec![key]
            }
            // The stream of a first attempt is its place's.
            What::First(_) | What::Batch(_) => {
                let flight =
                    self.lane.flights.iter().find(|(attempt, _)| *attempt == start.attempt).expect("it is out");
                let members = flight.1.load.members().iter();
                members.map(|m| m.delivery.key(sid(), self.lane.places.at(m.delivery.place).key.stream)).collect()
            }
        };
        for (n, key) in keys.iter().enumerate() {
            self.check_start(key, &keys[..n], bury);
        }
        assert!(!matches!(self.lane.gate(), Gate::Shut(Shut::Paused | Shut::Disabled | Shut::Deleted)));
        self.out.push(Out { attempt: start.attempt, keys, accepted: false, bury });
    }

    fn check_start(&self, key: &LedgerKey, before: &[LedgerKey], bury: bool) {
        let p = key.at.partition as usize;
        let out = self.out.iter().flat_map(|out| &out.keys);
        assert!(out.clone().all(|other| other != key), "INV-6: one attempt per delivery at a time");
        if let Some(number) = self.lane.places.find(&key.at, key.stream)
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
            assert!(done || before.contains(earlier), "INV-4: {earlier:?} is not settled before {key:?} ({bury})");
        }
        let domain = domain.collect::<BTreeSet<_>>();
        assert!(out.clone().all(|other| !domain.contains(other)), "INV-12: one of a domain at a time");
    }

    fn accept(&mut self, nth: usize) {
        let out = &mut self.out[nth];
        if out.accepted || out.bury {
            return;
        }
        out.accepted = true;
        for key in out.keys.clone() {
            assert!(!self.sealed.contains(&key), "twin of what was durably settled: {key:?}");
            let times = self.book.entry(key.clone()).or_default();
            *times += 1;
            assert!(*times == 1 || self.excused.contains(&key), "INV-9: a twin without a cause: {key:?}");
        }
    }

    fn finish(&mut self, nth: usize, what: u8) {
        let mut result = outcome(what);
        if result.accepted() {
            self.accept(nth);
        }
        let Out { attempt, keys, accepted, bury } = self.out.remove(nth);
        if accepted {
            result = status(200, RetryAfter::Absent);
        }
        let of = keys[0].clone();
        let key = self.parts[of.at.partition as usize].log[of.offset as usize][of.ord as usize];
        let event = event(of.at.partition as usize, of.offset, (of.ord, key));
        if bury {
            self.act(|lane, turn| lane.buried(attempt, event, turn));
        } else {
            self.act(|lane, turn| lane.finished(Finished { attempt, outcome: result, event: Some(event) }, turn));
        }
    }

    /// Makes durable so many batches; then their tickets settle.
    fn flush(&mut self, many: usize) {
        for _ in 0..many.min(self.pending.len()) {
            let Some(write) = self.pending.pop_front() else { return };
            self.flushed.take(&write);
            self.act(|lane, turn| lane.flushed(&write, turn));
            write.settles.iter().for_each(|ticket| self.settle(ticket));
            self.seal();
        }
    }

    fn commit(&mut self, p: usize) {
        let watermark = self.watermark(p);
        assert!(watermark >= self.parts[p].committed, "INV-8: the watermark never falls within an epoch");
        self.parts[p].committed = watermark;
        self.seal();
        self.act(|lane, turn| lane.committed(&at(p), watermark, turn));
    }

    /// INV-1, INV-2, INV-3: what the durable state says is settled, is.
    fn seal(&mut self) {
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

    fn scan(&mut self, p: usize, records: usize) {
        let mut riders = self.lane.riders();
        riders.retain(|rider| rider.place.at == at(p));
        let Some(from) = riders.iter().map(|rider| rider.next).min() else { return };
        let end = self.parts[p].position.min(from + records as i64);
        for offset in from..end {
            let mut on = Vec::new();
            for rider in riders {
                if rider.next > offset {
                    on.push(rider);
                    continue;
                }
                let (place, events) = (rider.place.clone(), self.group(p, offset));
                let ride = if events.is_empty() {
                    self.act(|lane, turn| lane.passed(&place, offset + 1, turn))
                } else {
                    let fresh = self.fresh(p, offset, place.stream);
                    let ride = self.act(|lane, turn| lane.scan_offer(&place, (offset, events), turn));
                    if ride == Ride::Off || ride == Ride::On {
                        self.check_group(p, offset, (place.stream, fresh));
                    }
                    ride
                };
                if ride == Ride::On {
                    on.push(rider);
                }
            }
            riders = on;
        }
    }

    fn join(&mut self, p: usize) {
        let position = self.parts[p].position;
        if !self.parts[p].stopped && self.act(|lane, turn| lane.join(&at(p), position, turn)) == Joined::Holding {
            assert!(self.lane.counts().joining > 0);
        }
    }

    fn replay(&mut self, p: usize, from: i64, length: i64) {
        let from = from.min(self.parts[p].position);
        let to = (from + length).min(self.parts[p].position);
        if self.replays.len() >= 2 || from >= to || self.parts[p].stopped {
            return;
        }
        let stream = self.replays.len() as u128 + 1;
        self.replays.insert(stream, (p, from, to));
        let (mode, near, reason) = (CursorMode::Behind, None, BehindReason::Replay);
        let row = CursorRow { mode, offset: from, near, since: self.now, reason, to: Some(to) };
        self.flushed.cursors.insert(CursorKey { at: at(p), stream, sid: sid() }, row);
        let epoch = self.parts[p].epoch;
        self.act(|lane, turn| lane.begin(PlaceKey { at: at(p), stream }, (epoch, row), turn));
    }

    /// The process dies; the store keeps some of what was not flushed.
    fn kill(&mut self, keep: usize) {
        for write in self.pending.drain(..).take(keep) {
            self.flushed.take(&write);
        }
        self.seal();
        self.out.clear();
        self.cut.clear();
        let settings = DeliverySettings { ordering: self.lane.settings.ordering, ..self.settings.clone() };
        let settings = self.lane.changing.take().unwrap_or(settings); // the change was durable before
        self.lane = Lane::new(sid(), settings);
        if self.paused {
            self.act(|lane, turn| lane.pause(turn));
        }
        for p in 0..self.parts.len() {
            self.excuse(p);
            self.open(p);
        }
    }

    fn excuse(&mut self, p: usize) {
        for stream in self.streams() {
            let all = self.deliveries(p, stream).into_iter().map(|(key, _)| key);
            let all = all.filter(|key| !self.sealed.contains(key)).collect::<Vec<_>>();
            self.excused.extend(all);
        }
    }

    fn open(&mut self, p: usize) {
        self.epochs += 1;
        let part = &mut self.parts[p];
        (part.epoch, part.position, part.stopped) = (self.epochs, part.committed, false);
        part.open.clear();
        let cursors = self.flushed.cursors.iter().filter(|(key, _)| key.at == at(p));
        let rows = self.flushed.rows.iter().filter(|(key, _)| key.at == at(p));
        let opening = Opening {
            epoch: self.epochs,
            cursors: cursors.map(|(key, row)| (key.stream, *row)).collect(),
            rows: rows.map(|(key, head)| (key.clone(), head.clone())).collect(),
        };
        self.act(|lane, turn| lane.open(&at(p), opening, turn));
    }

    fn close(&mut self, p: usize) {
        let position = self.parts[p].position;
        self.act(|lane, turn| lane.close(&at(p), position, turn));
        self.flush(usize::MAX);
        assert_eq!(self.watermark(p), position, "a close leaves nothing open");
        self.parts[p].committed = position;
        self.seal();
        self.act(|lane, turn| lane.forget(&at(p), turn));
        self.open(p);
    }

    fn lose(&mut self, p: usize) {
        self.act(|lane, turn| lane.forget(&at(p), turn));
        self.parts[p].epoch = 0;
        self.flush(usize::MAX);
        self.excuse(p);
        self.open(p);
    }

    fn check(&self) {
        let counts = self.lane.counts();
        assert!(counts.in_flight <= usize::from(SLOTS));
        let queued = counts.queued.saturating_sub(self.lane.replays.len());
        assert!(queued <= 2 * QUEUE + GROUP, "the queue, and what was held: {counts:?}");
        let members = usize::from(SLOTS) * self.settings.batch.map_or(1, |batch| batch.max_events);
        let most = ROWS + members + (2 * QUEUE + GROUP) + (QUEUE + GROUP); // the queue, what was held; replays
        assert!(counts.rows <= most, "INV-11: {counts:?}");
        assert_eq!(counts.regressions, 0, "INV-8");
    }

    /// Receivers are up: everything ends accepted or dead, and nothing is left (INV-15).
    pub(crate) fn heal(&mut self) {
        for _ in 0..600 {
            self.apply(Step::Resume);
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

    fn is_quiet(&self) -> bool {
        let counts = self.lane.counts();
        let empty = counts.queued == 0 && counts.in_flight == 0 && counts.rows == 0 && counts.behind == 0;
        let durable = self.pending.is_empty() && self.flushed.rows.is_empty() && self.flushed.cursors.is_empty();
        let ended = self.parts.iter().all(|part| part.committed == part.log.len() as i64 && part.open.is_empty());
        let domains = self.lane.domains.len() == 0;
        empty && counts.joining == 0 && durable && ended && domains
    }
}

fn turn_order(lane: &Lane) -> DeliverySettings {
    let now = lane.changing.as_ref().map_or(lane.settings.ordering, |changing| changing.ordering);
    let ordering = if now == Ordering::Key { Ordering::None } else { Ordering::Key };
    DeliverySettings { ordering, ..lane.settings.clone() }
}

impl Image {
    fn take(&mut self, write: &Write) {
        for change in &write.changes {
            match change {
                Change::Park(key, head, _) => {
                    self.rows.insert(key.clone(), head.clone());
                }
                Change::Head(key, head) => {
                    assert!(self.rows.insert(key.clone(), head.clone()).is_some(), "a head without its body");
                }
                Change::Unpark(key, _) => {
                    self.rows.remove(key);
                }
                Change::Dead(key, ..) => {
                    self.rows.remove(key);
                    self.dead.insert(key.clone());
                }
                Change::Cursor(key, row) => {
                    self.cursors.insert(key.clone(), *row);
                }
                Change::DropCursor(key) => {
                    self.cursors.remove(key);
                }
                Change::Lost(_) => {}
            }
        }
    }
}
