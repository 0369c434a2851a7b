//! Now. The only place that asks the system what time it is.

use crate::model::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The present time, UTC, in milliseconds.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock that the others ask")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The present time in nanoseconds since 1970: for what takes less than a millisecond.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock that the others ask")]
pub fn nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The time that this thread had a processor, since it began.
#[must_use]
pub fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}
