//! Ids, each a type of its own.
//!
//! An event's id is a pure function of where it came from (promise P2): a re-read, a retry or another replica
//! yields the same `webhook-id`, and a topic that was deleted and made anew does not repeat ids, because the
//! record's timestamp takes part.

use crate::model::record::Origin;
use crate::model::time::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt;

/// The identity of an integration event towards every receiver (`webhook-id`, the CloudEvents `id`).
///
/// First 16 bytes of SHA-256 over topic, partition, offset, record timestamp, mapping name and item index, each
/// preceded by its length. Written `evt_` + 26 characters of lower-case base32 (RFC 4648 section 6, no padding).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

/// A subscription's key in the store: a ULID, new at every birth and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(ulid::Ulid);

// === impl EventId ===

impl EventId {
    /// Derives the id of item `index` that `mapping` makes of the record at `origin`.
    #[must_use]
    pub fn derive(origin: &Origin, mapping: &str, index: u32) -> Self {
        let mut hash = Sha256::new();
        for part in [
            origin.topic.as_bytes(),
            &origin.partition.to_be_bytes(),
            &origin.offset.to_be_bytes(),
            &origin.timestamp.as_millis().to_be_bytes(),
            mapping.as_bytes(),
            &index.to_be_bytes(),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }

    /// The id of a batch: a hash of its members' ids in their order.
    #[must_use]
    pub fn of_batch<'a>(members: impl Iterator<Item = &'a Self>) -> Self {
        let mut hash = Sha256::new();
        members.for_each(|member| hash.update(member.0));
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        Self(id)
    }

    /// Makes an id from bytes that [`EventId::as_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        // 128 bits are 26 digits of 5 bits; the last digit is filled with two zero bits.
        let bits = u128::from_be_bytes(self.0);
        let mut text = *b"evt_00000000000000000000000000";
        for (i, digit) in text[4..].iter_mut().enumerate() {
            let shift = 123 - 5 * i as i32;
            let five = if shift >= 0 { bits >> shift } else { bits << -shift };
            *digit = ALPHABET[(five & 31) as usize];
        }
        f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

// === impl Sid ===

impl Sid {
    /// Makes a new id from the time of birth in milliseconds and 80 random bits.
    #[must_use]
    pub fn new(born_ms: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(born_ms, random))
    }

    /// Makes an id from bytes that [`Sid::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ulid::Ulid(u128::from_be_bytes(bytes)))
    }

    /// When it was born.
    #[must_use]
    pub fn born(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }

    /// The 16 bytes of the id, in an order that sorts by birth.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.0.to_be_bytes()
    }
}

impl fmt::Display for Sid {
    /// The ULID's 26 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin {
        Origin { topic: "shop.orders".into(), partition: 3, offset: 42, timestamp: Timestamp::from_millis(1_000) }
    }

    #[test]
    fn sw_5_the_same_place_gives_the_same_id_and_every_part_counts() {
        let id = EventId::derive(&origin(), "order-placed", 0);
        assert_eq!(id, EventId::derive(&origin(), "order-placed", 0));
        let others = [
            EventId::derive(&Origin { topic: "shop.order".into(), ..origin() }, "sorder-placed", 0),
            EventId::derive(&Origin { partition: 4, ..origin() }, "order-placed", 0),
            EventId::derive(&Origin { offset: 43, ..origin() }, "order-placed", 0),
            EventId::derive(&Origin { timestamp: Timestamp::from_millis(1_001), ..origin() }, "order-placed", 0),
            EventId::derive(&origin(), "order-placed-2", 0),
            EventId::derive(&origin(), "order-placed", 1),
        ];
        assert!(others.iter().all(|other| *other != id));
    }

    #[test]
    fn sw_4_an_id_is_written_in_base32_without_full_stops() {
        let text = EventId::from_bytes([0xff; 16]).to_string();
        assert_eq!(text, "evt_77777777777777777777777774");
        assert_eq!(EventId::from_bytes([0; 16]).to_string(), format!("evt_{}", "a".repeat(26)));
    }

    #[test]
    fn a_sid_sorts_by_birth_and_survives_its_bytes() {
        let (old, new) = (Sid::new(1, 9), Sid::new(2, 1));
        assert!(old < new && old.to_bytes() < new.to_bytes());
        assert_eq!((Sid::from_bytes(old.to_bytes()), new.born()), (old, Timestamp::from_millis(2)));
    }
}
