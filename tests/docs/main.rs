//! What the documentation shows is so: every example of docs/mappings.md and docs/envelopes.md is run, the tutorial is followed
//! to the letter with the real binary.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod blocks;
mod envelopes;
mod mappings;
mod setting;
mod tutorial;
