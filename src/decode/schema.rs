//! A schema, ready to decode by. Each language is a file of its own.

use crate::decode::avro::Avro;
use crate::decode::json_schema::JsonSchema;
use crate::decode::protobuf::{File, Message};
use crate::model::schema::{Language, SchemaText};
use serde_json::Value;

/// A compiled schema.
#[derive(Debug)]
pub enum Schema {
    /// The schema that Avro data was written by.
    Avro(Avro),
    /// A file of Protobuf messages: each record says which one it is.
    ProtobufFile(File),
    /// One Protobuf message.
    ProtobufMessage(Message),
    /// A JSON Schema, which decides what is valid.
    JsonSchema(JsonSchema),
}

// === impl Schema ===

impl Schema {
    /// Compiles a schema with all that it refers to.
    ///
    /// # Errors
    /// What is wrong with it, a sentence for people.
    pub fn compile(schema: &SchemaText) -> Result<Self, String> {
        match schema.language {
            Language::Avro => Avro::compile(&schema.text, &schema.references).map(Self::Avro),
            Language::Protobuf => File::of_registry(&schema.text, &schema.references).map(Self::ProtobufFile),
            Language::JsonSchema => JsonSchema::compile(&schema.text, &schema.references).map(Self::JsonSchema),
        }
    }

    /// What it is written in.
    #[must_use]
    pub fn language(&self) -> Language {
        match self {
            Self::Avro(_) => Language::Avro,
            Self::ProtobufFile(_) | Self::ProtobufMessage(_) => Language::Protobuf,
            Self::JsonSchema(_) => Language::JsonSchema,
        }
    }

    /// Decodes `payload`; `message` is the place of the message in a file of them.
    pub(crate) fn decode(&self, message: &[usize], payload: &[u8]) -> Result<Value, String> {
        match self {
            Self::Avro(schema) => schema.decode(payload),
            Self::ProtobufFile(file) => file.message(message)?.decode(payload),
            Self::ProtobufMessage(message) => message.decode(payload),
            Self::JsonSchema(schema) => schema.decode(payload),
        }
    }
}
