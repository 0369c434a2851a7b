//! A lane driven step by step, as its loops would: intake, dispatch, catch-up, the store's writer, and death.

use crate::lane::gate::{Gate, Shut};
use crate::lane::partition::Opening;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{AttemptId, Change, Effect, Finished, Group, Joined, PlaceKey, Ride, Turn, What, Write};
use crate::lane::state::Lane;
use crate::lane::world::log::{Image, Out, Part, Step, at, event, outcome, sid, status, turn_order};
use crate::model::cursor::{BehindReason, CursorKey, CursorMode, CursorRow};
use crate::model::delivery::{LedgerKey, Ticket};
use crate::model::event::Emitted;
use crate::model::outcome::RetryAfter;
use crate::model::subscription::Ordering;
use crate::model::time::Timestamp;
use crate::model::weight::Weight;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct World {
    pub(crate) lane: Lane,
    pub(crate) settings: DeliverySettings,
    pub(crate) parts: Vec<Part>,
    pub(crate) now: Timestamp,
    pub(crate) epochs: u64,
    pub(crate) flushed: Image,
    pub(crate) pending: VecDeque<Write>,
    pub(crate) out: Vec<Out>,
    pub(crate) cut: Vec<AttemptId>,
    /// The receiver's book: how often each was accepted.
    pub(crate) book: BTreeMap<LedgerKey, u32>,
    /// What the durable state said is settled, once: it must not come again.
    pub(crate) sealed: BTreeSet<LedgerKey>,
    /// What may come twice: cut off, or not sealed at a kill.
    pub(crate) excused: BTreeSet<LedgerKey>,
    pub(crate) replays: BTreeMap<u128, (usize, i64, i64)>,
    /// What got its row while nobody asked for order.
    pub(crate) loose: BTreeSet<LedgerKey>,
    /// Of these, those whose row outlived a death: what is read again has no order against them.
    pub(crate) unordered: BTreeSet<LedgerKey>,
    pub(crate) paused: bool,
    pub(crate) rolls: u64,
    /// Dead letters that were removed.
    pub(crate) forgotten: u64,
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
            loose: BTreeSet::new(),
            unordered: BTreeSet::new(),
            paused: false,
            rolls: 0,
            forgotten: 0,
        };
        (0..world.parts.len()).for_each(|p| world.open(p));
        world
    }

    /// Speaks to the lane, then follows its effects.
    pub(crate) fn act<T>(&mut self, work: impl FnOnce(&mut Lane, &mut Turn<'_>) -> T) -> T {
        let (mut effects, rolls) = (Vec::new(), &mut self.rolls);
        let mut dice = || {
            *rolls += 1;
            (*rolls % 10) as f64 / 10.0
        };
        let mut turn = Turn { now: self.now, dice: &mut dice, effects: &mut effects };
        let ordering = self.lane.settings.ordering;
        let answer = work(&mut self.lane, &mut turn);
        for effect in effects {
            match effect {
                Effect::Settle(ticket) => self.settle(&ticket),
                Effect::Write(write) => {
                    for change in &write.changes {
                        if matches!(change, Change::Dead(..)) {
                            self.lane.died(Weight::of(1));
                        }
                        if let Change::Park(key, head, _) = change {
                            self.lane.weigh(key, head.body_len);
                            if ordering == Ordering::None {
                                self.loose.insert(key.clone());
                            }
                        }
                    }
                    self.pending.push_back(write);
                }
                Effect::Cut(attempt) => {
                    let place = self.out.iter().position(|out| out.attempt == attempt).expect("it is out");
                    self.excused.extend(self.out.remove(place).keys);
                    self.cut.push(attempt);
                }
                Effect::Disable(_) | Effect::Mark(_) | Effect::Read | Effect::News(_) => {}
                Effect::Ended(place) => {
                    let cursors = self.flushed.cursors.keys();
                    assert_eq!(cursors.filter(|key| key.stream == place.stream).count(), 0, "its cursor is gone");
                }
            }
        }
        answer
    }

    pub(crate) fn settle(&mut self, ticket: &Ticket) {
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

    pub(crate) fn group(&self, p: usize, offset: i64) -> Vec<Arc<Emitted>> {
        let keys = &self.parts[p].log[offset as usize];
        (0..).zip(keys).map(|(ord, key)| event(p, offset, (ord, *key))).collect()
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
            Step::Forget => self.forget_letters(),
            Step::Confine => self.act(|lane, turn| lane.confine(turn)),
            Step::Reorder => self.act(|lane, turn| lane.configure(turn_order(lane), turn)),
            Step::Replay(p, from, length) => self.replay(p % many, from, length),
        }
        self.check();
    }

    pub(crate) fn admit(&mut self, p: usize) {
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

    pub(crate) fn start(&mut self) {
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
            self.check_start(key, &keys[..n], if bury { "given up" } else { "sent" });
        }
        assert!(!matches!(self.lane.gate(), Gate::Shut(Shut::Paused | Shut::Disabled | Shut::DeadLettersFull)));
        self.out.push(Out { attempt: start.attempt, keys, accepted: false, bury });
    }

    pub(crate) fn accept(&mut self, nth: usize) {
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

    pub(crate) fn finish(&mut self, nth: usize, what: u8) {
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
    pub(crate) fn flush(&mut self, many: usize) {
        for _ in 0..many.min(self.pending.len()) {
            let Some(write) = self.pending.pop_front() else { return };
            self.flushed.take(&write);
            self.act(|lane, turn| lane.flushed(&write, turn));
            write.settles.iter().for_each(|ticket| self.settle(ticket));
            self.seal();
        }
    }

    pub(crate) fn commit(&mut self, p: usize) {
        let watermark = self.watermark(p);
        assert!(watermark >= self.parts[p].committed, "INV-8: the watermark never falls within an epoch");
        self.parts[p].committed = watermark;
        self.seal();
        self.act(|lane, turn| lane.committed(&at(p), watermark, turn));
    }

    pub(crate) fn scan(&mut self, p: usize, records: usize) {
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

    pub(crate) fn join(&mut self, p: usize) {
        let position = self.parts[p].position;
        if !self.parts[p].stopped && self.act(|lane, turn| lane.join(&at(p), position, turn)) == Joined::Holding {
            assert!(self.lane.counts().joining > 0);
        }
    }

    pub(crate) fn replay(&mut self, p: usize, from: i64, length: i64) {
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
    pub(crate) fn kill(&mut self, keep: usize) {
        for write in self.pending.drain(..).take(keep) {
            self.flushed.take(&write);
        }
        self.seal();
        self.out.clear();
        self.cut.clear();
        let settings = DeliverySettings { ordering: self.lane.settings.ordering, ..self.settings.clone() };
        let settings = self.lane.changing.take().unwrap_or(settings); // the change was durable before
        self.lane = Lane::new(sid(), settings);
        self.recall_letters();
        if self.paused {
            self.act(|lane, turn| lane.pause(turn));
        }
        for p in 0..self.parts.len() {
            self.excuse(p);
            self.open(p);
        }
    }

    /// What is read again after a death may come twice, and behind rows that were parked without order.
    pub(crate) fn excuse(&mut self, p: usize) {
        let loose = self.flushed.rows.keys().filter(|key| key.at == at(p) && self.loose.contains(key));
        self.unordered.extend(loose.cloned());
        for stream in self.streams() {
            let all = self.deliveries(p, stream).into_iter().map(|(key, _)| key);
            let all = all.filter(|key| !self.sealed.contains(key)).collect::<Vec<_>>();
            self.excused.extend(all);
        }
    }

    pub(crate) fn open(&mut self, p: usize) {
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

    pub(crate) fn close(&mut self, p: usize) {
        let position = self.parts[p].position;
        self.act(|lane, turn| lane.close(&at(p), position, turn));
        self.flush(usize::MAX);
        assert_eq!(self.watermark(p), position, "a close leaves nothing open");
        self.parts[p].committed = position;
        self.seal();
        self.act(|lane, turn| lane.forget(&at(p), turn));
        self.open(p);
    }

    pub(crate) fn lose(&mut self, p: usize) {
        self.act(|lane, turn| lane.forget(&at(p), turn));
        self.parts[p].epoch = 0;
        self.flush(usize::MAX);
        self.excuse(p);
        self.open(p);
    }
}
