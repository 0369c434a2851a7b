//! How much may be open at once (`limits:`).

/// Bounds of what is admitted and not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeSettings {
    /// Bytes of records that are open, in all; at least 1 MiB.
    pub bytes_in_flight: u64,
    /// Records that are open, per partition; at least 1.
    pub open_records_per_partition: usize,
    /// Bytes of one record's value; a larger one is quarantined.
    pub event_bytes: u64,
}

// === impl IntakeSettings ===

impl Default for IntakeSettings {
    fn default() -> Self {
        Self { bytes_in_flight: 64 << 20, open_records_per_partition: 2_000, event_bytes: 1 << 20 }
    }
}
