//! Requests per minute: a bucket that fills steadily and holds a tenth of a second's worth, at least one.

use crate::model::time::Timestamp;
use std::time::Duration;

/// One request: so much fills in a millisecond at one per minute that many times.
const REQUEST: u64 = 60_000;

/// The rate limit of one lane.
#[derive(Debug)]
pub(crate) struct Rate {
    bucket: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    per_minute: u32,
    /// In parts of [`REQUEST`].
    filled: u64,
    at: Timestamp,
}

// === impl Rate ===

impl Rate {
    pub(crate) fn new(per_minute: Option<u32>) -> Self {
        let full = |per_minute| Bucket { per_minute, filled: u64::MAX, at: Timestamp::from_millis(i64::MIN) };
        Self { bucket: per_minute.filter(|rate| *rate > 0).map(full) }
    }

    /// Another limit from now on; what was saved is kept.
    pub(crate) fn configure(&mut self, per_minute: Option<u32>) {
        match (&mut self.bucket, per_minute.filter(|rate| *rate > 0)) {
            (Some(bucket), Some(rate)) => bucket.per_minute = rate,
            _ => *self = Self::new(per_minute),
        }
    }

    /// Whether a request may go now.
    pub(crate) fn ready(&mut self, now: Timestamp) -> bool {
        self.bucket.as_mut().is_none_or(|bucket| bucket.fill(now) >= REQUEST)
    }

    /// A request goes.
    pub(crate) fn take(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.filled = bucket.filled.saturating_sub(REQUEST);
        }
    }

    /// When the next request may go; `None`: now.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let bucket = self.bucket.as_ref()?;
        let missing = REQUEST.saturating_sub(bucket.filled);
        let at = bucket.at.after(Duration::from_millis(missing.div_ceil(u64::from(bucket.per_minute))));
        (missing > 0 && at > now).then_some(at)
    }
}

// === impl Bucket ===

impl Bucket {
    fn fill(&mut self, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(u64::from(self.per_minute));
        let holds = (u64::from(self.per_minute) * 100).max(REQUEST);
        self.filled = self.filled.saturating_add(more).min(holds);
        self.at = self.at.max(now);
        self.filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_next_request_goes_when_it_was_said_and_not_before() {
        let mut rate = Rate::new(Some(180));
        assert!(rate.ready(at(0)));
        rate.take();
        assert!(!rate.ready(at(0)));
        assert_eq!(rate.next(at(0)), Some(at(334)));
        assert!(!rate.ready(at(333)) && rate.ready(at(334)));
    }

    #[test]
    fn one_a_minute_is_one_a_minute() {
        let mut rate = Rate::new(Some(1));
        assert!(rate.ready(at(0)));
        rate.take();
        assert!(!rate.ready(at(59_999)));
        assert_eq!(rate.next(at(59_999)), Some(at(60_000)));
        assert!(rate.ready(at(60_000)));
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_rate_and_a_tenth(per_second in 1u32..500, steps in prop::collection::vec(0i64..30, 1..400)) {
            let (mut rate, mut now, mut gone) = (Rate::new(Some(per_second * 60)), 0, Vec::new());
            for step in steps {
                now += step;
                while rate.ready(at(now)) {
                    rate.take();
                    gone.push(now);
                }
            }
            let most = (f64::from(per_second) * 1.1).ceil() as usize + 1;
            for (n, start) in gone.iter().enumerate() {
                prop_assert!(gone[n..].iter().take_while(|at| **at < start + 1_000).count() <= most);
            }
        }
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let mut rate = Rate::new(None);
        (0..10_000).for_each(|_| rate.take());
        assert!(rate.ready(at(0)) && rate.next(at(0)).is_none());
    }
}
