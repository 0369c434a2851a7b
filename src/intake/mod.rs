//! Loop 1: Kafka to lanes.

pub mod settings;
