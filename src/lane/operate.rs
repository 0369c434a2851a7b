//! What the operator and the rest of the house decide: pause, disable, resume, delete, change, less load
//! (protocol T14, T15, T17, section 10).

use crate::lane::gate::Shut;
use crate::lane::ledger::Budget;
use crate::lane::offer::reason;
use crate::lane::queue::{Delivery, From, Queue};
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{Effect, PlaceKey, Turn};
use crate::lane::state::Lane;
use crate::model::cursor::BehindReason;
use crate::model::subscription::Ordering;
use crate::model::time::Timestamp;
use crate::model::weight::Weight;

// === impl Lane ===

impl Lane {
    /// Nothing is tried any more, what is queued is left to the cursor. The status must be durable already.
    pub fn pause(&mut self, turn: &mut Turn<'_>) {
        self.shut(Shut::Paused, turn);
    }

    /// The same for a subscription that is disabled: not even probes go out.
    pub fn disable(&mut self, turn: &mut Turn<'_>) {
        self.shut(Shut::Disabled, turn);
    }

    /// The same until the endpoint has said that it wants the events.
    pub fn await_consent(&mut self, turn: &mut Turn<'_>) {
        self.shut(Shut::Unverified, turn);
    }

    /// Attempts may start again.
    pub fn resume(&mut self, turn: &mut Turn<'_>) {
        if [Shut::Paused, Shut::Disabled, Shut::Unverified].into_iter().any(|why| self.reasons.has(why)) {
            turn.effects.extend(self.vitals.forget().map(Effect::Mark));
        }
        self.reasons.remove(Shut::Paused);
        self.reasons.remove(Shut::Disabled);
        self.reasons.remove(Shut::Unverified);
        self.after(turn);
    }

    /// Its endpoint was failing since then when the process was stopped.
    pub fn failing_found(&mut self, since: Timestamp) {
        self.vitals.found(since);
    }

    /// The store holds these dead letters of it, from before.
    pub fn letters_found(&mut self, letters: Weight, turn: &mut Turn<'_>) {
        self.letters.add(letters);
        self.after(turn);
    }

    /// Dead letters were removed, or are sent again.
    pub fn letters_gone(&mut self, letters: Weight, turn: &mut Turn<'_>) {
        self.letters.take(letters);
        self.after(turn);
    }

    /// All ledgers together are full, and this one is the largest: the gate is shut until half of it is free.
    pub fn confine(&mut self, turn: &mut Turn<'_>) {
        self.ledger.confine();
        self.after(turn);
    }

    /// Gives back memory: what is queued is left to the cursor, and read again when there is room.
    pub fn shed(&mut self, turn: &mut Turn<'_>) {
        self.shut_out(if self.is_failing() { BehindReason::Failing } else { BehindReason::Slow }, turn);
        self.after(turn);
    }

    /// The subscription is gone: everything of it settles, what comes of attempts still out changes nothing. Its
    /// removal must be durable already.
    pub fn delete(&mut self, turn: &mut Turn<'_>) {
        self.reasons.add(Shut::Deleted);
        let numbers = self.places.numbers();
        for number in &numbers {
            let mut queued = self.unqueue(*number);
            let place = self.places.get(*number);
            queued.append(&mut place.aside);
            queued.extend(place.take_held());
            place.waiting.drain(..).for_each(|ticket| turn.effects.push(Effect::Settle(ticket)));
            self.settle_all(&queued, turn);
        }
        let out = std::mem::take(&mut self.flights);
        let out = out.members().map(|member| member.delivery.clone()).collect::<Vec<_>>();
        self.settle_all(&out, turn);
        self.ledger.clear().into_iter().for_each(|ticket| turn.settle(ticket));
        numbers.into_iter().for_each(|number| {
            self.places.remove(number);
        });
        self.places.recount();
    }

    /// Takes over changed settings; what is out or parked keeps its dates. Other rules of order wait until nothing
    /// is out; until then the gate is shut.
    pub fn configure(&mut self, settings: DeliverySettings, turn: &mut Turn<'_>) {
        if settings.ordering == self.settings.ordering {
            self.changing = None;
            self.reasons.remove(Shut::Changing);
            self.apply(settings);
        } else {
            self.changing = Some(settings);
            self.reasons.add(Shut::Changing);
        }
        self.after(turn);
    }

    /// Other rules of order, now that nothing is out (protocol T17).
    pub(crate) fn swap(&mut self, turn: &mut Turn<'_>) {
        let Some(settings) = self.changing.take() else { return };
        self.shut_out(BehindReason::Starting, turn);
        (self.queue, self.replays) = (Queue::new(settings.ordering), Queue::new(settings.ordering));
        self.domains = crate::lane::domains::Domains::default();
        self.apply(settings);
        let (keyed, domains) = (self.settings.ordering == Ordering::Key, &mut self.domains);
        let mut touched = Vec::new();
        self.ledger.redomain(|key, head| {
            let name = head.ordering_key.as_ref().filter(|_| keyed)?;
            let place = PlaceKey { at: key.at.clone(), stream: key.stream };
            let number = domains.number(&place, name);
            domains.get(number).park(key.clone());
            touched.push(number);
            Some(number)
        });
        touched.into_iter().for_each(|number| self.judge(Some(number)));
        self.reasons.remove(Shut::Changing);
    }

    fn apply(&mut self, settings: DeliverySettings) {
        self.slots.configure(settings.concurrency);
        self.rate.configure(settings.per_minute);
        self.breaker.configure(settings.breaker);
        self.ledger.configure(Budget { rows: settings.ledger_rows, bytes: settings.ledger_budget });
        self.letters.configure(settings.letters());
        self.settings = settings;
    }

    fn shut(&mut self, shut: Shut, turn: &mut Turn<'_>) {
        self.reasons.add(shut);
        self.shut_out(reason(shut), turn);
        self.after(turn);
    }

    fn settle_all(&self, deliveries: &[Delivery], turn: &mut Turn<'_>) {
        let live = deliveries.iter().filter(|delivery| delivery.from == From::Intake);
        live.filter_map(|delivery| self.ticket(delivery)).for_each(|ticket| turn.settle(ticket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::world::log::{at, settings, status};
    use crate::lane::world::solo::Solo;
    use crate::model::outcome::RetryAfter::Absent;
    use crate::model::subscription::Ordering;

    use crate::lane::gate::Gate;
    use crate::lane::settings::BreakerSettings;
    use crate::lane::signal::News;

    #[test]
    fn a_paused_lane_tries_nothing_and_goes_on_from_its_cursor() {
        let breaker = BreakerSettings::default();
        let mut solo = Solo::new(DeliverySettings { breaker, ..settings(Ordering::None, 0) });
        solo.offer(1, &[0]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.offer(2, &[0]);
        solo.act(|lane, turn| lane.pause(turn));
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::Paused));
        solo.finish(attempt, status(500, Absent));
        solo.flush();
        solo.wait(100_000);
        assert!(solo.start().is_none() && solo.lane.riders().is_empty());
        assert_eq!((solo.settled.len(), solo.lane.counts().rows), (2, 1));
        solo.act(|lane, turn| lane.resume(turn));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::Read)));
        assert_eq!((solo.lane.riders()[0].next, solo.starts()[0].1.clone()), (2, vec![1]));
    }

    #[test]
    fn wh_8_a_lane_whose_endpoint_has_not_said_yes_stands_behind_its_cursor_from_the_first_record() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        solo.act(|lane, turn| lane.await_consent(turn));
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        solo.flush();
        solo.wait(100_000);
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::Unverified));
        assert!(solo.start().is_none() && solo.lane.riders().is_empty());
        assert_eq!((solo.settled.len(), solo.lane.counts().rows), (3, 0), "it holds nobody's commit");
        solo.act(|lane, turn| lane.resume(turn));
        assert_eq!((solo.lane.gate(), solo.lane.riders()[0].next), (Gate::Open, 1));
    }

    #[test]
    fn dead_letters_over_their_budget_shut_the_gate_until_a_quarter_of_them_is_gone() {
        let breaker = BreakerSettings::default();
        let mut solo = Solo::new(DeliverySettings { dead_letter_rows: 4, breaker, ..settings(Ordering::None, 0) });
        let one = Weight::of(100);
        for offset in 1..=5 {
            assert_eq!(solo.lane.gate(), Gate::Open);
            solo.offer(offset, &[0]);
            let (attempt, _) = solo.starts()[0].clone();
            solo.finish(attempt, status(415, Absent));
            solo.lane.died(one); // as whoever encodes it does
            solo.flush();
        }
        assert_eq!((solo.lane.gate(), solo.lane.full()), (Gate::Shut(Shut::DeadLettersFull), Some("dead_letters")));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::News(News::DeadLettersFull))));
        solo.offer(6, &[0]);
        solo.flush();
        solo.wait(100_000);
        assert!(solo.start().is_none() && solo.lane.riders().is_empty());
        assert_eq!(solo.settled.len(), 6, "it holds nobody's commit");
        solo.act(|lane, turn| lane.letters_gone(one, turn));
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::DeadLettersFull), "or it would flutter");
        solo.act(|lane, turn| lane.letters_gone(one, turn));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::News(News::DeadLettersFree))));
        assert_eq!((solo.lane.gate(), solo.lane.full(), solo.lane.riders()[0].next), (Gate::Open, None, 6));
        let bytes = DeliverySettings { dead_letter_budget: 500, ..settings(Ordering::None, 0) };
        let mut solo = Solo::new(bytes);
        solo.act(|lane, turn| lane.letters_found(Weight { rows: 1, bytes: 501 }, turn));
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::DeadLettersFull), "from before the start, too");
    }

    #[test]
    fn a_lane_that_gives_way_takes_nothing_more_until_half_of_its_rows_are_gone_while_retries_go_on() {
        let breaker = BreakerSettings::default();
        let settings = DeliverySettings { concurrency: 9, queue: 9, breaker, ..settings(Ordering::None, 0) };
        let mut solo = Solo::new(settings);
        (1..=3).for_each(|offset| solo.offer(offset, &[0]));
        let out = (0..2).map(|_| solo.start().unwrap().attempt).collect::<Vec<_>>();
        for attempt in out {
            solo.finish(attempt, status(500, Absent));
        }
        solo.flush();
        solo.act(|lane, turn| lane.confine(turn));
        assert!(solo.effects.iter().any(|effect| matches!(effect, Effect::News(News::LedgersFull))));
        assert_eq!((solo.lane.gate(), solo.lane.full()), (Gate::Shut(Shut::LedgerFull), Some("ledgers")));
        assert_eq!(solo.lane.queued(), 0, "what waited is behind its cursor");
        solo.flush();
        solo.wait(2_500);
        let attempt = solo.start().unwrap().attempt;
        solo.finish(attempt, status(200, Absent));
        solo.flush();
        assert_eq!((solo.lane.gate(), solo.lane.full(), solo.lane.rows()), (Gate::Open, None, 1));
    }

    #[test]
    fn a_deleted_lane_settles_everything_and_hears_of_nothing_any_more() {
        let mut solo = Solo::behind(settings(Ordering::Key, 0), 0);
        solo.act(|lane, turn| lane.join(&at(0), 0, turn));
        solo.offer(0, &[1]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.finish(attempt, status(500, Absent));
        solo.offer(0, &[1]);
        (1..=4).for_each(|offset| solo.offer(offset, &[2]));
        let out = solo.starts();
        solo.act(|lane, turn| lane.delete(turn));
        let writes = std::mem::take(&mut solo.writes);
        let later = writes.iter().flat_map(|write| &write.settles).count();
        assert_eq!(solo.settled.len() + later, 6, "all but those that a batch settles");
        for write in &writes {
            solo.act(|lane, turn| lane.flushed(write, turn));
        }
        for (attempt, _) in out {
            solo.finish(attempt, status(500, Absent));
        }
        solo.offer(9, &[0]);
        assert_eq!((solo.settled.len() + later, solo.writes.len(), solo.lane.counts().rows), (7, 0, 0));
        assert!(solo.start().is_none() && solo.lane.wake_at(solo.time()).is_none());
    }

    #[test]
    fn other_rules_of_order_wait_until_nothing_is_out() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        (1..=3).for_each(|offset| solo.offer(offset, &[1]));
        let out = solo.starts();
        solo.act(|lane, turn| lane.configure(settings(Ordering::Key, 0), turn));
        assert_eq!(solo.lane.gate(), Gate::Shut(Shut::Changing));
        for (attempt, _) in &out[..2] {
            solo.finish(*attempt, status(500, Absent));
        }
        assert_eq!(solo.lane.settings.ordering, Ordering::None);
        solo.finish(out[2].0, status(200, Absent));
        assert_eq!((solo.lane.settings.ordering, solo.lane.counts().queued), (Ordering::Key, 0));
        solo.flush();
        solo.wait(2_500);
        let retries = solo.starts();
        assert_eq!(retries.len(), 1, "the two rows have one key: {retries:?}");
    }

    #[test]
    fn inv_4_what_dies_as_order_is_asked_for_holds_up_its_key_until_its_death_is_durable() {
        let mut solo = Solo::new(settings(Ordering::None, 0));
        solo.offer(1, &[1]);
        let (attempt, _) = solo.starts()[0].clone();
        solo.act(|lane, turn| lane.configure(settings(Ordering::Key, 0), turn));
        solo.finish(attempt, status(413, Absent));
        assert_eq!(solo.lane.settings.ordering, Ordering::Key);
        solo.offer(2, &[1]);
        assert!(solo.starts().is_empty(), "a kill now would bring 1 again, behind 2");
        solo.flush();
        assert_eq!(solo.starts()[0].1, [2]);
    }
}
