//! How long intake may wait for room in one lane before it parks.
//!
//! A lane that delivers may slow intake down to a thousand records a second and no further: each accepted
//! delivery earns a millisecond of waiting, at most 100 of them are saved. A lane whose endpoint hangs earns
//! nothing, so after a tenth of a second nobody waits for it (promise P5).

use std::time::Duration;

const EARNED: Duration = Duration::from_millis(1);
const SAVED: Duration = Duration::from_millis(100);

/// The waiting that a lane has earned.
#[derive(Debug)]
pub(crate) struct Patience(Duration);

// === impl Patience ===

impl Patience {
    pub(crate) fn new() -> Self {
        Self(SAVED)
    }

    pub(crate) fn earn(&mut self) {
        self.0 = (self.0 + EARNED).min(SAVED);
    }

    pub(crate) fn spend(&mut self, waited: Duration) {
        self.0 = self.0.saturating_sub(waited);
    }

    pub(crate) fn left(&self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_accepts_nothing_is_waited_for_a_tenth_of_a_second_in_all() {
        let mut patience = Patience::new();
        patience.spend(Duration::from_millis(60));
        patience.spend(Duration::from_millis(60));
        assert_eq!(patience.left(), Duration::ZERO);
        patience.earn();
        assert_eq!(patience.left(), EARNED);
        (0..1_000).for_each(|_| patience.earn());
        assert_eq!(patience.left(), SAVED);
    }
}
