//! When a failed delivery is tried again, as users write it: `{schedule, max_age, jitter}`, or `{min, max, factor}`
//! in the place of a schedule. Read here for subscriptions and for the defaults in the configuration.

use crate::model::problem::Problems;
use crate::model::subscription::Retry;
use crate::yaml::fields::{Field, Fields};
use std::ops::RangeInclusive;
use std::time::Duration;

/// One wait. Shorter would be a busy loop; longer than the oldest delivery may get makes no sense.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(7 * 24 * 3600);
/// How old a delivery may get.
const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
/// How many waits a schedule has.
const STEPS: RangeInclusive<usize> = 1..=100;
/// By how much each wait is longer than the one before; with the least a schedule from 100 ms to 7 d has 82 steps.
const FACTOR: RangeInclusive<f64> = 1.2..=10.0;
/// What is taken when none is written: doubling.
const DOUBLING: f64 = 2.0;

/// Reads a retry; what is not written is as in `defaults`.
pub fn read(field: &Field<'_>, defaults: &Retry, problems: &mut Problems) -> Retry {
    let mut retry = defaults.clone();
    let Some(mut fields) = Fields::of(field, problems) else { return retry };
    let schedule = fields.optional("schedule");
    let (min, max, factor) = (fields.optional("min"), fields.optional("max"), fields.optional("factor"));
    let growing = min.is_some() || max.is_some() || factor.is_some();
    match (schedule, growing) {
        (Some(field), true) => field.problem(problems, "stands beside min, max or factor", "Write one or the other"),
        (Some(field), false) => retry.schedule = steps(&field, problems).unwrap_or(retry.schedule),
        (None, true) => {
            let factor = factor.map_or(Some(DOUBLING), |field| field.number(FACTOR, problems));
            let first = wait(min, field, "min", problems);
            let last = wait(max, field, "max", problems);
            if let (Some(first), Some(last), Some(factor)) = (first, last, factor) {
                if first > last {
                    field.problem(problems, "min is longer than max", "");
                }
                retry.schedule = grow(first, last, factor);
            }
        }
        (None, false) => {}
    }
    if let Some(field) = fields.optional("max_age") {
        retry.max_age = field.duration(MAX_AGE, problems).unwrap_or(retry.max_age);
    }
    if let Some(field) = fields.optional("jitter") {
        retry.jitter = field.number(0.0..=1.0, problems).unwrap_or(retry.jitter);
    }
    fields.finish(problems);
    retry
}

fn steps(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<Duration>> {
    let waits = field.list(problems)?;
    if !STEPS.contains(&waits.len()) {
        let what = format!("has {} waits", waits.len());
        field.problem(problems, what, format!("It has {} to {}; the last repeats", STEPS.start(), STEPS.end()));
        return None;
    }
    let waits: Vec<_> = waits.iter().map(|wait| wait.duration(WAIT, problems)).collect();
    waits.into_iter().collect()
}

fn wait(field: Option<Field<'_>>, of: &Field<'_>, name: &str, problems: &mut Problems) -> Option<Duration> {
    match field {
        Some(field) => field.duration(WAIT, problems),
        None => {
            of.problem(problems, format!("{name} is missing"), "Write min and max, or a schedule");
            None
        }
    }
}

fn grow(first: Duration, last: Duration, factor: f64) -> Vec<Duration> {
    let mut schedule = vec![first.min(last)];
    while let Some(wait) = schedule.last().copied().filter(|wait| *wait < last) {
        // Whole milliseconds, as they are written.
        let next = Duration::from_millis(wait.mul_f64(factor).as_millis().try_into().unwrap_or(u64::MAX));
        schedule.push(next.min(last));
    }
    schedule
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::settings::DeliverySettings;
    use crate::yaml::reader;

    fn told(text: &str) -> Result<Retry, Vec<String>> {
        let node = reader::read(&"f".into(), text).unwrap();
        let mut problems = Problems::default();
        let retry = read(&Field::new(&node, "retry"), &DeliverySettings::default().retry, &mut problems);
        if problems.is_empty() { Ok(retry) } else { Err(problems.0.iter().map(ToString::to_string).collect()) }
    }

    #[test]
    fn what_is_not_written_is_as_in_the_defaults() {
        let defaults = DeliverySettings::default().retry;
        assert_eq!(told("{}"), Ok(defaults.clone()));
        let retry = told("{schedule: [200ms, 1m], jitter: 0}").unwrap();
        assert_eq!(retry.schedule, [Duration::from_millis(200), Duration::from_secs(60)]);
        assert_eq!((retry.max_age, retry.jitter), (defaults.max_age, 0.0));
    }

    #[test]
    fn waits_that_grow_become_a_schedule_that_ends_at_the_longest() {
        let seconds = |text: &str| told(text).unwrap().schedule.iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(seconds("{min: 1s, max: 10s}"), [1, 2, 4, 8, 10]);
        assert_eq!(seconds("{min: 1s, max: 1s, factor: 3}"), [1]);
        assert!(told("{min: 100ms, max: 7d, factor: 1.2}").unwrap().schedule.len() <= *STEPS.end());
    }

    #[test]
    fn every_bad_value_has_its_message() {
        for (text, expected) in [
            ("[5s]", "f:1:1: retry: must be a map, not a list"),
            ("{schedule: []}", "f:1:12: retry.schedule: has 0 waits. It has 1 to 100; the last repeats"),
            ("{schedule: [0]}", "f:1:13: retry.schedule[0]: 0 is out of range. It may be 100ms to 7d"),
            ("{schedule: [1s], min: 1s}", "f:1:12: retry.schedule: stands beside min, max or factor"),
            ("{min: 1s}", "f:1:1: retry: max is missing"),
            ("{min: 2s, max: 1s}", "f:1:1: retry: min is longer than max"),
            ("{min: 1s, max: 2s, factor: 1}", "f:1:28: retry.factor: 1 is out of range. It may be 1.2 to 10"),
            ("{max_age: 31d}", "f:1:11: retry.max_age: 31d is out of range. It may be 1s to 30d"),
            ("{jitter: 1.5}", "f:1:10: retry.jitter: 1.5 is out of range. It may be 0 to 1"),
            ("{attempts: 5}", "f:1:2: retry.attempts: is not a known key"),
        ] {
            let told = told(text).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with(expected), "{text}: {told:?}");
        }
    }
}
