//! All published event types, found by name, and whether data is what one of them promises.

use crate::catalogue::event_type::EventType;
use crate::catalogue::schema::Misfit;
use crate::catalogue::settings::About;
use serde_json::Value;
use std::collections::HashMap;

/// All event types, found by name.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// What stands at the head of its documents.
    pub about: About,
    types: Vec<EventType>,
    by_name: HashMap<String, usize>,
}

/// What the catalogue says to an event's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the type is not in it, or has no schema.
    Unknown,
    /// It is as promised.
    Fits,
    /// It is not.
    Misfits(Vec<Misfit>),
}

// === impl Catalogue ===

impl Catalogue {
    /// These types, each of a name of its own.
    #[must_use]
    pub fn new(types: Vec<EventType>) -> Self {
        let by_name = types.iter().enumerate().map(|(at, one)| (one.name.clone(), at)).collect();
        Self { about: About::default(), types, by_name }
    }

    /// With these words at the head of its documents.
    #[must_use]
    pub fn headed(self, about: About) -> Self {
        Self { about, ..self }
    }

    /// All types, as they were written.
    #[must_use]
    pub fn types(&self) -> &[EventType] {
        &self.types
    }

    /// The type of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&EventType> {
        self.by_name.get(name).map(|at| &self.types[*at])
    }

    /// Whether `data` is what events of this type promise.
    #[must_use]
    pub fn judge(&self, name: &str, data: &Value) -> Verdict {
        let Some(schema) = self.get(name).and_then(|one| one.schema.as_ref()) else { return Verdict::Unknown };
        if schema.fits(data) { Verdict::Fits } else { Verdict::Misfits(schema.misfits(data)) }
    }
}
