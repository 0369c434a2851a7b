//! Both listeners: API and operations.

pub mod settings;
