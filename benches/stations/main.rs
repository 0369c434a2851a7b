//! What each station costs: `cargo bench --bench stations`, or a part of it: `cargo bench --bench stations -- map`.
//!
//! Everything runs over one order of 600 bytes, through the functions that the daemon calls. Compare within one run, as
//! ratios: machines differ. `docs/performance.md` has the figures and the budgets.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark may fail loudly")]

mod decode;
mod map;
mod matching;
mod order;
mod render;
mod sign;

use criterion::{criterion_group, criterion_main};

criterion_group!(stations, map::run, map::copy, matching::run, decode::run, render::run, sign::run);
criterion_main!(stations);
