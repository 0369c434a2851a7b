//! How model types look in answers. Never a secret: of `auth` only its kind, of signing secrets nothing but, once
//! and in the answer to a create, what [`secrets`] gives.

use crate::deliver::sign::{self, Verifier};
use crate::model::event::IntegrationEvent;
use crate::model::outcome::Outcome;
use crate::model::record::Origin;
use crate::model::subscription::{Signing, Subscription};
use crate::subscriptions::shape::document;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A subscription as [`document`] has it; with `ed25519` also the public keys, newest first, which receivers verify
/// with.
pub(crate) fn subscription(subscription: &Subscription) -> Value {
    let mut fields = document(subscription);
    if subscription.signing == Signing::Ed25519 {
        let secrets = subscription.secrets.iter().map(|secret| sign::parse_verifier(secret.text.expose()));
        let public = secrets.filter_map(|key| match key {
            Ok(Verifier::Ed25519(public)) => Some(public.to_string()),
            Ok(Verifier::Standard(_)) | Err(_) => None,
        });
        fields.insert("public_keys".into(), public.collect());
    }
    Value::Object(fields)
}

/// The signing secrets for the one answer that shows them: what Hookline made in full, what the user gave as its
/// prefix and last 4 characters (SEC-8).
pub(crate) fn secrets(subscription: &Subscription, made: Made) -> Value {
    let texts = subscription.secrets.iter().map(|secret| secret.text.expose());
    match made {
        Made::Here => texts.map(str::to_owned).collect(),
        Made::ByUser => texts.map(|text| masked(text, subscription.signing)).collect(),
    }
}

/// Where signing secrets came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Hookline made them.
    Here,
    /// They were given.
    ByUser,
}

/// Where a record stands.
pub(crate) fn origin(origin: &Origin) -> Value {
    json!({
        "topic": &*origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "timestamp": origin.timestamp.to_string(),
    })
}

/// An event's attributes, without its data.
pub(crate) fn event(event: &IntegrationEvent) -> Value {
    json!({
        "id": event.id.to_string(),
        "type": &*event.event_type,
        "source": &*event.source,
        "subject": event.subject,
        "time": event.time.to_string(),
        "tenant": event.tenant,
        "key": event.key,
    })
}

/// What came of an attempt.
pub(crate) fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Answered(answer) => json!({
            "status": answer.status,
            "error": if outcome.accepted() { Value::Null } else { json!("status") },
            "detail": null,
            "response_head": String::from_utf8_lossy(&answer.head),
        }),
        Outcome::Failed { cause, detail } => json!({
            "status": null, "error": cause.as_str(), "detail": detail, "response_head": null,
        }),
    }
}

/// Bytes of any kind: as base64, and as text when they are UTF-8. Null stays null.
pub(crate) fn bytes(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    json!({ "base64": STANDARD.encode(bytes), "text": std::str::from_utf8(bytes).ok() })
}

fn masked(text: &str, signing: Signing) -> String {
    let end = text.char_indices().rev().nth(3).map_or("", |(at, _)| &text[at..]);
    format!("{}...{end}", sign::prefix(signing))
}
