//! Schemas that records are written by: their languages, how a record names its own, and their text.

use std::fmt;

/// What a schema is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Apache Avro 1.12.
    Avro,
    /// Protocol Buffers, proto2 and proto3.
    Protobuf,
    /// JSON Schema, draft 4 to 2020-12.
    JsonSchema,
}

/// How a record names its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaId {
    /// The registry's number.
    Number(u32),
    /// The same for every registry that holds the schema.
    Guid([u8; 16]),
}

/// A schema as its registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    /// What it is written in.
    pub language: Language,
    /// The schema.
    pub text: String,
    /// What it refers to, directly or not, each once: a text stands behind all that it itself refers to.
    pub references: Vec<Reference>,
}

/// A schema that another one refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name by which it is referred to: a type, a file to import, a URI.
    pub name: String,
    /// The schema.
    pub text: String,
}

// === impl Language ===

impl Language {
    /// Every language, for tables.
    pub const ALL: [Self; 3] = [Self::Avro, Self::Protobuf, Self::JsonSchema];

    /// The language as config writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
            Self::JsonSchema => "json_schema",
        }
    }
}

// === impl SchemaId ===

impl fmt::Display for SchemaId {
    /// The number, or the GUID in its usual groups.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Guid(bytes) => bytes.iter().enumerate().try_for_each(|(i, byte)| {
                let dash = if [4, 6, 8, 10].contains(&i) { "-" } else { "" };
                write!(f, "{dash}{byte:02x}")
            }),
        }
    }
}
