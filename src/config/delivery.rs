//! `delivery:` the defaults of every subscription.

use crate::config::reading::{Reading, put};
use crate::lane::settings::{BreakerSettings, DeliverySettings};
use crate::model::problem::Problems;
use crate::model::subscription::OnBlocked;
use crate::subscriptions::order::{CONCURRENCY, TIMEOUT};
use crate::subscriptions::retry;
use crate::yaml::fields::{Field, Fields};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longer would hold the commit, and bring as many twins after a kill.
const SETTLE_WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Smaller would not hold one large event; the same for dead letters.
const LEDGER_BUDGET: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// Failures in a row that open a breaker.
const CONSECUTIVE: RangeInclusive<u64> = 1..=1_000;
/// A share of failures.
const RATIO: RangeInclusive<f64> = 0.01..=1.0;
/// What the share is taken over.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// Outcomes that a share needs.
const MIN_CALLS: RangeInclusive<u64> = 1..=10_000;
/// Waits between probes: more often would hurt an endpoint that fails, more rarely would miss that it is back.
const PROBE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// Failing for longer than this is not waited for by anybody.
const DISABLE_AFTER: Duration = Duration::from_secs(90 * 24 * 3600);

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> DeliverySettings {
    let mut settings = DeliverySettings::default();
    let Some(mut fields) = reading.section(field) else { return settings };
    if let Some(field) = fields.optional("timeout") {
        put(&mut settings.timeout, field.duration(TIMEOUT, &mut reading.problems));
    }
    if let Some(field) = fields.optional("concurrency") {
        let concurrency = reading.integer(&field, CONCURRENCY);
        put(&mut settings.concurrency, concurrency.and_then(|n| u16::try_from(n).ok()));
    }
    if let Some(field) = fields.optional("settle_within") {
        put(&mut settings.settle_within, field.duration(SETTLE_WITHIN, &mut reading.problems));
    }
    if let Some(field) = fields.optional("ledger_budget") {
        put(&mut settings.ledger_budget, field.size(LEDGER_BUDGET, &mut reading.problems));
    }
    if let Some(field) = fields.optional("dead_letter_budget") {
        put(&mut settings.dead_letter_budget, field.size(LEDGER_BUDGET, &mut reading.problems));
    }
    if let Some(field) = fields.optional("retry") {
        let node = reading.typed(field.node);
        let field = Field::new(&node, field.path);
        settings.retry = retry::read(&field, &settings.retry, &mut reading.problems);
    }
    if let Some(field) = fields.optional("on_blocked") {
        let answers = OnBlocked::ALL.map(|answer| (answer.as_str(), answer));
        put(&mut settings.on_blocked, field.one_of(&answers, &mut reading.problems));
    }
    if let Some(field) = fields.optional("breaker") {
        let node = reading.typed(field.node);
        settings.breaker = breaker(&Field::new(&node, field.path), &mut reading.problems);
    }
    if let Some(field) = fields.optional("disable_after") {
        let after = field.duration(Duration::ZERO..=DISABLE_AFTER, &mut reading.problems);
        put(&mut settings.disable_after, after.map(|after| Some(after).filter(|after| !after.is_zero())));
    }
    fields.finish(&mut reading.problems);
    settings
}

fn breaker(field: &Field<'_>, problems: &mut Problems) -> BreakerSettings {
    let mut breaker = BreakerSettings::default();
    let Some(mut fields) = Fields::of(field, problems) else { return breaker };
    let count = |n: u64| u32::try_from(n).ok();
    if let Some(field) = fields.optional("consecutive") {
        put(&mut breaker.consecutive, field.integer(CONSECUTIVE, problems).and_then(count));
    }
    if let Some(field) = fields.optional("ratio") {
        put(&mut breaker.ratio, field.number(RATIO, problems));
    }
    if let Some(field) = fields.optional("window") {
        put(&mut breaker.window, field.duration(WINDOW, problems));
    }
    if let Some(field) = fields.optional("min_calls") {
        put(&mut breaker.min_calls, field.integer(MIN_CALLS, problems).and_then(count));
    }
    if let Some(field) = fields.optional("probe")
        && let Some(mut probe) = Fields::of(&field, problems)
    {
        if let Some(field) = probe.optional("min") {
            put(&mut breaker.probe_min, field.duration(PROBE, problems));
        }
        if let Some(field) = probe.optional("max") {
            put(&mut breaker.probe_max, field.duration(PROBE, problems));
        }
        probe.finish(problems);
        if breaker.probe_min > breaker.probe_max {
            field.problem(problems, "min is longer than max", "");
        }
    }
    fields.finish(problems);
    breaker
}
