//! A subscriber's filter: CEL over `event`.
//!
//! Takes an expression, gives yes or no to an event. `event` is a map of `id`, `source`, `type`, `subject`, `time`,
//! `data`, `tenant` and `key`; what an event does not have is null.

use crate::model::event::IntegrationEvent;
use serde_json::{Value, json};

/// A filter, compiled.
#[derive(Debug)]
pub struct Filter(());

/// An event as filters see it; made once for all filters that are asked.
#[derive(Debug)]
pub struct View(Value);

/// Why a text is no filter, or why it cannot be answered for an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(String);

// === impl Filter ===

impl Filter {
    /// Compiles an expression that must give a boolean.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(_text: &str) -> Result<Self, FilterError> {
        Err(FilterError("filters are not yet available".into()))
    }

    /// Whether `event` passes.
    ///
    /// # Errors
    /// The expression failed or gave no boolean; such an event does not match.
    pub fn matches(&self, event: &IntegrationEvent) -> Result<bool, FilterError> {
        self.test(&View::of(event))
    }

    /// As [`Filter::matches`], for one of several filters that are asked about the same event.
    ///
    /// # Errors
    /// As there.
    pub fn test(&self, _event: &View) -> Result<bool, FilterError> {
        Ok(false)
    }
}

// === impl View ===

impl View {
    /// The view of this event.
    #[must_use]
    pub fn of(event: &IntegrationEvent) -> Self {
        Self(json!({
            "id": event.id.to_string(),
            "source": &*event.source,
            "type": &*event.event_type,
            "subject": event.subject,
            "time": event.time.to_string(),
            "data": event.data,
            "tenant": event.tenant,
            "key": event.key,
        }))
    }
}
