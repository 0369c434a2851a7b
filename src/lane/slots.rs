//! How many attempts at once the endpoint bears: fewer when it pushes back, one more per round while it does not.
//!
//! Additive increase, multiplicative decrease. 429, 502, 503, 504 and timeouts halve; answers that take much
//! longer than they used to take a quarter away, but never below a quarter of what is allowed, because slowness
//! may have other reasons than us. Pure; `concurrency` is the upper bound.

use crate::model::outcome::{FailureCause, Outcome};
use crate::model::time::Timestamp;
use std::time::Duration;

/// Slower than before by this factor, and by [`SLOWER`], counts as push-back.
const FACTOR: f64 = 3.0;
const SLOWER: f64 = 100.0;
/// After a cut the next one waits so long at least: the attempts that are out began before it.
const CALM: Duration = Duration::from_secs(1);

/// The slots of one lane.
#[derive(Debug)]
pub(crate) struct Slots {
    most: u16,
    limit: f64,
    /// Milliseconds an accepted attempt takes: of late, and usually.
    lately: f64,
    usually: f64,
    cut: Option<Timestamp>,
}

/// An attempt that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) outcome: &'a Outcome,
    pub(crate) started: Timestamp,
    /// Attempts that were out, it included.
    pub(crate) in_flight: usize,
}

// === impl Slots ===

impl Slots {
    pub(crate) fn new(most: u16) -> Self {
        let most = most.max(1);
        Self { most, limit: f64::from(most), lately: 0.0, usually: 0.0, cut: None }
    }

    /// Another upper bound from now on.
    pub(crate) fn configure(&mut self, most: u16) {
        let most = most.max(1);
        self.limit = if self.limit >= f64::from(self.most) { f64::from(most) } else { self.limit.min(f64::from(most)) };
        self.most = most;
    }

    /// Attempts at a time, at least one.
    pub(crate) fn limit(&self) -> u16 {
        (self.limit as u16).clamp(1, self.most)
    }

    pub(crate) fn ended(&mut self, ended: Ended<'_>, now: Timestamp) {
        if pushes_back(ended.outcome) {
            self.shrink(0.5, 1.0, (ended.started, now));
        } else if ended.outcome.accepted() {
            self.learn(now.since(ended.started));
            let slower = self.lately > self.usually * FACTOR && self.lately - self.usually > SLOWER;
            if slower {
                self.shrink(0.75, f64::from(self.most) / 4.0, (ended.started, now));
            } else if ended.in_flight >= usize::from(self.limit()) {
                self.limit = (self.limit + 1.0 / self.limit).min(f64::from(self.most));
            }
        }
    }

    /// Attempts that began before the last cut say nothing about it.
    fn shrink(&mut self, factor: f64, least: f64, (started, now): (Timestamp, Timestamp)) {
        if self.cut.is_some_and(|cut| started <= cut || now.since(cut) < CALM) {
            return;
        }
        self.cut = Some(now);
        self.limit = (self.limit * factor).max(least.min(self.limit)).max(1.0);
    }

    fn learn(&mut self, took: Duration) {
        let took = took.as_secs_f64() * 1_000.0;
        if self.usually == 0.0 {
            (self.lately, self.usually) = (took, took.max(1.0));
        }
        self.lately += (took - self.lately) / 16.0;
        self.usually += (took - self.usually) / 1_024.0;
    }
}

fn pushes_back(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Answered(answer) => matches!(answer.status, 429 | 502..=504),
        Outcome::Failed { cause, .. } => *cause == FailureCause::Timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::{Answer, RetryAfter};

    fn status(status: u16) -> Outcome {
        Outcome::Answered(Answer { status, retry_after: RetryAfter::Absent, head: bytes::Bytes::new() })
    }

    fn end(slots: &mut Slots, code: u16, started: i64, took: i64) {
        let outcome = status(code);
        let in_flight = usize::from(slots.limit());
        let ended = Ended { outcome: &outcome, started: Timestamp::from_millis(started), in_flight };
        slots.ended(ended, Timestamp::from_millis(started + took));
    }

    #[test]
    fn push_back_halves_once_per_round_and_ends_at_one() {
        for code in [429, 502, 503, 504] {
            let mut slots = Slots::new(16);
            (0..16).for_each(|n| end(&mut slots, code, 10 + n, 50));
            assert_eq!(slots.limit(), 8, "all of them began before the cut");
            (1..9).for_each(|n| end(&mut slots, code, n * 2_000, 50));
            assert_eq!(slots.limit(), 1);
        }
    }

    #[test]
    fn a_plain_refusal_is_no_push_back() {
        let mut slots = Slots::new(16);
        (0..16).for_each(|n| end(&mut slots, 500, n * 2_000, 50));
        assert_eq!(slots.limit(), 16);
    }

    #[test]
    fn what_was_taken_comes_back_one_slot_a_round() {
        let mut slots = Slots::new(16);
        end(&mut slots, 429, 0, 50);
        assert_eq!(slots.limit(), 8);
        (0..9).for_each(|n| end(&mut slots, 200, 3_000 + n, 50));
        assert_eq!(slots.limit(), 9);
        (0..1_000).for_each(|n| end(&mut slots, 200, 4_000 + n, 50));
        assert_eq!(slots.limit(), 16);
    }

    #[test]
    fn answers_that_become_much_slower_take_slots_but_leave_a_quarter() {
        let mut slots = Slots::new(16);
        (0..2_000).for_each(|n| end(&mut slots, 200, n, 20));
        assert_eq!(slots.limit(), 16);
        (0..60).for_each(|n| end(&mut slots, 200, 10_000 + n * 2_000, 900));
        assert_eq!(slots.limit(), 4);
    }

    #[test]
    fn an_endpoint_that_is_always_slow_keeps_all_slots() {
        let mut slots = Slots::new(16);
        (0..2_000).for_each(|n| end(&mut slots, 200, n * 10, 900));
        assert_eq!(slots.limit(), 16);
    }
}
