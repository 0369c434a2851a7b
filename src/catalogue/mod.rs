//! The published event types: what subscribers may rely on, written beside the mappings as `events:`.
//!
//! Takes what was written, gives a [`published::Catalogue`]: types with their schemas and examples, whether data fits them, and
//! documents for others to read ([`asyncapi`], [`openapi`], [`json_schema`]). Pure; knows no mapping and no test.

pub mod asyncapi;
pub mod event_type;
pub mod json_schema;
pub mod openapi;
mod parts;
pub mod published;
pub mod schema;
pub mod settings;
pub mod shape;
pub mod written;
