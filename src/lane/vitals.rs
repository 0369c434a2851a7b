//! How an endpoint does: since when it fails, how fast it answers; and what of that the store is to remember, so that a
//! restart neither forgets an outage nor begins to count it anew (SW-18).
//!
//! Takes what outcomes say and whether the breaker lets through, gives marks. Pure; it knows no row and no event.

use crate::lane::breaker::{Health, Pass};
use crate::lane::latency::Latency;
use crate::model::outcome::{FailureCause, Outcome};
use crate::model::time::Timestamp;
use std::time::Duration;

/// An outage is marked when the breaker opens, else after so long; and one that follows the last so closely, only then:
/// an endpoint that comes and goes costs two marks a minute and not two for each change of its mind.
const LASTING: Duration = Duration::from_secs(60);
/// Failures in a row that this process must have seen before it gives an endpoint up: what was failing before a long stop
/// may well be back, and one failure says little.
const ENOUGH: u32 = 3;

/// How the endpoint of one lane does.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Since when nothing was accepted and something failed.
    failing: Option<Timestamp>,
    /// Failures since the last success, in the life of this process.
    consecutive: u32,
    /// The beginning of the outage that is marked.
    marked: Option<Timestamp>,
    /// When the last mark was taken away.
    recovered: Option<Timestamp>,
    success: Option<Timestamp>,
    failure: Option<Timestamp>,
    latency: Latency,
}

/// What the store is to remember of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It fails, since then.
    Failing(Timestamp),
    /// It accepts again; the outage had begun then.
    Recovered(Timestamp),
    /// Whatever was is forgotten: it begins anew.
    Forgotten,
}

// === impl Vitals ===

impl Vitals {
    /// The store remembers an outage, from before.
    pub(crate) fn found(&mut self, since: Timestamp) {
        (self.failing, self.marked) = (Some(since), Some(since));
    }

    /// When it last accepted something, in the life of this process.
    #[must_use]
    pub fn last_success(&self) -> Option<Timestamp> {
        self.success
    }

    /// When an attempt last failed, in the life of this process.
    #[must_use]
    pub fn last_failure(&self) -> Option<Timestamp> {
        self.failure
    }

    /// Failures since the last success, in the life of this process.
    #[must_use]
    pub fn consecutive_failures(&self) -> u32 {
        self.consecutive
    }

    /// What `percent` of 100 of the last exchanges took no longer than.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        self.latency.percentile(percent)
    }

    /// Since when it has been failing without a success.
    #[must_use]
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.failing
    }

    /// Whether it has failed for so long, and often enough, to be given up.
    pub(crate) fn is_lost(&self, after: Option<Duration>, now: Timestamp) -> bool {
        let lasts = self.failing.zip(after).is_some_and(|(since, after)| now.since(since) >= after);
        lasts && self.consecutive >= ENOUGH
    }

    /// Takes what an outcome says.
    pub(crate) fn learn(&mut self, health: Health, now: Timestamp) {
        match health {
            Health::Good => (self.failing, self.consecutive, self.success) = (None, 0, Some(now)),
            Health::Bad => {
                self.failure = Some(now);
                self.failing.get_or_insert(now);
                self.consecutive = self.consecutive.saturating_add(1);
            }
            Health::Unknown => {}
        }
    }

    /// Takes how long an exchange took, if it came to an answer, or would have.
    pub(crate) fn took(&mut self, outcome: &Outcome, took: Duration) {
        if matches!(outcome, Outcome::Answered(_) | Outcome::Failed { cause: FailureCause::Timeout, .. }) {
            self.latency.add(took);
        }
    }

    /// What is to be remembered after an outcome, when the breaker lets this much pass now.
    pub(crate) fn mark(&mut self, (health, pass): (Health, Pass), now: Timestamp) -> Option<Mark> {
        let lasts = |since: Timestamp| now.since(since) >= LASTING;
        match (health, self.marked, self.failing) {
            (Health::Bad, None, Some(since)) => {
                let opened = pass == Pass::None && self.recovered.is_none_or(lasts);
                (opened || lasts(since)).then(|| {
                    self.marked = Some(since);
                    Mark::Failing(since)
                })
            }
            (Health::Good, Some(since), _) => {
                (self.marked, self.recovered) = (None, Some(now));
                Some(Mark::Recovered(since))
            }
            _ => None,
        }
    }

    /// What was says nothing any more: it is tried again after a time in which nothing was.
    pub(crate) fn forget(&mut self) -> Option<Mark> {
        (self.failing, self.consecutive) = (None, 0);
        self.marked.take().map(|_| Mark::Forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn see(vitals: &mut Vitals, seen: (Health, Pass), now: i64) -> Option<Mark> {
        vitals.learn(seen.0, at(now));
        vitals.mark(seen, at(now))
    }

    const BAD: (Health, Pass) = (Health::Bad, Pass::All);
    const OPEN: (Health, Pass) = (Health::Bad, Pass::None);
    const WELL: (Health, Pass) = (Health::Good, Pass::Few(1));

    #[test]
    fn an_outage_is_marked_when_the_breaker_opens_or_after_a_minute_and_until_something_is_accepted() {
        let mut vitals = Vitals::default();
        assert_eq!((see(&mut vitals, BAD, 0), see(&mut vitals, OPEN, 5)), (None, Some(Mark::Failing(at(0)))));
        assert_eq!((see(&mut vitals, OPEN, 6), see(&mut vitals, WELL, 7)), (None, Some(Mark::Recovered(at(0)))));
        assert_eq!((see(&mut vitals, WELL, 8), vitals.failing_since()), (None, None));

        let mut rare = Vitals::default();
        assert_eq!((see(&mut rare, BAD, 0), see(&mut rare, BAD, 59)), (None, None));
        assert_eq!((see(&mut rare, BAD, 60), see(&mut rare, BAD, 61)), (Some(Mark::Failing(at(0))), None));
    }

    #[test]
    fn who_comes_and_goes_is_marked_once_a_minute_at_most() {
        let mut vitals = Vitals::default();
        let marks = (0..300).filter_map(|n| see(&mut vitals, if n % 2 == 0 { OPEN } else { WELL }, n));
        assert_eq!(marks.count(), 10, "five minutes: five begin and five end");
    }

    #[test]
    fn sw_18_what_the_store_remembers_is_counted_on_but_one_failure_after_a_stop_is_not_the_end() {
        let mut vitals = Vitals::default();
        vitals.found(at(0));
        let after = Some(Duration::from_secs(100));
        for (now, lost) in [(99, false), (100, false), (101, true)] {
            assert_eq!((see(&mut vitals, OPEN, now), vitals.is_lost(after, at(now))), (None, lost), "{now}");
        }
        assert!(!vitals.is_lost(None, at(1_000)));
        assert_eq!((vitals.forget(), vitals.failing_since()), (Some(Mark::Forgotten), None));
        assert_eq!(vitals.forget(), None, "nothing is remembered");
    }
}
