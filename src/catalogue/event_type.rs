//! One published event type: what its events are called, what they mean, what their data looks like.

use crate::catalogue::schema::Schema;
use serde_json::Value;

/// An event type.
#[derive(Debug)]
pub struct EventType {
    /// CloudEvents `type`.
    pub name: String,
    /// What it is, in a few words.
    pub title: Option<String>,
    /// What it means, and when it is sent.
    pub description: Option<String>,
    /// The version of its data, as its authors count.
    pub version: Option<String>,
    /// Whether subscribers should still build on it.
    pub lifecycle: Lifecycle,
    /// What its data looks like.
    pub schema: Option<Schema>,
    /// Data as events of this type carry it; each fits the schema.
    pub examples: Vec<Value>,
}

/// Whether subscribers should build on a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// They may.
    #[default]
    Current,
    /// It will go away; with a word on what comes instead.
    Deprecated(Option<String>),
}

// === impl EventType ===

impl EventType {
    /// A few words for a list: its title, else its name.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }

    /// Its description, and that it is deprecated where it is.
    #[must_use]
    pub fn story(&self) -> Option<String> {
        let deprecated = match &self.lifecycle {
            Lifecycle::Current => None,
            Lifecycle::Deprecated(None) => Some("Deprecated.".to_owned()),
            Lifecycle::Deprecated(Some(instead)) => Some(format!("Deprecated: {instead}")),
        };
        let parts: Vec<String> = deprecated.into_iter().chain(self.description.clone()).collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }
}

// === impl Lifecycle ===

impl Lifecycle {
    /// Whether it will go away.
    #[must_use]
    pub fn is_deprecated(&self) -> bool {
        match self {
            Self::Current => false,
            Self::Deprecated(_) => true,
        }
    }
}
