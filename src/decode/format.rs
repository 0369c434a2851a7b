//! What the bytes of a topic's records are, by name.

/// A decoder's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

// === impl Format ===

impl Format {
    /// Every format, for tables.
    pub const ALL: [Self; 4] = [Self::Json, Self::Text, Self::Bytes, Self::CloudEvents];

    /// The format as config writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::CloudEvents => "cloudevents",
        }
    }
}
