//! The room that names rdkafka: consumer group, in-process broker, writer.

pub mod settings;
