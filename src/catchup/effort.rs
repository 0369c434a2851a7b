//! How much of a processor a scan thread took since its last rest, by the processor's own count: on a busy machine a
//! thread that stands in line does not work.

use crate::catchup::turns::Worked;
use crate::runtime::clock;
use std::time::{Duration, Instant};

/// A scan rests after so much work: short against the time a live record may take.
pub(crate) const SLICE: Duration = Duration::from_millis(5);

/// What one thread does.
pub(crate) struct Effort {
    /// What it had taken at its last rest.
    cpu: Duration,
    rested: Instant,
    looked: Instant,
}

// === impl Effort ===

impl Effort {
    /// Of the thread that calls this.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { cpu: clock::thread_cpu(), rested: now, looked: now }
    }

    /// What it worked since the last rest, when that is enough for another. Asks the system once in a slice at most.
    pub(crate) fn worked(&mut self) -> Option<Worked> {
        if self.looked.elapsed() < SLICE {
            return None;
        }
        self.looked = Instant::now();
        let worked = Worked { cpu: clock::thread_cpu().saturating_sub(self.cpu), took: self.rested.elapsed() };
        (worked.cpu >= SLICE).then_some(worked)
    }

    /// Rests.
    pub(crate) fn rest(&mut self, how_long: Duration) {
        std::thread::sleep(how_long);
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_no_work_and_what_is_done_is() {
        let mut effort = Effort::new();
        std::thread::sleep(SLICE * 2);
        assert_eq!(effort.worked(), None);
        let mut sum = 0u64;
        let worked = loop {
            sum = std::hint::black_box(sum.wrapping_add(1));
            if let Some(worked) = effort.worked() {
                break worked;
            }
        };
        assert!(worked.cpu >= SLICE && worked.took >= SLICE * 3, "{worked:?}");
        effort.rest(Duration::ZERO);
        assert_eq!(effort.worked(), None);
    }
}
