//! What a schema registry holds, by the id that a record names (Confluent's HTTP API, and those that speak it).
//!
//! [`client`] looks one schema up, with all that it refers to. [`desk`] is where the loops ask without waiting: it looks
//! up in the background, for as long as the registry is away, and remembers what the registry does not have. This room
//! knows neither records nor how a schema is read.

pub mod client;
pub mod desk;
pub mod error;
pub mod settings;
mod wire;

#[cfg(test)]
mod trial;
