//! Outcomes of the last while, counted in a ring of shares of it: what a ratio of failures is taken over.

use crate::model::time::Timestamp;
use std::time::Duration;

const SHARES: usize = 10;

/// Counts outcomes that are not older than its length, give or take a tenth of it.
#[derive(Debug)]
pub(crate) struct Window {
    share: i64,
    shares: [Share; SHARES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    number: i64,
    good: u32,
    bad: u32,
}

// === impl Window ===

impl Window {
    pub(crate) fn new(length: Duration) -> Self {
        let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        Self { share: (millis / SHARES as i64).max(1), shares: [Share::default(); SHARES] }
    }

    pub(crate) fn good(&mut self, now: Timestamp) {
        self.share(now).good += 1;
    }

    pub(crate) fn bad(&mut self, now: Timestamp) {
        self.share(now).bad += 1;
    }

    /// The share of failures, when there were at least `calls` outcomes.
    pub(crate) fn ratio(&self, now: Timestamp, calls: u32) -> Option<f64> {
        let oldest = now.as_millis().div_euclid(self.share) - SHARES as i64;
        let fresh = self.shares.iter().filter(|share| share.number > oldest);
        let (good, bad) = fresh.fold((0, 0), |(good, bad), share| (good + share.good, bad + share.bad));
        (good + bad >= calls && bad > 0).then(|| f64::from(bad) / f64::from(good + bad))
    }

    pub(crate) fn clear(&mut self) {
        self.shares = [Share::default(); SHARES];
    }

    fn share(&mut self, now: Timestamp) -> &mut Share {
        let number = now.as_millis().div_euclid(self.share);
        let share = &mut self.shares[usize::try_from(number.rem_euclid(SHARES as i64)).unwrap_or(0)];
        if share.number != number {
            *share = Share { number, good: 0, bad: 0 };
        }
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut window = Window::new(Duration::from_secs(30));
        (0..10).for_each(|n| window.bad(at(100_000 + n)));
        (0..10).for_each(|n| window.good(at(115_000 + n)));
        assert_eq!(window.ratio(at(116_000), 21), None, "too few for a share");
        assert_eq!(window.ratio(at(116_000), 20), Some(0.5));
        assert_eq!(window.ratio(at(135_000), 5), None, "only successes are left");
        window.bad(at(146_000));
        assert_eq!(window.ratio(at(146_000), 1), Some(1.0));
    }
}
