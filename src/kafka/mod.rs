//! The room that names rdkafka: consumer group, in-process broker, writer.

pub mod adopt;
pub mod broker;
pub mod committer;
pub mod group;
mod message;
mod offsets;
pub mod properties;
pub mod range;
pub mod settings;
pub mod writer;
