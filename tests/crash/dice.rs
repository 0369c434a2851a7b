//! Random numbers that a seed repeats, and what the environment says about a run.

use std::env;
use std::hash::{BuildHasher, RandomState};

/// Splitmix64.
pub(crate) struct Dice(u64);

// === impl Dice ===

impl Dice {
    /// By `HOOKLINE_SEED`, else by chance; says which.
    pub(crate) fn new(what: &str) -> Self {
        let seed = number("HOOKLINE_SEED", RandomState::new().hash_one(0) % 1_000_000);
        println!("{what}: HOOKLINE_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % bound
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

/// Bits that depend on all bits of `from`.
pub(crate) fn mix(from: u64) -> u64 {
    let mut mixed = from;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number that the environment gives.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
