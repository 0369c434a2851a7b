//! A subscriber's filter: CEL over `event`.
//!
//! Takes an expression, gives yes or no to an event, which it sees as [`view`] shows it.

use crate::expr::expression::Expression;
use crate::expr::failure::Failure;
use crate::expr::limits::{Budget, Limits};
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use crate::expr::view::view;
use crate::model::event::IntegrationEvent;
use serde_json::Value;

/// What one filter may cost one event: a tenth of what a whole record may, for there may be many filters.
const LIMITS: Limits = Limits { steps: 100_000, output_bytes: 256 << 10 };

/// A filter, compiled.
#[derive(Debug)]
pub struct Filter(Expression);

/// An event as filters see it; made once for all filters that are asked.
#[derive(Debug)]
pub struct View(Value);

// === impl Filter ===

impl Filter {
    /// Compiles an expression that gives a boolean.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(text: &str) -> Result<Self, Mistake> {
        Expression::compile(text, &Names::new(["event"])).map(Self)
    }

    /// Whether `event` passes.
    ///
    /// # Errors
    /// The expression failed or gave no boolean; such an event does not match.
    pub fn matches(&self, event: &IntegrationEvent) -> Result<bool, Failure> {
        self.test(&View::of(event))
    }

    /// As [`Filter::matches`], for one of several filters that are asked about the same event.
    ///
    /// # Errors
    /// As there.
    pub fn test(&self, event: &View) -> Result<bool, Failure> {
        let mut scope = Scope::new();
        scope.bind("event", &event.0);
        self.0.test(&scope, &mut Budget::new(&LIMITS))
    }
}

// === impl View ===

impl View {
    /// The view of this event.
    #[must_use]
    pub fn of(event: &IntegrationEvent) -> Self {
        Self(view(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EventId;
    use crate::model::record::Origin;
    use crate::model::time::Timestamp;

    fn event() -> IntegrationEvent {
        let origin =
            Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(1_767_225_600_000) };
        IntegrationEvent {
            id: EventId::from_bytes([7; 16]),
            mapping: "m".into(),
            ord: 0,
            source: "/shop".into(),
            event_type: "com.acme.order.placed".into(),
            subject: None,
            time: origin.timestamp,
            tenant: Some("m-1".into()),
            key: Some("o-1".into()),
            traceparent: None,
            extensions: Vec::new(),
            data: serde_json::from_str(r#"{"total":150,"price":10.50,"lines":[{"sku":"a"},{"sku":"b"}]}"#).unwrap(),
            origin,
        }
    }

    #[test]
    fn a_filter_sees_every_attribute_and_the_data() {
        let event = event();
        for (text, passes) in [
            ("event.data.total > 100", true),
            ("event.data.total > 200", false),
            ("event.data.price < 10.6", true),
            ("event.data.lines.exists(l, l.sku == 'b')", true),
            ("event.type == 'com.acme.order.placed' && event.source == '/shop'", true),
            ("event.tenant == 'm-1' && event.key == 'o-1' && event.subject == null", true),
            ("event.time.startsWith('2026-01-01') && event.id.startsWith('evt_')", true),
            ("has(event.data.note) && event.data.note == 'x'", false),
        ] {
            assert_eq!(Filter::compile(text).unwrap().matches(&event), Ok(passes), "{text}");
        }
    }

    #[test]
    fn what_is_no_boolean_or_not_there_is_a_failure_and_no_match() {
        for text in ["event.data.total", "event.data.note == 'x'", "event.data.total > 'a'"] {
            assert!(Filter::compile(text).unwrap().matches(&event()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_filter_is_refused_when_it_is_written() {
        for text in ["", "event.", "payload.total > 1", "evnt.data.total > 1"] {
            assert!(Filter::compile(text).is_err(), "{text}");
        }
    }
}
