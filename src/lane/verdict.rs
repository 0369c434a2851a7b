//! What an outcome means for its delivery.

use crate::model::dead_letter::DeadReason;
use crate::model::outcome::{Outcome, RetryAfter};
use std::time::Duration;

const CAP: Duration = Duration::from_secs(24 * 3600);

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is accepted.
    Accepted,
    /// It is tried again.
    Again {
        /// After this wait.
        after: Duration,
        /// The whole lane waits so long.
        slow_lane: Option<Duration>,
    },
    /// It is given up.
    Dead(DeadReason),
    /// The endpoint is gone: the subscription is disabled.
    Disable,
}

/// Judges an outcome.
#[must_use]
pub fn judge(outcome: &Outcome, scheduled: Duration, age: Duration, max_age: Duration) -> Verdict {
    let (status, asked) = match outcome {
        _ if outcome.accepted() => return Verdict::Accepted,
        Outcome::Answered(answer) => match answer.retry_after {
            RetryAfter::Seconds(wait) | RetryAfter::Date(wait) => (answer.status, Some(wait.min(CAP))),
            RetryAfter::Absent | RetryAfter::Malformed => (answer.status, None),
        },
        Outcome::Failed { .. } => (0, None),
    };
    match status {
        410 => Verdict::Disable,
        413 | 415 => Verdict::Dead(DeadReason::Refused),
        _ if age >= max_age => Verdict::Dead(DeadReason::Expired),
        _ => {
            let after = scheduled.max(asked.unwrap_or_default());
            Verdict::Again { after, slow_lane: asked.filter(|_| matches!(status, 429 | 502 | 503 | 504)) }
        }
    }
}
