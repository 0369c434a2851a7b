//! A record that could not be decoded or mapped: its bytes, its place, the reason.

use crate::model::record::Record;
use crate::model::time::Timestamp;

/// A quarantined record; one row per (record, mapping).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The record, whole.
    pub record: Record,
    /// When it was put here.
    pub at: Timestamp,
    /// Why.
    pub fault: Fault,
}

/// Why a record was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `decode`, or what of mapping failed: the `reason` label of metrics.
    pub reason: FaultReason,
    /// The mapping; `None` when the record could not be decoded at all.
    pub mapping: Option<String>,
    /// The field that failed, as a path in the mapping (`emit.data.total`).
    pub field: Option<String>,
    /// The expression that failed, as written.
    pub expression: Option<String>,
    /// What went wrong, a sentence for people.
    pub detail: String,
}

/// The closed list of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultReason {
    /// The bytes are not what the topic's format says.
    Decode,
    /// An expression failed: a missing path, a wrong type.
    Map,
    /// A limit was exceeded: size, steps, output bytes.
    Limit,
    /// The mapping gave something that cannot be an event (empty type, bad time).
    Event,
}

// === impl FaultReason ===

impl FaultReason {
    /// Every reason, for tables.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Map, Self::Limit, Self::Event];

    /// The reason as API, metrics and store write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Map => "map",
            Self::Limit => "limit",
            Self::Event => "event",
        }
    }
}
