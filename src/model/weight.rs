//! How many rows there are of something, and how much room they take.

use std::ops::{AddAssign, SubAssign};

/// What a row costs beside its body: about so many bytes of key and head.
pub const ROW: u64 = 128;

/// How many rows, and how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Rows.
    pub rows: u64,
    /// Their bytes: each body as it is stored, and [`ROW`].
    pub bytes: u64,
}

// === impl Weight ===

impl Weight {
    /// One row with a body of so many bytes.
    #[must_use]
    pub fn of(body_len: u32) -> Self {
        Self { rows: 1, bytes: ROW + u64::from(body_len) }
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.bytes += more.bytes;
    }
}

impl SubAssign for Weight {
    /// Never below nothing: a row that was counted once and taken away twice must not weigh as much as the world.
    fn sub_assign(&mut self, less: Self) {
        self.rows = self.rows.saturating_sub(less.rows);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}
