//! How first attempts are put together, as users write it: `{max_events, max_bytes, max_wait}`.

use crate::model::problem::Problems;
use crate::model::subscription::Batching;
use crate::yaml::fields::{Field, Fields};
use std::ops::RangeInclusive;
use std::time::Duration;

/// What is taken of what is not written.
const DEFAULT: Batching = Batching { max_events: 100, max_bytes: 1 << 20, max_wait: Duration::from_secs(1) };
/// One alone is no batch; more than this is a load for any receiver.
const EVENTS: RangeInclusive<u64> = 2..=1_000;
/// What most receivers take in one request is between these.
const BYTES: RangeInclusive<u64> = 1 << 10..=16 << 20;
/// Longer would come too near to `settle_within`, after which a delivery is parked and goes alone.
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(4);

pub(crate) fn read(field: &Field<'_>, problems: &mut Problems) -> Batching {
    let mut batch = DEFAULT;
    let Some(mut fields) = Fields::of(field, problems) else { return batch };
    if let Some(field) = fields.optional("max_events") {
        let events = field.integer(EVENTS, problems).and_then(|events| usize::try_from(events).ok());
        batch.max_events = events.unwrap_or(batch.max_events);
    }
    if let Some(field) = fields.optional("max_bytes") {
        batch.max_bytes = field.size(BYTES, problems).unwrap_or(batch.max_bytes);
    }
    if let Some(field) = fields.optional("max_wait") {
        batch.max_wait = field.duration(WAIT, problems).unwrap_or(batch.max_wait);
    }
    fields.finish(problems);
    batch
}
