//! Which of the traces that begin with us are recorded: a share of them, told by the id alone, so that everybody who
//! asks about the same trace says the same.

use crate::model::trace::{Sampled, TraceId};

/// A share of traces: those whose random part is at least so much, as OpenTelemetry's samplers have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(u64);

/// How many values the random part of an id has, its last 56 bits (W3C trace context, level 2).
const RANDOM: u64 = 1 << 56;

// === impl Share ===

impl Share {
    /// So much of all, 0 to 1.
    pub(crate) fn new(share: f64) -> Self {
        // Rounded down to a whole number; a part in 2^56 is no loss.
        Self(RANDOM - (share * RANDOM as f64) as u64)
    }

    /// Whether this trace belongs to it.
    pub(crate) fn has(self, trace: TraceId) -> Sampled {
        let (_, last) = trace.as_bytes().split_at(8);
        let last = u64::from_be_bytes(last.try_into().expect("16 bytes less 8 are 8"));
        if last % RANDOM >= self.0 { Sampled::Yes } else { Sampled::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_none_or_about_the_share_of_traces_is_recorded_and_a_larger_share_has_all_of_a_smaller() {
        let trace = |n: u64| TraceId::from_bytes((u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) * 3).to_be_bytes());
        let taken = |share: f64| (1..=10_000).filter(|n| Share::new(share).has(trace(*n)) == Sampled::Yes).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, 10_000));
        assert!((50..=200).contains(&taken(0.01)) && (4_500..=5_500).contains(&taken(0.5)), "{}", taken(0.01));
        let mut both = (1..=10_000).filter(|n| Share::new(0.01).has(trace(*n)) == Sampled::Yes);
        assert!(both.all(|n| Share::new(0.02).has(trace(n)) == Sampled::Yes));
        let (last, first) = (TraceId::from_bytes([0xff; 16]), TraceId::from_bytes([0; 16]));
        assert_eq!((Share::new(1.0).has(last), Share::new(0.01).has(last)), (Sampled::Yes, Sampled::Yes));
        assert_eq!(Share::new(0.99).has(first), Sampled::No);
    }
}
