//! When to try again: the schedule, varied by chance so that those who failed together do not come back together.

use crate::model::subscription::Retry;
use std::time::Duration;

/// The wait after failure number `failures` (from 1); `roll` in `0.0..1.0` varies it by up to `retry.jitter` both ways.
///
/// Beyond the end of the schedule its last wait repeats; an empty schedule waits not at all.
#[must_use]
pub fn wait(retry: &Retry, failures: u16, roll: f64) -> Duration {
    let place = usize::from(failures.saturating_sub(1));
    let Some(base) = retry.schedule.get(place).or(retry.schedule.last()) else { return Duration::ZERO };
    let factor = 1.0 + retry.jitter.clamp(0.0, 1.0) * (2.0 * roll.clamp(0.0, 1.0) - 1.0);
    Duration::try_from_secs_f64(base.as_secs_f64() * factor).unwrap_or(*base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::settings::DeliverySettings;
    use proptest::prelude::*;

    #[test]
    fn sw_16_without_jitter_the_attempts_start_when_the_schedule_says() {
        let retry = Retry { jitter: 0.0, ..DeliverySettings::default().retry };
        let (mut at, mut starts) = (Duration::ZERO, Vec::new());
        for failures in 1.. {
            if at >= retry.max_age {
                break;
            }
            let seconds = at.as_secs();
            starts.push(format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
            at += wait(&retry, failures, 0.9);
        }
        let expected = "0:00:00 0:00:05 0:00:35 0:02:35 0:12:35 0:42:35 1:42:35 4:42:35 10:42:35 22:42:35 34:42:35 \
                        46:42:35 58:42:35 70:42:35";
        assert_eq!(starts.join(" "), expected);
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_jitter(
            schedule in prop::collection::vec(0u64..100_000, 1..12),
            failures in 1u16..,
            jitter in 0.0..=1.0,
            roll in 0.0..1.0,
        ) {
            let schedule: Vec<_> = schedule.into_iter().map(Duration::from_secs).collect();
            let base = schedule[usize::from(failures - 1).min(schedule.len() - 1)].as_secs_f64();
            let retry = Retry { schedule, jitter, max_age: Duration::MAX };
            let wait = wait(&retry, failures, roll).as_secs_f64();
            prop_assert!(wait >= base * (1.0 - jitter) - 1e-6 && wait <= base * (1.0 + jitter) + 1e-6);
        }

        #[test]
        fn chance_reaches_both_ends_of_the_jitter(jitter in 0.01..=1.0) {
            let retry = Retry { schedule: vec![Duration::from_secs(100)], jitter, max_age: Duration::MAX };
            let ends = [wait(&retry, 1, 0.0), wait(&retry, 1, 1.0)].map(|wait| wait.as_secs_f64());
            prop_assert!((ends[0] - 100.0 * (1.0 - jitter)).abs() < 1e-3 && (ends[1] - 100.0 * (1.0 + jitter)).abs() < 1e-3);
        }
    }
}
