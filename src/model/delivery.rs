//! A delivery: one integration event for one subscription, until settled.

use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::{EventId, Sid};
use crate::model::outcome::Outcome;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use std::sync::Arc;

/// The right to settle one live delivery, once: which partition, in which epoch, at which offset.
///
/// Plain data, so that lanes stay pure. A ticket of a dead epoch settles nothing (INV-14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The partition.
    pub at: TopicPartition,
    /// The epoch of its assignment.
    pub epoch: u64,
    /// The offset of the record.
    pub offset: i64,
}

/// A live delivery as a lane takes it: the event, and the ticket to settle.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The event, shared by all who get it.
    pub event: Arc<Emitted>,
    /// What to settle once this delivery is.
    pub ticket: Ticket,
    /// When its record was admitted; `settle_within` counts from here.
    pub admitted: Timestamp,
}

/// Where a ledger row stands: unique per (delivery, stream). Orders by partition, subscription, stream, offset, `ord`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerKey {
    /// The source partition.
    pub at: TopicPartition,
    /// The subscription.
    pub sid: Sid,
    /// 0 for the main stream, else the id of a replay or of a manual retry.
    pub stream: u128,
    /// The record's offset.
    pub offset: i64,
    /// The event's position among those of its record.
    pub ord: u32,
    /// The event's id.
    pub event: EventId,
}

/// What a ledger row says besides its event.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerHead {
    /// Attempts that were made and failed, or whose outcome is unknown; 0: never attempted.
    pub attempts: u16,
    /// When the first attempt began; without one, when it was parked.
    pub first: Timestamp,
    /// When it may be tried next.
    pub due: Timestamp,
    /// What came of the last attempt; `None`: never attempted, or cut off.
    pub last: Option<Outcome>,
    /// The ordering key, for subscriptions with `ordering: key`.
    pub ordering_key: Option<String>,
    /// Bytes of the event as stored.
    pub body_len: u32,
}

// === impl LedgerKey ===

impl LedgerKey {
    /// The place of `event` in the main stream of subscription `sid`.
    #[must_use]
    pub fn of(event: &IntegrationEvent, sid: Sid) -> Self {
        let (at, offset) = (event.origin.topic_partition(), event.origin.offset);
        Self { at, sid, stream: 0, offset, ord: event.ord, event: event.id }
    }
}
