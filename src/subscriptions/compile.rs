//! A subscription made ready: what its lane goes by, what its attempts are sent to, what it matches.

use crate::deliver::error::TargetError;
use crate::deliver::target::Target;
use crate::lane::settings::DeliverySettings;
use crate::matching::dialect::Dialects;
use crate::matching::filter::Filter;
use crate::matching::index::Candidate;
use crate::matching::pattern::Pattern;
use crate::model::subscription::{Batching, Subscription};

/// A batch waits at most for this share of `settle_within`: the rest is for its attempt.
const WAIT_SHARE: f64 = 0.8;

/// The lane settings of a subscription: its own where it has them, else the defaults.
#[must_use]
pub(crate) fn lane_settings(subscription: &Subscription, defaults: &DeliverySettings) -> DeliverySettings {
    DeliverySettings {
        timeout: subscription.timeout.unwrap_or(defaults.timeout),
        concurrency: subscription.concurrency.unwrap_or(defaults.concurrency),
        retry: subscription.retry.clone().unwrap_or_else(|| defaults.retry.clone()),
        ordering: subscription.ordering,
        on_blocked: subscription.on_blocked.unwrap_or(defaults.on_blocked),
        per_minute: per_minute(subscription),
        batch: subscription.batch.map(|batch| {
            let max_wait = batch.max_wait.min(defaults.settle_within.mul_f64(WAIT_SHARE));
            Batching { max_wait, ..batch }
        }),
        ..defaults.clone()
    }
}

/// The slower of what it asks to be held to and what its endpoint allowed (WH-5).
fn per_minute(subscription: &Subscription) -> Option<u32> {
    let own = subscription.rate.map(|per_second| per_second.saturating_mul(60));
    let consent = subscription.verification.as_ref().and_then(|verification| verification.consent.as_ref());
    [own, consent.and_then(|consent| consent.per_minute)].into_iter().flatten().min()
}

/// What attempts are sent to.
///
/// # Errors
/// A secret or a header that the reader would have refused: the stored row is not one of ours.
pub(crate) fn target(subscription: &Subscription, defaults: &DeliverySettings) -> Result<Target, TargetError> {
    Target::new(subscription, subscription.timeout.unwrap_or(defaults.timeout))
}

/// What it matches. A pattern or filter that this version cannot read matches nothing, and says so.
///
/// # Errors
/// What cannot be read, in words.
pub(crate) fn candidate(subscription: &Subscription) -> Result<Candidate, String> {
    let patterns = subscription.types.iter().map(|text| Pattern::parse(text).map_err(|error| error.to_string()));
    let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
    let filter = subscription.filter.as_deref().map(|text| Filter::compile(text).map_err(|error| error.to_string()));
    let dialects = subscription.filters.as_ref().map_or_else(|| Ok(Dialects::default()), Dialects::compile);
    let dialects = dialects.map_err(|mistakes| mistakes.first().map(ToString::to_string).unwrap_or_default())?;
    Ok(Candidate { tenant: subscription.tenant.clone(), patterns, dialects, filter: filter.transpose()? })
}
