//! What a registry answers, as JSON.

use crate::model::schema::Language;
use serde::Deserialize;

/// A schema: of `/schemas/ids/{id}`, `/schemas/guids/{guid}` and `/subjects/{subject}/versions/{version}`.
#[derive(Debug, Deserialize)]
pub(crate) struct Schema {
    pub(crate) schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    references: Option<Vec<Reference>>,
}

/// A schema that it refers to.
#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) subject: String,
    pub(crate) version: u32,
}

/// An error that the registry itself tells; a proxy or another server has no such code.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    #[serde(rename = "error_code")]
    _code: u32,
    pub(crate) message: Option<String>,
}

// === impl Schema ===

impl Schema {
    /// What it is written in; Avro when nothing is said. `Err` is what we do not read.
    pub(crate) fn language(&self) -> Result<Language, &str> {
        match self.kind.as_deref() {
            None | Some("AVRO") => Ok(Language::Avro),
            Some("PROTOBUF") => Ok(Language::Protobuf),
            Some("JSON") => Ok(Language::JsonSchema),
            Some(other) => Err(other),
        }
    }

    pub(crate) fn references(self) -> Vec<Reference> {
        self.references.unwrap_or_default()
    }
}
