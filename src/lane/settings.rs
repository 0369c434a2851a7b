//! What every lane goes by unless its subscription says otherwise (`delivery:` and `limits.lane_queue`).

use crate::model::subscription::{Batching, OnBlocked, Ordering, Retry};
use crate::model::weight::Weight;
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
    /// Bytes the dead letters of one subscription may take; at least 1 MiB.
    pub dead_letter_budget: u64,
    /// When to try again.
    pub retry: Retry,
    /// First attempts that may wait in memory; 1 to 100,000.
    pub queue: usize,
    /// Rows the ledger may hold for one subscription.
    pub ledger_rows: usize,
    /// Dead letters there may be of one subscription.
    pub dead_letter_rows: u64,
    /// What order is kept.
    pub ordering: Ordering,
    /// What happens when a key is blocked and the ledger full.
    pub on_blocked: OnBlocked,
    /// Requests per minute; `None`: as many as there are slots for.
    pub per_minute: Option<u32>,
    /// How first attempts are put together; `None`: each goes alone.
    pub batch: Option<Batching>,
    /// When the endpoint counts as failing, and how it is probed then.
    pub breaker: BreakerSettings,
    /// How long it may fail until it is disabled; `None`: for ever.
    pub disable_after: Option<Duration>,
}

/// When an endpoint counts as failing, and how it is probed then (`delivery.breaker`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub consecutive: u32,
    /// Share of failures in `window` above which it opens.
    pub ratio: f64,
    /// What the share is taken over; 1 s to 5 min.
    pub window: Duration,
    /// Fewer outcomes than this have no share.
    pub min_calls: u32,
    /// The wait before the first probe, and the shortest between two.
    pub probe_min: Duration,
    /// The longest wait between two probes.
    pub probe_max: Duration,
}

// === impl DeliverySettings ===

impl DeliverySettings {
    /// What the dead letters of one subscription may weigh.
    pub(crate) fn letters(&self) -> Weight {
        Weight { rows: self.dead_letter_rows, bytes: self.dead_letter_budget }
    }
}

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
            // Four full ledgers: what is given up of an outage of days can still be looked through and sent again.
            dead_letter_budget: 64 << 20,
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
            ledger_rows: 4_096,
            dead_letter_rows: 16_384,
            ordering: Ordering::None,
            on_blocked: OnBlocked::Wait,
            per_minute: None,
            batch: None,
            breaker: BreakerSettings::default(),
            disable_after: Some(hours(120)),
        }
    }
}

// === impl BreakerSettings ===

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            consecutive: 10,
            ratio: 0.5,
            window: Duration::from_secs(30),
            min_calls: 20,
            probe_min: Duration::from_secs(1),
            probe_max: Duration::from_secs(300),
        }
    }
}
