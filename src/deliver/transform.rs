//! A subscriber's own shape of the data: a template over `event`, run at each attempt.
//!
//! What is kept of a delivery is the event as it was mapped, so a transform that was mended holds for what failed before too.

use crate::expr::failure::Failure;
use crate::expr::fragments::Fragments;
use crate::expr::limits::{Budget, Limits};
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use crate::expr::template::Template;
use crate::expr::view::view;
use crate::model::event::IntegrationEvent;
use serde_json::Value;
use std::collections::BTreeMap;

/// What one transform may cost one attempt: a tenth of the steps of a mapping, for subscribers write them and they run where
/// all attempts do; and output as large as the largest record.
const LIMITS: Limits = Limits { steps: 100_000, output_bytes: 1 << 20 };

/// A transform, compiled.
#[derive(Debug)]
pub struct Transform(Template);

// === impl Transform ===

impl Transform {
    /// Compiles a template.
    ///
    /// # Errors
    /// All mistakes, each with its path in the template.
    pub fn compile(written: &Value) -> Result<Self, Vec<Mistake>> {
        let names = Names::new(["event"]);
        Template::compile(written, &names, &Fragments::new(names.clone(), BTreeMap::new())).map(Self)
    }

    /// The event with the data that the template makes of it.
    ///
    /// # Errors
    /// Why it makes nothing of it; the same event fails each time.
    pub fn apply(&self, event: &IntegrationEvent) -> Result<IntegrationEvent, Failure> {
        let view = view(event);
        let mut scope = Scope::new();
        scope.bind("event", &view);
        self.0.render(&scope, &mut Budget::new(&LIMITS)).map(|data| event.with_data(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::failure::FailureKind;
    use crate::model::id::EventId;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;
    use serde_json::json;

    fn event() -> IntegrationEvent {
        let origin = Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        IntegrationEvent {
            id: EventId::from_bytes([7; 16]),
            time: origin.timestamp,
            origin,
            mapping: "m".into(),
            ord: 0,
            source: "/s".into(),
            event_type: "com.acme.order".into(),
            subject: Some("o-1".into()),
            tenant: None,
            key: None,
            traceparent: None,
            extensions: vec![("region".into(), json!("eu"))],
            data: serde_json::from_str(r#"{"total":150.20,"ssn":"1"}"#).unwrap(),
        }
    }

    #[test]
    fn a_transform_changes_the_data_and_nothing_else() {
        let written = json!({"order": "${event.subject}", "region": "${event.extensions.region}", "whole": {"$copy": "${event.data}", "$without": ["ssn"]}});
        let changed = Transform::compile(&written).unwrap().apply(&event()).unwrap();
        assert_eq!(changed.data.to_string(), r#"{"order":"o-1","region":"eu","whole":{"total":150.20}}"#);
        assert_eq!(changed.with_data(Value::Null), event().with_data(Value::Null));
    }

    #[test]
    fn what_it_cannot_make_is_a_failure_and_what_never_ends_a_limit() {
        let fails = |written| Transform::compile(&written).unwrap().apply(&event()).unwrap_err();
        assert_eq!(fails(json!({"a": "${event.data.gone}"})).field, "a");
        let endless = json!({"$each": "${lists.range(9000)}", "$emit": {"$each": "${lists.range(9000)}", "$emit": 1}});
        assert_eq!(fails(endless).kind, FailureKind::Limit);
    }

    #[test]
    fn a_transform_sees_the_event_and_no_record_secret_or_fragment() {
        for text in ["${payload.x}", "${tables.x}", "${hmac(event.id, \"partner\")}"] {
            assert_eq!(Transform::compile(&json!({ "a": text })).unwrap_err().len(), 1, "{text}");
        }
        assert!(Transform::compile(&json!({"$use": "money"})).is_err());
    }
}
