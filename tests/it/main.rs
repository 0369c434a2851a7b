//! The promises of the house, kept against the real binary, real sockets and a real Apache Kafka.
//!
//! One binary, so that everything is linked once and one broker serves all. A file per promise; what they share stands
//! in `support`. Nothing sleeps for luck: `support::wait` asks until it is so.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests may fail loudly, and ask the system themselves"
)]

mod authoring;
mod bad_input;
mod behind;
mod bounds;
mod habits;
mod harness;
mod isolation;
mod language;
mod main_job;
mod metrics;
mod monitoring;
mod no_loss;
mod operators;
mod outages;
mod quick_start;
mod registry;
mod reload;
mod retry_after;
mod roundtrip;
mod store;
mod support;
mod terminal;
mod topics;
mod traces;
mod verification;
mod wrong_files;
