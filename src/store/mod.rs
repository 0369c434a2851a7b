//! Everything durable: opens the store and hands out its tables.

pub mod settings;
