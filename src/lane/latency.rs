//! How long the last exchanges took, in a histogram of 128 bytes: half of the answers came within p50, 99 of 100 within p99.
//!
//! Four buckets for each doubling, from a millisecond to a minute: what it gives is off by a tenth at most. When a thousand
//! are counted each bucket forgets half of what it holds, so that what was an hour ago fades. Pure.

use std::time::Duration;

/// Buckets: 16 doublings from 1 ms reach beyond the longest timeout one may set.
const BUCKETS: usize = 64;
const PER_DOUBLING: f64 = 4.0;
/// So many are remembered, and half of them after that.
const MOST: u16 = 1_000;

/// How long the last exchanges took.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    counts: [u16; BUCKETS],
    total: u16,
}

// === impl Latency ===

impl Latency {
    pub(crate) fn add(&mut self, took: Duration) {
        if self.total == MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        let doublings = (took.as_secs_f64() * 1_000.0).max(1.0).log2();
        let bucket = (doublings * PER_DOUBLING) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.total += 1;
    }

    /// What `percent` of 100 took no longer than; `None` while none is known.
    pub(crate) fn percentile(&self, percent: u32) -> Option<Duration> {
        let rank = (u32::from(self.total) * percent).div_ceil(100);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += u32::from(*count);
            rank > 0 && below >= rank
        })?;
        let middle = (bucket as f64 + 0.5) / PER_DOUBLING;
        Some(Duration::from_secs_f64(middle.exp2() / 1_000.0))
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_takes_little_and_knows_nothing_at_first() {
        assert!(size_of::<Latency>() <= 200);
        assert_eq!(Latency::default().percentile(50), None);
    }

    #[test]
    fn what_was_long_ago_fades() {
        let mut latency = Latency::default();
        (0..1_000).for_each(|_| latency.add(Duration::from_secs(10)));
        assert!(latency.percentile(50).is_some_and(|p50| p50 > Duration::from_secs(9)));
        (0..1_500).for_each(|_| latency.add(Duration::from_millis(10)));
        assert!(latency.percentile(50).is_some_and(|p50| p50 < Duration::from_millis(12)));
        (0..10_000).for_each(|_| latency.add(Duration::from_millis(10)));
        assert!(latency.percentile(99).is_some_and(|p99| p99 < Duration::from_millis(12)));
    }

    proptest! {
        #[test]
        fn it_is_off_by_a_tenth_at_most(mut took in prop::collection::vec(1..60_000u64, 1..500)) {
            let mut latency = Latency::default();
            took.iter().for_each(|millis| latency.add(Duration::from_millis(*millis)));
            took.sort_unstable();
            for percent in [50, 99] {
                let exact = took[(took.len() * percent).div_ceil(100) - 1] as f64;
                let given = latency.percentile(percent as u32).unwrap().as_secs_f64() * 1_000.0;
                prop_assert!((given / exact - 1.0).abs() <= 0.1, "{given} is not {exact}");
            }
        }
    }
}
