//! How the records of a topic are decoded, by name.

/// A decoder's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// JSON text (RFC 8259); numbers keep their exact text.
    Json,
    /// UTF-8 text: the payload is a string.
    Text,
    /// Any bytes: the payload is a string of base64.
    Bytes,
}

// === impl Format ===

impl Format {
    /// Every format, for tables.
    pub const ALL: [Self; 3] = [Self::Json, Self::Text, Self::Bytes];

    /// The format as config writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }
}
