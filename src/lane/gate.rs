//! Whether a lane starts attempts, and how much it holds: what others ask of it.

/// Whether attempts start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// They do.
    Open,
    /// They do not: the subscription is disabled. Its rows stay and are not tried.
    Disabled,
    /// First attempts do, retries do not: the process is about to stop.
    Draining,
    /// They do not: the process stops.
    Stopping,
    /// They do not: the subscription is gone.
    Deleted,
}

/// How much a lane holds, for status and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// First attempts that wait.
    pub queued: usize,
    /// Attempts that are out.
    pub in_flight: usize,
    /// Ledger rows.
    pub rows: usize,
    /// Bytes of ledger rows.
    pub bytes: u64,
}

/// Whether a lane has live deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// It has none.
    Yes,
    /// It has some.
    No,
}
