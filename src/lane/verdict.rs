//! What an outcome means for the delivery and for its lane (HT-4). Pure: it knows no clock and no schedule but what it is told.

use crate::model::dead_letter::DeadReason;
use crate::model::outcome::{FailureCause, Outcome, RetryAfter};
use std::time::Duration;

/// The longest wait that a `Retry-After` can bring about (HT-2): beyond it the endpoint is asked again anyway.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(24 * 3600);

/// What an outcome means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Accepted,
    /// To be tried again.
    Again {
        /// How long to wait at least.
        after: Duration,
        /// How long the whole lane should hold back, when the endpoint says that it is too busy.
        slow_lane: Option<Duration>,
    },
    /// Given up.
    Dead(DeadReason),
    /// The endpoint is gone for good: the subscription is disabled, and everything queued for it stops.
    Disable,
}

/// What `outcome` means when the schedule says to wait `scheduled` (already varied by chance) and the delivery is `age`
/// old, of at most `max_age`.
#[must_use]
pub fn judge(outcome: &Outcome, scheduled: Duration, age: Duration, max_age: Duration) -> Verdict {
    let again = |after, slow_lane| {
        if age >= max_age { Verdict::Dead(DeadReason::Expired) } else { Verdict::Again { after, slow_lane } }
    };
    match outcome {
        Outcome::Answered(answer) => match answer.status {
            200..300 => Verdict::Accepted,
            410 => Verdict::Disable,
            // The same bytes cannot succeed.
            413 | 415 => Verdict::Dead(DeadReason::Refused),
            429 | 502 | 503 | 504 => {
                let after = wait(scheduled, answer.retry_after, RETRY_AFTER_CAP);
                // Without a word on how long, one refused delivery must not hold back all others.
                let asked = wait(Duration::ZERO, answer.retry_after, RETRY_AFTER_CAP);
                again(after, Some(asked).filter(|asked| !asked.is_zero()))
            }
            _ => again(wait(scheduled, answer.retry_after, RETRY_AFTER_CAP), None),
        },
        Outcome::Failed { cause, .. } => match cause {
            // We cut it off ourselves: that is no failed attempt, and only one of those can end a delivery by age.
            FailureCause::CutOff => Verdict::Again { after: scheduled, slow_lane: None },
            // The same event cannot become smaller.
            FailureCause::TooLarge => Verdict::Dead(DeadReason::Refused),
            // Nor does a pure function of it give anything else the next time.
            FailureCause::Transform => Verdict::Dead(DeadReason::TransformFailed),
            FailureCause::Dns
            | FailureCause::Connect
            | FailureCause::Tls
            | FailureCause::Timeout
            | FailureCause::Reset
            | FailureCause::BlockedAddress
            | FailureCause::Protocol => again(scheduled, None),
        },
    }
}

/// The wait before the next attempt: what the endpoint asks for up to `cap`, but never less than the schedule (HT-2).
#[must_use]
pub fn wait(scheduled: Duration, asked: RetryAfter, cap: Duration) -> Duration {
    match asked {
        RetryAfter::Seconds(asked) | RetryAfter::Date(asked) => scheduled.max(asked.min(cap)),
        RetryAfter::Absent | RetryAfter::Malformed => scheduled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::Answer;
    use bytes::Bytes;

    const WAIT: Duration = Duration::from_secs(30);
    const DAY: Duration = Duration::from_secs(86_400);

    fn answered(status: u16, retry_after: RetryAfter) -> Outcome {
        Outcome::Answered(Answer { status, retry_after, head: Bytes::new() })
    }

    fn failed(cause: FailureCause) -> Outcome {
        Outcome::Failed { cause, detail: String::new() }
    }

    #[test]
    fn ht_4_every_status_has_its_class() {
        for status in 100..=599 {
            let verdict = judge(&answered(status, RetryAfter::Seconds(WAIT)), WAIT, Duration::ZERO, DAY);
            let expected = match status {
                200..=299 => Verdict::Accepted,
                410 => Verdict::Disable,
                413 | 415 => Verdict::Dead(DeadReason::Refused),
                429 | 502 | 503 | 504 => Verdict::Again { after: WAIT, slow_lane: Some(WAIT) },
                _ => Verdict::Again { after: WAIT, slow_lane: None },
            };
            assert_eq!(verdict, expected, "{status}");
        }
    }

    #[test]
    fn a_refusal_waits_at_least_as_long_as_the_schedule() {
        for asked in [Duration::ZERO, Duration::from_secs(29), WAIT] {
            let verdict = judge(&answered(503, RetryAfter::Seconds(asked)), WAIT, Duration::ZERO, DAY);
            let slow_lane = Some(asked).filter(|asked| !asked.is_zero());
            assert_eq!(verdict, Verdict::Again { after: WAIT, slow_lane }, "the lane waits as it was asked, no longer");
        }
        let silent = judge(&answered(503, RetryAfter::Absent), WAIT, Duration::ZERO, DAY);
        assert_eq!(silent, Verdict::Again { after: WAIT, slow_lane: None });
        let long = judge(&answered(429, RetryAfter::Date(DAY * 2)), WAIT, Duration::ZERO, DAY);
        assert_eq!(long, Verdict::Again { after: DAY, slow_lane: Some(DAY) });
    }

    #[test]
    fn only_a_failed_attempt_can_end_a_delivery_by_age() {
        let expired = Verdict::Dead(DeadReason::Expired);
        let old = |outcome: &Outcome| judge(outcome, WAIT, DAY, DAY);
        for cause in FailureCause::ALL {
            let expected = match cause {
                FailureCause::CutOff => Verdict::Again { after: WAIT, slow_lane: None },
                FailureCause::TooLarge => Verdict::Dead(DeadReason::Refused),
                FailureCause::Transform => Verdict::Dead(DeadReason::TransformFailed),
                _ => expired,
            };
            assert_eq!(old(&failed(cause)), expected, "{}", cause.as_str());
        }
        assert_eq!(old(&answered(500, RetryAfter::Absent)), expired);
        assert_eq!(old(&answered(204, RetryAfter::Absent)), Verdict::Accepted);
        assert_eq!(old(&answered(410, RetryAfter::Absent)), Verdict::Disable);
        let young = judge(&answered(500, RetryAfter::Absent), WAIT, DAY - Duration::from_millis(1), DAY);
        assert_eq!(young, Verdict::Again { after: WAIT, slow_lane: None });
    }

    #[test]
    fn no_answer_at_all_is_tried_again() {
        let ours = [FailureCause::TooLarge, FailureCause::Transform];
        for cause in FailureCause::ALL.into_iter().filter(|cause| !ours.contains(cause)) {
            let verdict = judge(&failed(cause), WAIT, Duration::ZERO, DAY);
            assert_eq!(verdict, Verdict::Again { after: WAIT, slow_lane: None }, "{}", cause.as_str());
        }
    }
}
