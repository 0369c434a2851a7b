//! How much the quarantine may take (`limits.quarantine`).

/// The quarantine's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineSettings {
    /// Bytes of all rows; at least 1 MiB. One row may go beyond it.
    pub bytes: u64,
}

// === impl QuarantineSettings ===

impl Default for QuarantineSettings {
    /// As much as `store.min_free` keeps free: some 200,000 records of 1 KiB, more than anybody looks through.
    fn default() -> Self {
        Self { bytes: 256 << 20 }
    }
}
