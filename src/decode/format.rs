//! How the records of a topic are decoded.

use crate::decode::schema::Schema;
use crate::model::schema::Language;
use std::sync::Arc;

/// A decoder, and what it needs besides the record.
#[derive(Clone, Debug)]
pub enum Format {
    /// JSON text (RFC 8259); numbers keep their exact text.
    Json,
    /// UTF-8 text: the payload is a string.
    Text,
    /// Any bytes: the payload is a string of base64.
    Bytes,
    /// Each record names its schema, which a registry holds.
    Registered(Language),
    /// All records are written by this schema, and name none.
    Given(Arc<Schema>),
}

// === impl Format ===

impl Format {
    /// The formats that need nothing but the record, for tables.
    pub const PLAIN: [Self; 3] = [Self::Json, Self::Text, Self::Bytes];

    /// The format as config writes it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Registered(language) => language.as_str(),
            Self::Given(schema) => schema.language().as_str(),
        }
    }
}
