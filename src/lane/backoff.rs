//! When again: the schedule, with jitter.

use crate::model::subscription::Retry;
use std::time::Duration;

/// The wait after the given number of failures (from 1). `roll` in `0.0..1.0` places it within the jitter.
#[must_use]
pub fn wait(retry: &Retry, failures: u16, roll: f64) -> Duration {
    let nth = usize::from(failures.max(1)) - 1;
    let base = retry.schedule.get(nth).or(retry.schedule.last()).copied().unwrap_or(Duration::from_secs(5));
    base.mul_f64(1.0 + retry.jitter * (2.0 * roll - 1.0))
}
