//! What every lane goes by unless its subscription says otherwise (`delivery:` and `limits.lane_queue`).

use crate::model::subscription::Retry;
use std::time::Duration;

/// The defaults of every subscription.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliverySettings {
    /// Deadline of a whole exchange; 1 s to 60 s.
    pub timeout: Duration,
    /// Attempts at the same time; 1 to 1,000.
    pub concurrency: u16,
    /// How long a live delivery may stay unsettled before it is parked; 1 s to 60 s.
    pub settle_within: Duration,
    /// Bytes the ledger may hold for one subscription; at least 1 MiB.
    pub ledger_budget: u64,
    /// When to try again.
    pub retry: Retry,
    /// First attempts that may wait in memory; 1 to 100,000.
    pub queue: usize,
}

// === impl DeliverySettings ===

impl Default for DeliverySettings {
    fn default() -> Self {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let (first, second) = (Duration::from_secs(5), Duration::from_secs(30));
        Self {
            timeout: Duration::from_secs(15),
            concurrency: 16,
            settle_within: Duration::from_secs(5),
            ledger_budget: 16 << 20,
            retry: Retry {
                schedule: vec![
                    first,
                    second,
                    minutes(2),
                    minutes(10),
                    minutes(30),
                    hours(1),
                    hours(3),
                    hours(6),
                    hours(12),
                ],
                max_age: hours(72),
                jitter: 0.2,
            },
            queue: 256,
        }
    }
}
