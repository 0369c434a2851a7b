//! Chance: new ids and secrets from the system's source, jitter from a generator that tests seed.

use crate::model::id::Sid;
use crate::runtime::clock;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// A generator for jitter; not for secrets.
#[derive(Debug)]
pub struct Dice(StdRng);

// === impl Dice ===

impl Dice {
    /// A generator seeded by the system.
    #[must_use]
    pub fn new() -> Self {
        Self(StdRng::from_rng(&mut rand::rng()))
    }

    /// A generator that always gives the same numbers for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The next number in `0.0..1.0`.
    pub fn roll(&mut self) -> f64 {
        self.0.random()
    }
}

impl Default for Dice {
    fn default() -> Self {
        Self::new()
    }
}

/// `N` bytes fit for a secret.
#[must_use]
pub fn secret<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// A new subscription key.
#[must_use]
pub fn sid() -> Sid {
    Sid::new(u64::try_from(clock::now().as_millis()).unwrap_or(0), u128::from_be_bytes(secret()))
}
