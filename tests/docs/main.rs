//! What the documentation shows is so: every example of docs/mappings.md, docs/envelopes.md and docs/recipes.md is run, the
//! tutorial is followed to the letter with the real binary, docs/configuration.md is what the example config says, every
//! link leads somewhere, every command can be typed. (docs/quick-start.md needs a Kafka: `tests/it` follows it.)
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod blocks;
mod commands;
mod configuration;
mod envelopes;
mod links;
mod mappings;
mod recipes;
mod setting;
mod subscriptions;
mod tutorial;
