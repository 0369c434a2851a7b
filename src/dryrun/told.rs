//! An explanation as JSON: what `hookline map --json` prints, and what the API answers to a preview.

use crate::deliver::format::cloudevents;
use crate::dryrun::explain::{Became, Explained, Explanation, Told, Verdict};
use crate::map::mapping::OnError;
use crate::model::quarantine::Fault;
use crate::model::subscription::Subscription;
use serde_json::{Value, json};

/// Who could get the events.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// These, all there are.
    All(Vec<Subscription>),
    /// It cannot be said, and why.
    Unknown(String),
}

// === impl Known ===

impl Known {
    /// Them, as far as they are known.
    #[must_use]
    pub fn subscriptions(&self) -> &[Subscription] {
        match self {
            Self::All(subscriptions) => subscriptions,
            Self::Unknown(_) => &[],
        }
    }
}

/// Tells it as JSON, all of it.
#[must_use]
pub fn json(explanation: &Explanation<'_>, known: &Known) -> Value {
    let mappings: Vec<Value> = explanation.mappings.iter().map(|told| json_mapping(told, known)).collect();
    let unknown = match known {
        Known::All(_) => None,
        Known::Unknown(why) => Some(why),
    };
    json!({
        "quarantined": explanation.stuck(),
        "fault": explanation.undecoded.as_ref().map(json_fault),
        "mappings": mappings,
        "subscriptions_unknown": unknown,
    })
}

fn json_mapping(told: &Told<'_>, known: &Known) -> Value {
    let (result, events, failed) = match &told.became {
        Became::OtherTopic => ("other_topic", &[][..], None),
        Became::Nothing => ("nothing", &[][..], None),
        Became::Events(events) => ("events", events.as_slice(), None),
        Became::Fails { fault, on_error: OnError::Quarantine } => ("quarantined", &[][..], Some(fault)),
        Became::Fails { fault, on_error: OnError::Drop } => ("dropped", &[][..], Some(fault)),
        Became::Fails { fault, on_error: OnError::Stop } => ("stopped", &[][..], Some(fault)),
    };
    let events: Vec<Value> = events.iter().map(|explained| json_event(explained, known)).collect();
    json!({"name": told.mapping, "result": result, "events": events, "fault": failed.map(json_fault)})
}

fn json_event(explained: &Explained<'_>, known: &Known) -> Value {
    let verdict = |verdict: &Verdict<'_>| {
        let why_not = verdict.why_not.as_ref().map(ToString::to_string);
        json!({"id": verdict.subscription.id, "gets": why_not.is_none(), "why_not": why_not})
    };
    let verdicts = matches!(known, Known::All(_)).then(|| explained.verdicts.iter().map(verdict).collect::<Vec<_>>());
    let event = &explained.event;
    let rendered: Value = serde_json::from_slice(&cloudevents::render(event)).unwrap_or_default();
    json!({"event": rendered, "tenant": event.tenant, "key": event.key, "subscriptions": verdicts})
}

fn json_fault(fault: &Fault) -> Value {
    json!({
        "reason": fault.reason.as_str(),
        "field": fault.field,
        "expression": fault.expression,
        "detail": fault.detail,
    })
}
