//! A delivery given up: reason, last outcome, origin. It can be sent again.

use crate::model::event::IntegrationEvent;
use crate::model::id::Sid;
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The subscription it was for.
    pub sid: Sid,
    /// When it was given up.
    pub died: Timestamp,
    /// Why.
    pub reason: DeadReason,
    /// Attempts that were made.
    pub attempts: u16,
    /// What came of the last one.
    pub last: Option<Outcome>,
    /// The event, as it was mapped.
    pub event: IntegrationEvent,
}

/// Why a delivery was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadReason {
    /// Its last attempt failed when it was older than the subscription's `max_age`.
    Expired,
    /// The endpoint said that these bytes cannot succeed (413, 415).
    Refused,
    /// The endpoint is gone (410).
    Gone,
}

// === impl DeadReason ===

impl DeadReason {
    /// Every reason, for tables.
    pub const ALL: [Self; 3] = [Self::Expired, Self::Refused, Self::Gone];

    /// The reason as API, metrics and store write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Gone => "gone",
        }
    }
}
