//! `delivery:` the defaults of every subscription.

use crate::config::later;
use crate::config::reading::{Reading, put};
use crate::lane::settings::DeliverySettings;
use crate::subscriptions::order::{CONCURRENCY, TIMEOUT};
use crate::subscriptions::retry;
use crate::yaml::fields::Field;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Longer would hold the commit, and bring as many twins after a kill.
const SETTLE_WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Smaller would not hold one large event.
const LEDGER_BUDGET: RangeInclusive<u64> = 1 << 20..=1 << 40;

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
    if let Some(field) = fields.optional("retry") {
        let node = reading.typed(field.node);
        let field = Field::new(&node, field.path);
        settings.retry = retry::read(&field, &settings.retry, &mut reading.problems);
    }
    later::refuse(&mut fields, "on_blocked", "wait", reading);
    later::refuse(&mut fields, "breaker", later::BREAKER, reading);
    later::refuse(&mut fields, "disable_after", "5d", reading);
    fields.finish(&mut reading.problems);
    settings
}
