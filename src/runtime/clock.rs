//! Now. The only place that asks the system what time it is.

use crate::model::time::Timestamp;

/// The present time, UTC, in milliseconds.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock that the others ask")]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
