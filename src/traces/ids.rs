//! The ids of what is done with a record, told by its place alone: an attempt that is made days later, after restarts, by
//! another replica, hangs under the same piece of work, and nothing has to be carried or stored for it.

use crate::model::record::Origin;
use crate::model::trace::{SpanId, TraceId};
use sha2::{Digest, Sha256};

/// Makes ids. Groups that read the same topic make other ones.
#[derive(Clone, Debug)]
pub(crate) struct Ids(Sha256);

/// The ids of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfRecord {
    /// Its trace, when it brings none.
    pub(crate) trace: TraceId,
    /// That it was read and offered.
    pub(crate) process: SpanId,
    /// That the rules were asked.
    pub(crate) map: SpanId,
}

// === impl Ids ===

impl Ids {
    /// The ids of this consumer group.
    pub(crate) fn new(group: &str) -> Self {
        let mut hash = Sha256::new();
        part(&mut hash, group.as_bytes());
        Self(hash)
    }

    /// The ids of the record at `origin`.
    pub(crate) fn of(&self, origin: &Origin) -> OfRecord {
        let mut hash = self.0.clone();
        part(&mut hash, origin.topic.as_bytes());
        hash.update(origin.partition.to_be_bytes());
        hash.update(origin.offset.to_be_bytes());
        hash.update(origin.timestamp.as_millis().to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let bytes = |from: usize| u64::from_be_bytes(hash[from..from + 8].try_into().expect("8 bytes"));
        let trace = u128::from(bytes(0)) << 64 | u128::from(bytes(8));
        OfRecord {
            trace: TraceId::from_bytes(trace.to_be_bytes()),
            process: SpanId::from_bytes(bytes(16).to_be_bytes()),
            map: SpanId::from_bytes(bytes(24).to_be_bytes()),
        }
    }
}

/// A text of any length, with its length before it.
fn part(hash: &mut Sha256, text: &[u8]) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use std::collections::HashSet;

    #[test]
    fn the_same_place_gives_the_same_ids_and_every_part_of_it_counts() {
        let place = || Origin { topic: "t".into(), partition: 1, offset: 2, timestamp: Timestamp::from_millis(3) };
        assert_eq!(Ids::new("g").of(&place()), Ids::new("g").of(&place()));
        let others = [
            ("g", place()),
            ("h", place()),
            ("gt", Origin { topic: "".into(), ..place() }),
            ("g", Origin { topic: "u".into(), ..place() }),
            ("g", Origin { partition: 2, ..place() }),
            ("g", Origin { offset: 3, ..place() }),
            ("g", Origin { timestamp: Timestamp::from_millis(4), ..place() }),
        ];
        let ids = others.map(|(group, place)| Ids::new(group).of(&place));
        let spans: HashSet<SpanId> = ids.iter().flat_map(|ids| [ids.process, ids.map]).collect();
        let traces: HashSet<TraceId> = ids.iter().map(|ids| ids.trace).collect();
        assert_eq!((spans.len(), traces.len()), (2 * ids.len(), ids.len()));
    }
}
