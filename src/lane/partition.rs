//! A partition comes, and goes: start, assignment and restart are one routine, stop and revocation another, and
//! what is lost leaves what a kill leaves (protocol section 5).

use crate::lane::flights::{Flight, HasRow, Load, Member};
use crate::lane::ledger::{Birth, New};
use crate::lane::park::{Draft, To, head};
use crate::lane::place::{Place, Stand};
use crate::lane::queue::Delivery;
use crate::lane::signal::{AttemptId, Effect, PlaceKey, Turn, WriteId};
use crate::lane::state::Lane;
use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::record::TopicPartition;
use crate::model::subscription::Ordering;
use crate::model::time::Timestamp;

/// What the store holds of one lane and partition.
#[derive(Debug, Default)]
pub struct Opening {
    /// The epoch that begins.
    pub epoch: u64,
    /// Its cursors, by stream.
    pub cursors: Vec<(u128, CursorRow)>,
    /// Its ledger rows.
    pub rows: Vec<(LedgerKey, LedgerHead)>,
}

// === impl Lane ===

impl Lane {
    /// A partition comes. What the store holds must have been read after all earlier batches were durable. A lane
    /// without any row there need not be told: its first offer says the same.
    pub fn open(&mut self, at: &TopicPartition, opening: Opening, turn: &mut Turn<'_>) {
        self.forget(at, turn);
        let Opening { epoch, cursors, rows } = opening;
        if !cursors.is_empty() || !rows.is_empty() {
            self.breaker.doubt();
        }
        if !cursors.iter().any(|(stream, _)| *stream == 0) {
            self.places.add(Place::new(PlaceKey { at: at.clone(), stream: 0 }, epoch));
        }
        for (stream, row) in cursors {
            self.places.add(Place::resume(PlaceKey { at: at.clone(), stream }, epoch, row));
        }
        self.places.recount();
        self.adopt(rows, turn);
    }

    /// A replay begins, or a new subscription that starts in the past: its cursor was made durable by others.
    pub fn begin(&mut self, key: PlaceKey, cursor: (u64, CursorRow), turn: &mut Turn<'_>) {
        let (epoch, row) = cursor;
        if self.places.find(&key.at, key.stream).is_none() {
            self.places.add(Place::resume(key, epoch, row));
            self.places.recount();
        }
        self.after(turn);
    }

    /// A replay is called off: its cursor and its rows are removed by others, after this; what of it is in memory is
    /// forgotten.
    pub fn end(&mut self, key: &PlaceKey, turn: &mut Turn<'_>) {
        if key.stream == 0 {
            return;
        }
        if let Some(number) = self.places.find(&key.at, key.stream) {
            self.take_out(turn, |delivery| delivery.place == number);
            self.drop_place(number);
        }
        let is_of = |row: &LedgerKey| row.stream == key.stream && row.at == key.at;
        let tried =
            self.flights.iter().filter(|(_, flight)| matches!(&flight.load, Load::Row(tried) if is_of(&tried.key)));
        for attempt in tried.map(|(attempt, _)| attempt).collect::<Vec<_>>() {
            self.abort(attempt, turn);
        }
        let rows = self.ledger.of(&key.at);
        self.drop_rows(rows.into_iter().filter(|(row, _)| is_of(row)));
        self.after(turn);
    }

    /// What is owed of a partition that nobody brings: nothing is read of it, and its rows are tried all the same.
    pub fn owe(&mut self, at: &TopicPartition, rows: Vec<(LedgerKey, LedgerHead)>, turn: &mut Turn<'_>) {
        self.forget(at, turn);
        self.breaker.doubt();
        self.adopt(rows, turn);
    }

    /// Ledger rows that others made durable: a dead letter that is sent again.
    pub fn adopt(&mut self, rows: Vec<(LedgerKey, LedgerHead)>, turn: &mut Turn<'_>) {
        for (key, head) in rows {
            let place = PlaceKey { at: key.at.clone(), stream: key.stream };
            let name = head.ordering_key.as_ref().filter(|_| self.settings.ordering == Ordering::Key);
            let domain = name.map(|name| self.domains.number(&place, name));
            if let Some(number) = domain {
                self.domains.get(number).park(key.clone());
            }
            self.ledger.add(New { key, head, domain, birth: Birth::Durable });
            self.judge(domain);
        }
        self.after(turn);
    }

    /// The partition is about to go: nothing of it starts any more, what is out may end.
    pub fn stop(&mut self, at: &TopicPartition) {
        self.ledger.bar(at);
        for number in self.places.on(at) {
            let queued = self.unqueue(number);
            let place = self.places.get(number);
            place.closing = true;
            place.aside.extend(queued);
        }
    }

    /// Attempts of this partition that are out.
    #[must_use]
    pub fn in_flight(&self, at: &TopicPartition) -> usize {
        self.flights.iter().filter(|(_, flight)| self.is_of(flight, at)).count()
    }

    /// The drain is over: attempts that are still out are cut off, and what is left is put behind its cursors. When
    /// the batches this asks for are durable, everything below `position` is settled; then [`Lane::forget`].
    pub fn close(&mut self, at: &TopicPartition, position: i64, turn: &mut Turn<'_>) {
        self.stop(at);
        self.cut(at, turn);
        for number in self.places.on(at) {
            let place = self.places.at(number);
            match (&place.stand, place.cursor()) {
                (Stand::Live { .. }, None) if place.aside.is_empty() => {}
                (Stand::Live { .. }, Some(_)) if place.aside.is_empty() => {
                    let offset = position.max(place.floor());
                    let to = To { mode: CursorMode::Live, offset, near: place.near };
                    self.write_cursor(number, to, (Draft::default(), turn));
                }
                (Stand::Live { .. }, _) => self.detach(number, (Some(position), BehindReason::Stopped), turn),
                (Stand::Behind { .. }, None) if place.aside.is_empty() => {} // a replay that ends
                (Stand::Behind { next }, Some(row)) if place.aside.is_empty() && row.offset == *next => {}
                _ => {
                    let reason = place.reason;
                    self.detach(number, (None, reason), turn);
                }
            }
        }
    }

    /// The partition is closed, or was lost: nothing of it stays in memory, and nothing is written. Attempts that
    /// are still out are cut off. After a loss the next [`Lane::open`] finds what a kill leaves.
    pub fn forget(&mut self, at: &TopicPartition, turn: &mut Turn<'_>) {
        let numbers = self.places.on(at);
        self.take_out(turn, |delivery| numbers.contains(&delivery.place));
        self.cut(at, turn);
        self.places.begin(at, WriteId(self.writes));
        numbers.into_iter().for_each(|number| self.drop_place(number));
        let rows = self.ledger.of(at);
        self.drop_rows(rows);
        self.ledger.unbar(at);
        self.after(turn);
    }

    fn drop_rows(&mut self, rows: impl IntoIterator<Item = (LedgerKey, Option<u32>)>) {
        for (key, domain) in rows {
            self.ledger.remove(&key);
            if let Some(number) = domain {
                self.domains.get(number).unpark(&key);
                self.judge(domain);
            }
        }
    }

    /// Cuts off what is out of a partition: it is parked, with its outcome unknown.
    fn cut(&mut self, at: &TopicPartition, turn: &mut Turn<'_>) {
        for attempt in self.attempts(at) {
            self.abort(attempt, turn);
        }
    }

    fn attempts(&self, at: &TopicPartition) -> Vec<AttemptId> {
        self.flights.iter().filter(|(_, flight)| self.is_of(flight, at)).map(|(attempt, _)| attempt).collect()
    }

    fn is_of(&self, flight: &Flight, at: &TopicPartition) -> bool {
        match &flight.load {
            Load::Row(tried) => tried.key.at == *at,
            load => load.members().iter().any(|member| self.places.at(member.delivery.place).key.at == *at),
        }
    }

    /// Takes members of these places out of attempts, without a trace; the attempts themselves are cut off.
    fn take_out(&mut self, turn: &mut Turn<'_>, meant: impl Fn(&Delivery) -> bool) {
        let touched =
            self.flights.iter().filter(|(_, flight)| flight.load.members().iter().any(|m| meant(&m.delivery)));
        for attempt in touched.map(|(attempt, _)| attempt).collect::<Vec<_>>() {
            let Some(flight) = self.flights.remove(attempt) else { continue };
            turn.effects.push(Effect::Cut(attempt));
            self.learn_nothing(&flight, turn);
            for member in flight.load.members() {
                if !meant(&member.delivery) {
                    self.park_cut(member, flight.started, turn);
                }
                self.land(member.delivery.domain);
            }
        }
    }

    fn abort(&mut self, attempt: AttemptId, turn: &mut Turn<'_>) {
        let Some(flight) = self.flights.remove(attempt) else { return };
        turn.effects.push(Effect::Cut(attempt));
        self.learn_nothing(&flight, turn);
        if let Load::Row(tried) = &flight.load {
            self.ledger.idle(&tried.key);
            self.land(tried.domain);
        }
        for member in flight.load.members() {
            self.park_cut(member, flight.started, turn);
            self.land(member.delivery.domain);
        }
    }

    fn park_cut(&mut self, member: &Member, started: Timestamp, turn: &mut Turn<'_>) {
        let delivery = &member.delivery;
        match member.row {
            HasRow::No => self.park(delivery, head(delivery, (1, started), turn.now), turn),
            HasRow::Yes => self.ledger.idle(&delivery.key(self.sid, self.places.at(delivery.place).key.stream)),
        }
    }

    fn drop_place(&mut self, number: u32) {
        self.unqueue(number);
        self.places.remove(number);
        self.places.recount();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::signal::Write;
    use crate::lane::world::log::{at, settings, status};
    use crate::lane::world::solo::Solo;
    use crate::model::outcome::RetryAfter::Absent;
    use crate::model::subscription::Ordering;

    use crate::lane::signal::Change;

    #[test]
    fn inv_9_a_closed_partition_is_opened_where_it_was() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        let out = solo.starts();
        (4..=5).for_each(|offset| solo.offer(offset, &[0]));
        solo.act(|lane, _| lane.stop(&at(0)));
        assert_eq!((solo.lane.in_flight(&at(0)), solo.starts().len()), (3, 0));
        for (attempt, _) in &out[..2] {
            solo.finish(*attempt, status(200, Absent));
        }
        solo.act(|lane, turn| lane.close(&at(0), 6, turn));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::Cut(attempt) if *attempt == out[2].0)));
        let parked = solo
            .changes()
            .filter_map(|change| if let Change::Park(key, ..) = change { Some(key.offset) } else { None });
        assert_eq!((parked.collect::<Vec<_>>(), solo.cursor()), (vec![3], Some((CursorMode::Behind, 4))));
        solo.flush();
        assert_eq!(solo.settled.len(), 5, "everything below the position is settled");
        solo.act(|lane, turn| lane.forget(&at(0), turn));
        assert_eq!(solo.lane.counts().rows + solo.lane.counts().behind + solo.lane.counts().live, 0);
    }

    #[test]
    fn a_live_place_with_a_row_says_where_it_was_closed() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 5);
        solo.act(|lane, turn| lane.join(&at(0), 5, turn));
        solo.act(|lane, turn| lane.close(&at(0), 9, turn));
        assert_eq!(solo.cursor(), Some((CursorMode::Live, 9)));
    }

    #[test]
    fn inv_14_what_comes_late_of_a_lost_partition_changes_nothing() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        (1..=2).for_each(|offset| solo.offer(offset, &[0]));
        let out = solo.starts();
        solo.finish(out[0].0, status(500, Absent));
        let late = std::mem::take(&mut solo.writes);
        solo.act(|lane, turn| lane.forget(&at(0), turn));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::Cut(attempt) if *attempt == out[1].0)));
        let Change::Park(key, head, _) = &late[0].changes[0] else { panic!("{late:?}") };
        let rows = vec![(key.clone(), head.clone())];
        solo.act(|lane, turn| lane.open(&at(0), Opening { epoch: 2, cursors: Vec::new(), rows }, turn));
        let before = solo.lane.counts();
        solo.offer(3, &[0]);
        solo.finish(out[1].0, status(500, Absent));
        let gone =
            Write { changes: vec![Change::Unpark(key.clone(), head.clone())], settles: Vec::new(), ..write(&late[0]) };
        solo.act(|lane, turn| lane.flushed(&gone, turn));
        assert_eq!((solo.lane.counts(), solo.writes.len()), (before, 0));
    }

    fn write(like: &Write) -> Write {
        Write { id: like.id, at: like.at.clone(), changes: Vec::new(), settles: Vec::new() }
    }

    #[test]
    fn what_is_owed_of_a_partition_that_nobody_brings_is_tried() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        let event = crate::lane::world::log::event(0, 9, (0, 1));
        let key = LedgerKey::of(&event.event, crate::lane::world::log::sid());
        let (first, due) = (solo.time(), solo.time());
        let head = LedgerHead { attempts: 1, first, due, last: None, ordering_key: None, body_len: 10 };
        solo.act(|lane, turn| lane.owe(&at(0), vec![(key, head)], turn));
        let (attempt, offsets) = solo.starts()[0].clone();
        assert_eq!((offsets, solo.lane.counts().live), (vec![9], 0), "there is no place");
        solo.finish(attempt, status(200, Absent));
        assert!(matches!(solo.changes().next(), Some(Change::Unpark(..))));
        solo.flush();
        assert_eq!(solo.lane.counts().rows, 0);
    }

    #[test]
    fn a_lane_that_starts_with_something_owed_starts_with_one_attempt() {
        let mut solo = Solo::behind(settings(Ordering::None, 0), 1);
        (1..=3).for_each(|offset| {
            solo.scan(offset, &[0]);
        });
        assert_eq!(solo.starts().len(), 1);
    }

    /// As after a kill: a row of key 1 at offset 9, and the cursor before it.
    fn with_a_later_row() -> Solo {
        let mut solo = Solo::behind(settings(Ordering::Key, 0), 5);
        let event = crate::lane::world::log::event(0, 9, (0, 1));
        let key = LedgerKey::of(&event.event, crate::lane::world::log::sid());
        let (first, due, ordering_key) =
            (solo.time(), solo.time().after(std::time::Duration::from_secs(9)), event.event.key.clone());
        let head = LedgerHead { attempts: 1, first, due, last: None, ordering_key, body_len: 10 };
        solo.act(|lane, turn| lane.adopt(vec![(key, head)], turn));
        solo
    }

    #[test]
    fn inv_15_a_later_row_does_not_block_an_earlier_delivery_that_is_read_again() {
        let mut solo = with_a_later_row();
        solo.scan(5, &[1]);
        assert_eq!((solo.lane.queued(), solo.lane.counts().rows), (1, 1), "not parked behind it either");
        assert_eq!(solo.starts()[0].1, [5]);
    }

    #[test]
    fn inv_12_a_row_waits_for_an_earlier_delivery_of_its_key_in_the_queue() {
        let mut solo = with_a_later_row();
        solo.scan(5, &[1]);
        solo.wait(20_000);
        let first = solo.starts();
        assert_eq!((first.len(), &first[0].1), (1, &vec![5]));
        assert!(solo.starts().is_empty());
        solo.finish(first[0].0, status(200, Absent));
        assert_eq!(solo.starts()[0].1, [9]);
    }

    #[test]
    fn inv_15_a_probe_that_was_cut_off_does_not_keep_the_next_one_from_going() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        for (attempt, _) in solo.starts() {
            solo.finish(attempt, status(500, Absent));
        }
        solo.flush();
        solo.wait(1_000);
        assert_eq!(solo.starts().len(), 1);
        let key = LedgerKey::of(&crate::lane::world::log::event(1, 1, (0, 0)).event, crate::lane::world::log::sid());
        let (first, due) = (solo.time(), solo.time());
        let head = LedgerHead { attempts: 1, first, due, last: None, ordering_key: None, body_len: 10 };
        solo.act(|lane, turn| lane.adopt(vec![(key, head)], turn));
        solo.act(|lane, turn| lane.forget(&at(0), turn));
        solo.wait(2_000);
        assert_eq!(solo.starts().len(), 1);
    }

    #[test]
    fn inv_6_what_has_a_row_is_not_taken_again_when_it_is_read_again() {
        let mut solo = with_a_later_row();
        (5..9).for_each(|offset| {
            solo.act(|lane, turn| lane.passed(&crate::lane::world::solo::main(), offset + 1, turn));
        });
        solo.scan(9, &[1, 2]);
        assert_eq!(solo.lane.queued(), 1, "the other event of the record");
        solo.act(|lane, turn| lane.join(&at(0), 10, turn));
        assert_eq!((solo.starts().len(), solo.lane.counts().rows), (1, 1));
    }
}
