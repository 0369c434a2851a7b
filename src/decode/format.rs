//! What the bytes of a topic's records are.

use crate::decode::schema::Schema;
use crate::model::schema::Language;
use std::sync::Arc;

/// A decoder, and what it needs besides the record.
#[derive(Clone, Debug, Default)]
pub enum Format {
    /// JSON text (RFC 8259); numbers keep their exact text.
    #[default]
    Json,
    /// UTF-8 text: the payload is a string.
    Text,
    /// Any bytes: the payload is a string of base64.
    Bytes,
    /// CloudEvents as their Kafka binding says: binary, structured, and structured batches.
    CloudEvents,
    /// Each record names its schema, which a registry holds.
    Registered(Language),
    /// All records are written by this schema, and name none.
    Given(Arc<Schema>),
}

// === impl Format ===

impl Format {
    /// The formats that need nothing but the record, for tables.
    pub const PLAIN: [Self; 4] = [Self::Json, Self::Text, Self::Bytes, Self::CloudEvents];

    /// The format as config writes it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::CloudEvents => "cloudevents",
            Self::Registered(language) => language.as_str(),
            Self::Given(schema) => schema.language().as_str(),
        }
    }
}
