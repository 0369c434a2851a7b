//! Hookline reads domain events from Kafka, maps them to integration events by rules declared in YAML, and
//! delivers them as signed webhooks.
//!
//! The way of an event, in reading order: [`kafka`] -> [`progress`] -> [`decode`] -> [`map`] -> [`matching`] ->
//! [`lane`] -> [`deliver`] -> settled -> committed. [`intake`], [`dispatch`] and [`catchup`] are the loops that make
//! these stations act; `ARCHITECTURE.md` tells the whole story.

pub mod catalogue;
pub mod catchup;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decode;
pub mod deliver;
pub mod dispatch;
pub mod dryrun;
pub mod egress;
pub mod expr;
pub mod intake;
pub mod kafka;
pub mod lane;
pub mod map;
pub mod matching;
pub mod metrics;
pub mod model;
pub mod pipeline;
pub mod progress;
pub mod quarantine;
pub mod registry;
pub mod runtime;
pub mod store;
pub mod subscriptions;
pub mod traces;
pub mod web;
pub mod yaml;

/// Of the library, so that tests and benchmarks measure what the daemon runs with.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
