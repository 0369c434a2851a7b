//! The nouns of Hookline, one word per thing.
//!
//! Everything the house speaks about is defined here once: records, events, subscriptions, deliveries,
//! outcomes, dead letters, quarantine, mistakes in what a user wrote. This room knows no I/O, no clock and
//! no wire shape: JSON, YAML and store rows are made from these types where they are needed.

pub mod attribute;
pub mod cursor;
pub mod dead_letter;
pub mod delivery;
pub mod event;
pub mod id;
pub mod jump;
pub mod operational;
pub mod outcome;
pub mod problem;
pub mod quarantine;
pub mod record;
pub mod replay;
pub mod schema;
pub mod secret;
pub mod subscription;
pub mod time;
pub mod topic;
pub mod trace;
pub mod verification;
pub mod weight;
