//! The delivery protocol against the real binary, a real Apache Kafka, and death at any instant.
//!
//! `make crash N=200` builds the binary with its fail points and kills it 200 times; without them (`make test`) it dies
//! at random instants only. `HOOKLINE_KILLS` says how often, `HOOKLINE_SEED` repeats the dice of a run,
//! `HOOKLINE_KEEP` leaves stores and logs (at level debug) in place.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests may fail loudly, and ask the system themselves"
)]

mod dice;
mod house;
mod identity;
mod kills;
mod lost;
mod operator;
mod outage;
mod receiver;
mod stops;
#[path = "../it/support/mod.rs"]
mod support;
mod upkeep;
