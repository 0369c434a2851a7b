//! The room that names rdkafka: consumer group, in-process broker, writer.

pub mod broker;
mod commits;
pub mod group;
mod message;
mod offsets;
pub mod properties;
pub mod settings;
pub mod writer;
