//! A subscription as the API shows it: every field, in a fixed order, without what is secret.

use crate::model::subscription::{Batching, OnBlocked, Retry, Subscription, Tenant};
use crate::yaml::units::{show_duration, show_size};
use serde_json::{Map, Value, json};

/// The fields that a user may write; all others are Hookline's.
pub(crate) const WRITABLE: [&str; 22] = [
    "tenant",
    "name",
    "description",
    "metadata",
    "url",
    "types",
    "filter",
    "filters",
    "format",
    "transform",
    "headers",
    "auth",
    "signing",
    "ordering",
    "start",
    "timeout",
    "concurrency",
    "rate",
    "batch",
    "retry",
    "on_blocked",
    "verification",
];

/// The fields that Hookline writes.
pub(crate) const OURS: [&str; 9] = [
    "id",
    "status_reason",
    "status_since",
    "verified_at",
    "allowed_per_minute",
    "declared",
    "version",
    "created_at",
    "updated_at",
];

/// Every field of a subscription but its signing secrets and the grant of its verification; of `auth` only the kind.
#[must_use]
pub fn document(subscription: &Subscription) -> Map<String, Value> {
    let s = subscription;
    let consent = s.verification.as_ref().and_then(|verification| verification.consent.as_ref());
    let document = json!({
        "id": s.id,
        "tenant": match &s.tenant {
            Tenant::None => Value::Null,
            tenant @ (Tenant::One(_) | Tenant::All) => Value::String(tenant.to_string()),
        },
        "name": s.name,
        "description": s.description,
        "metadata": s.metadata,
        "url": s.url.as_str(),
        "types": s.types,
        "filter": s.filter,
        "filters": s.filters,
        "format": s.format.as_str(),
        "transform": s.transform,
        "headers": s.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>(),
        "auth": s.auth.as_ref().map(|auth| json!({ "kind": auth.kind() })),
        "signing": { "scheme": s.signing.as_str() },
        "ordering": s.ordering.as_str(),
        "start": s.start.to_string(),
        "timeout": s.timeout.map(show_duration),
        "concurrency": s.concurrency,
        "rate": s.rate,
        "batch": s.batch.as_ref().map(batch),
        "retry": s.retry.as_ref().map(retry),
        "on_blocked": s.on_blocked.map(OnBlocked::as_str),
        "verification": s.verification.as_ref().map_or("none", |verification| verification.proof.as_str()),
        "verified_at": consent.map(|consent| consent.at.to_string()),
        "allowed_per_minute": consent.and_then(|consent| consent.per_minute),
        "status": s.status.state.as_str(),
        "status_reason": s.status.reason,
        "status_since": s.status.since.to_string(),
        "declared": s.declared,
        "version": s.version,
        "created_at": s.created.to_string(),
        "updated_at": s.updated.to_string(),
    });
    match document {
        Value::Object(fields) => fields,
        _ => unreachable!("the document is written as an object"),
    }
}

fn batch(batch: &Batching) -> Value {
    json!({
        "max_events": batch.max_events,
        "max_bytes": show_size(batch.max_bytes),
        "max_wait": show_duration(batch.max_wait),
    })
}

fn retry(retry: &Retry) -> Value {
    let schedule: Vec<String> = retry.schedule.iter().map(|wait| show_duration(*wait)).collect();
    json!({ "schedule": schedule, "max_age": show_duration(retry.max_age), "jitter": retry.jitter })
}
