//! Whether the endpoint is well: closed, open with probes, half-open with 1, 2, 4 ... slots (protocol T13).
//!
//! It opens by failures in a row or by their share of a window. While it is open one probe at a time goes out:
//! three times a ledger row, the fourth time a fresh delivery, so that one event that always fails cannot hold a
//! healthy endpoint. The wait between two probes grows with the outage: whoever was away for a minute is found back within
//! four seconds, whoever was away for a day is left alone. Pure: told outcomes and the time, it knows neither rows nor
//! slots.

use crate::lane::settings::BreakerSettings;
use crate::lane::window::Window;
use crate::model::time::Timestamp;
use std::time::Duration;

/// A probe with a fresh delivery follows so many failing ones with rows.
const ROWS: u32 = 3;
/// A probe waits for this share of the outage: an endpoint is away longer, for want of a probe, by a sixteenth at most,
/// and gets 37 requests in the first minute, 105 in the first hour.
const SHARE: u32 = 16;
/// A probe that timed out is followed by the next after this share of the shortest wait.
const BREATH: u32 = 10;

/// The breaker of one lane.
#[derive(Debug)]
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: State,
    window: Window,
    consecutive: u32,
    /// When it opened, until it is closed again.
    since: Option<Timestamp>,
    /// Probes that failed in a row.
    failed: u32,
    /// Grows with each change of state: an attempt that began in an older one proves no failure of this one.
    era: u32,
    /// Whether any attempt ended so far.
    known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        probe_at: Timestamp,
        out: Out,
    },
    HalfOpen {
        slots: u16,
        good: u16,
        /// Until then the slot is for a fresh delivery.
        fresh_until: Option<Timestamp>,
    },
}

/// Whether a probe is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Out {
    Yes,
    No,
}

/// What it lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    All,
    /// So many at a time.
    Few(u16),
    /// Probes only.
    None,
}

/// What an outcome says about the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    Bad,
    /// Nothing: a refused event, an attempt that we cut off.
    Unknown,
}

/// An outcome as the breaker sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) health: Health,
    /// The era in which the attempt began.
    pub(crate) era: u32,
    /// When it began.
    pub(crate) started: Timestamp,
    /// Slots at which it closes again.
    pub(crate) most: u16,
}

/// How the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    No,
    Opened,
    HalfOpened,
    Closed,
}

// === impl Breaker ===

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        let (state, window) = (State::Closed, Window::new(settings.window));
        Self { settings, state, window, consecutive: 0, since: None, failed: 0, era: 0, known: false }
    }

    /// Other rules from now on; its state stays.
    pub(crate) fn configure(&mut self, settings: BreakerSettings) {
        if settings != self.settings {
            self.window = Window::new(settings.window);
            self.settings = settings;
        }
    }

    /// Nothing is known of the endpoint and something is owed: try it with one attempt first.
    pub(crate) fn doubt(&mut self) {
        if !self.known && self.state == State::Closed {
            self.half_open(None);
        }
    }

    pub(crate) fn pass(&self) -> Pass {
        match self.state {
            State::Closed => Pass::All,
            State::Open { .. } => Pass::None,
            State::HalfOpen { slots, .. } => Pass::Few(slots),
        }
    }

    /// Whether it opened and did not close again yet.
    pub(crate) fn has_opened(&self) -> bool {
        self.since.is_some()
    }

    pub(crate) fn era(&self) -> u32 {
        self.era
    }

    /// Whether the one slot is kept for a fresh delivery.
    pub(crate) fn wants_fresh(&self) -> bool {
        matches!(self.state, State::HalfOpen { fresh_until: Some(_), .. })
    }

    /// Whether a ledger row should be tried now, to see whether the endpoint is back.
    pub(crate) fn wants_row(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Open { probe_at, out: Out::No } if probe_at <= now) && !self.turn_of_fresh()
    }

    /// A probe went out.
    pub(crate) fn probing(&mut self) {
        if let State::Open { out, .. } = &mut self.state {
            *out = Out::Yes;
        }
    }

    /// What time brings. `Some` rows could be tried; `idle` attempts are out.
    pub(crate) fn tick(&mut self, now: Timestamp, rows: Rows, flights: usize) -> Moved {
        match self.state {
            State::Open { probe_at, out: Out::No } if probe_at <= now => {
                if rows == Rows::Some && !self.turn_of_fresh() {
                    return Moved::No;
                }
                // Without any row there is nothing to fall back to.
                self.half_open((rows == Rows::Some).then(|| now.after(self.wait(now))));
                Moved::HalfOpened
            }
            State::HalfOpen { fresh_until: Some(until), .. } if until <= now && flights == 0 => {
                self.failed += 1; // nothing fresh came: it is the rows' turn again
                self.state = State::Open { probe_at: now, out: Out::No };
                self.era += 1;
                Moved::Opened
            }
            _ => Moved::No,
        }
    }

    /// When [`Breaker::tick`] is due.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Open { probe_at, out: Out::No } => Some(probe_at),
            State::HalfOpen { fresh_until, .. } => fresh_until,
            State::Open { .. } | State::Closed => None,
        }
    }

    /// Takes what came of an attempt.
    pub(crate) fn outcome(&mut self, seen: Seen, now: Timestamp) -> Moved {
        self.known |= seen.health != Health::Unknown;
        match (self.state, seen.health) {
            (State::Closed, Health::Good) => {
                self.consecutive = 0;
                self.window.good(now);
                Moved::No
            }
            (State::Closed, Health::Bad) => self.failed_closed(seen.era, now),
            (State::Open { .. }, Health::Good) => {
                self.half_open(None);
                Moved::HalfOpened
            }
            (State::Open { out: Out::Yes, .. }, health) if seen.era == self.era => {
                self.failed += u32::from(health == Health::Bad);
                self.state = State::Open { probe_at: self.next_probe(seen, now), out: Out::No };
                Moved::No
            }
            (State::HalfOpen { slots, good, .. }, Health::Good) => self.good_half_open(slots, good + 1, seen.most),
            (State::HalfOpen { slots, .. }, Health::Bad) if seen.era == self.era => {
                self.failed_half_open(slots, (seen, now))
            }
            _ => Moved::No,
        }
    }

    fn failed_closed(&mut self, era: u32, now: Timestamp) -> Moved {
        if era != self.era {
            return Moved::No;
        }
        self.consecutive += 1;
        self.window.bad(now);
        let share = self.window.ratio(now, self.settings.min_calls);
        if self.consecutive < self.settings.consecutive && share.is_none_or(|share| share <= self.settings.ratio) {
            return Moved::No;
        }
        self.open(now);
        Moved::Opened
    }

    fn good_half_open(&mut self, slots: u16, good: u16, most: u16) -> Moved {
        self.failed = 0;
        let state = if good < slots { (slots, good) } else { (slots.saturating_mul(2), 0) };
        self.state = State::HalfOpen { slots: state.0, good: state.1, fresh_until: None };
        if state.0 < most.max(2) {
            return Moved::No;
        }
        self.state = State::Closed;
        self.era += 1;
        self.consecutive = 0;
        self.since = None;
        self.window.clear();
        Moved::Closed
    }

    /// The first failure takes the slots back to one, the next one opens.
    fn failed_half_open(&mut self, slots: u16, (seen, now): (Seen, Timestamp)) -> Moved {
        self.era += 1;
        if slots > 1 {
            self.state = State::HalfOpen { slots: 1, good: 0, fresh_until: None };
            return Moved::No;
        }
        self.failed += 1;
        self.since.get_or_insert(now);
        self.state = State::Open { probe_at: self.next_probe(seen, now), out: Out::No };
        Moved::Opened
    }

    fn open(&mut self, now: Timestamp) {
        self.era += 1;
        self.failed = 0;
        self.since = Some(now);
        self.state = State::Open { probe_at: now.after(self.wait(now)), out: Out::No };
    }

    /// The wait between two probes, or before the first.
    fn wait(&self, now: Timestamp) -> Duration {
        let age = self.since.map_or(Duration::ZERO, |since| now.since(since));
        (age / SHARE).max(self.settings.probe_min).min(self.settings.probe_max)
    }

    /// From the start of one probe to that of the next: one that hangs has waited already when it times out. But the
    /// endpoint shall have seen the end of one request before it gets the next with the same id.
    fn next_probe(&self, last: Seen, now: Timestamp) -> Timestamp {
        last.started.after(self.wait(now)).max(now.after(self.settings.probe_min / BREATH))
    }

    fn half_open(&mut self, fresh_until: Option<Timestamp>) {
        self.era += 1;
        self.state = State::HalfOpen { slots: 1, good: 0, fresh_until };
    }

    fn turn_of_fresh(&self) -> bool {
        self.failed % (ROWS + 1) == ROWS
    }
}

/// Whether there are ledger rows to probe with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    Some,
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings::default())
    }

    fn see(breaker: &mut Breaker, health: Health, now: i64) -> Moved {
        let seen = Seen { health, era: breaker.era(), started: at(now), most: 8 };
        breaker.outcome(seen, at(now))
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        (0..9).for_each(|n| assert_eq!(see(&mut breaker, Health::Bad, n), Moved::No));
        assert_eq!(see(&mut breaker, Health::Bad, 0), Moved::Opened);
        breaker
    }

    #[test]
    fn ten_failures_in_a_row_open_it_and_one_success_starts_the_count_again() {
        let mut breaker = breaker();
        (0..9).for_each(|n| assert_eq!(see(&mut breaker, Health::Bad, n), Moved::No));
        see(&mut breaker, Health::Good, 10);
        (0..9).for_each(|n| assert_eq!(see(&mut breaker, Health::Bad, n), Moved::No));
        assert_eq!((breaker.pass(), see(&mut breaker, Health::Bad, 10)), (Pass::All, Moved::Opened));
        assert_eq!(breaker.pass(), Pass::None);
    }

    #[test]
    fn more_than_half_of_twenty_in_the_window_open_it() {
        let mut breaker = breaker();
        for n in 0..10 {
            see(&mut breaker, Health::Good, n);
            assert_eq!(see(&mut breaker, Health::Bad, n), Moved::No, "half is not more than half");
        }
        assert_eq!(see(&mut breaker, Health::Bad, 10), Moved::Opened);
    }

    /// The waits before the first so many probes of an outage, in milliseconds, each of which fails at once, and their
    /// kinds.
    fn probes(count: usize) -> (Vec<i64>, String) {
        let mut breaker = opened();
        let (mut now, mut waits, mut kinds) = (0, Vec::new(), String::new());
        for _ in 0..count {
            let due = breaker.wake_at().unwrap();
            assert!(!breaker.wants_row(at(due.as_millis() - 1)));
            assert_eq!(breaker.tick(at(due.as_millis() - 1), Rows::Some, 0), Moved::No);
            waits.push(due.as_millis() - now);
            now = due.as_millis();
            if breaker.tick(at(now), Rows::Some, 0) == Moved::HalfOpened {
                assert_eq!((breaker.pass(), breaker.wants_fresh()), (Pass::Few(1), true));
                kinds.push('f');
                assert_eq!(see(&mut breaker, Health::Bad, now), Moved::Opened);
            } else {
                assert!(breaker.wants_row(at(now)));
                kinds.push('r');
                breaker.probing();
                assert!(!breaker.wants_row(at(now)), "one at a time");
                assert_eq!(see(&mut breaker, Health::Bad, now), Moved::No);
            }
        }
        (waits, kinds)
    }

    #[test]
    fn probes_wait_a_second_at_first_then_a_sixteenth_of_the_outage_and_five_minutes_at_most_every_fourth_is_fresh() {
        let (waits, kinds) = probes(140);
        assert_eq!(&kinds[..12], "rrrfrrrfrrrf");
        let mut age = 0;
        for wait in &waits {
            assert_eq!(*wait, (age / 16).clamp(1_000, 300_000), "{age} ms after it opened");
            age += wait;
        }
        assert_eq!((waits[0], *waits.last().unwrap()), (1_000, 300_000));
        let in_the_first = |millis: i64| {
            let at = waits.iter().scan(0, |at, wait| {
                *at += wait;
                Some(*at)
            });
            at.filter(|at| *at <= millis).count()
        };
        assert_eq!((in_the_first(60_000), in_the_first(3_600_000)), (37, 105));
    }

    #[test]
    fn a_probe_that_hung_is_followed_by_the_next_after_a_breath() {
        let mut breaker = opened();
        let due = breaker.wake_at().unwrap();
        breaker.probing();
        let seen = Seen { health: Health::Bad, era: breaker.era(), started: due, most: 8 };
        breaker.outcome(seen, due.after(Duration::from_millis(900)));
        assert_eq!(breaker.wake_at(), Some(due.after(Duration::from_secs(1))), "not more than one a second");
        breaker.probing();
        let due = breaker.wake_at().map_or(at(2_000), |due| due);
        breaker.outcome(Seen { started: due, ..seen }, due.after(Duration::from_secs(15)));
        assert_eq!(breaker.wake_at(), Some(due.after(Duration::from_millis(15_100))));
    }

    #[test]
    fn when_nothing_fresh_comes_it_is_the_rows_turn_again() {
        let mut breaker = opened();
        for _ in 0..3 {
            let due = breaker.wake_at().unwrap();
            breaker.probing();
            see(&mut breaker, Health::Bad, due.as_millis());
        }
        let due = breaker.wake_at().unwrap();
        assert_eq!(breaker.tick(due, Rows::Some, 0), Moved::HalfOpened);
        let until = breaker.wake_at().unwrap();
        assert_eq!(breaker.tick(until, Rows::Some, 1), Moved::No, "its outcome is waited for");
        assert_eq!(breaker.tick(until, Rows::Some, 0), Moved::Opened);
        assert!(breaker.wants_row(until));
    }

    #[test]
    fn one_success_brings_1_2_4_slots_then_all() {
        let mut breaker = opened();
        assert_eq!(see(&mut breaker, Health::Good, 1), Moved::HalfOpened);
        let mut slots = Vec::new();
        while let Pass::Few(few) = breaker.pass() {
            slots.push(few);
            (0..few).for_each(|_| {
                see(&mut breaker, Health::Good, 2);
            });
        }
        assert_eq!((slots, breaker.pass()), (vec![1, 2, 4], Pass::All));
    }

    #[test]
    fn in_probation_a_failure_takes_the_slots_back_to_one_and_the_next_opens() {
        let mut breaker = opened();
        see(&mut breaker, Health::Good, 1);
        (0..3).for_each(|_| assert_eq!(see(&mut breaker, Health::Good, 2), Moved::No));
        assert_eq!(breaker.pass(), Pass::Few(4));
        let old = Seen { health: Health::Bad, era: breaker.era(), started: at(2), most: 8 };
        assert_eq!((breaker.outcome(old, at(3)), breaker.pass()), (Moved::No, Pass::Few(1)));
        assert_eq!(breaker.outcome(old, at(3)), Moved::No, "it began before");
        assert_eq!(see(&mut breaker, Health::Bad, 4), Moved::Opened);
    }

    #[test]
    fn without_rows_the_probe_is_a_fresh_delivery_and_has_all_the_time() {
        let mut breaker = opened();
        assert_eq!(breaker.tick(at(1_000), Rows::None, 0), Moved::HalfOpened);
        assert_eq!((breaker.pass(), breaker.wake_at()), (Pass::Few(1), None));
    }

    #[test]
    fn what_says_nothing_about_the_endpoint_moves_nothing() {
        let mut breaker = breaker();
        (0..99).for_each(|n| assert_eq!(see(&mut breaker, Health::Unknown, n), Moved::No));
        assert_eq!(breaker.pass(), Pass::All);
    }
}
