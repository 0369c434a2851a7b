//! The room that names rdkafka: consumer group, in-process broker, writer.

pub mod adopt;
pub mod broker;
pub mod committer;
mod context;
pub mod describe;
pub mod group;
mod message;
mod offsets;
pub mod owner;
pub mod policy;
pub mod polled;
pub mod properties;
pub mod range;
pub mod settings;
pub mod writer;
