//! Templates with a name, to be used in others: what `$use` finds.

use crate::expr::mistake::did_you_mean;
use crate::expr::scope::Names;
use serde_json::Value;
use std::collections::BTreeMap;

/// All fragments, as they were written, and the names that each of them may use besides what `$with` binds.
#[derive(Clone, Debug, Default)]
pub struct Fragments {
    names: Names,
    bodies: BTreeMap<String, Value>,
}

// === impl Fragments ===

impl Fragments {
    /// These, which may use `names`.
    #[must_use]
    pub fn new(names: Names, bodies: BTreeMap<String, Value>) -> Self {
        Self { names, bodies }
    }

    /// What each of them may name, wherever it is used.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The one called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&str, &Value)> {
        self.bodies.get_key_value(name).map(|(name, body)| (name.as_str(), body))
    }

    /// What to tell someone who wrote `unknown`.
    #[must_use]
    pub fn hint(&self, unknown: &str) -> String {
        let known: Vec<&str> = self.bodies.keys().map(String::as_str).collect();
        did_you_mean(unknown, known.iter().copied()).unwrap_or_else(|| match known.is_empty() {
            true => "there are none here: fragments stand in mapping files, under `fragments`".to_owned(),
            false => format!("known here: {}", known.join(", ")),
        })
    }
}
