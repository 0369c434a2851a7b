//! The layout of keys in the tree `state`: big-endian, so that bytes sort as numbers do.
//!
//! `L` ledger head, `B` its body's chunks; `D` dead letter, `d` its event's chunks; `Q` quarantine, `q` its
//! record's chunks; `C` cursor; `R` a range that retention took; `P` copy of the group's commit; `F` outage; `E` operational
//! event. Rows that belong to a
//! partition begin with its topic's number and its own, so that a partition's rows lie together.

use crate::model::cursor::CursorKey;
use crate::model::dead_letter::DeadRange;
use crate::model::delivery::LedgerKey;
use crate::model::id::{EventId, Sid};
use crate::model::record::{Origin, TopicPartition};
use crate::model::time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;

/// The kinds of rows; a chunk's key is its head's with another first byte and a number behind it.
pub(crate) const LEDGER: u8 = b'L';
pub(crate) const LEDGER_BODY: u8 = b'B';
pub(crate) const DEAD: u8 = b'D';
pub(crate) const DEAD_BODY: u8 = b'd';
pub(crate) const QUARANTINE: u8 = b'Q';
pub(crate) const QUARANTINE_BODY: u8 = b'q';
pub(crate) const CURSOR: u8 = b'C';
pub(crate) const RANGE: u8 = b'R';
pub(crate) const COMMIT: u8 = b'P';
pub(crate) const FAILING: u8 = b'F';
pub(crate) const OUTBOX: u8 = b'E';

/// Bytes of a ledger head's key.
pub(crate) const LEDGER_LENGTH: usize = 69;

/// The key of a ledger head; `topic` is its topic's number.
pub(crate) fn ledger(key: &LedgerKey, topic: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEDGER_LENGTH);
    bytes.push(LEDGER);
    bytes.extend(topic.to_be_bytes());
    bytes.extend(key.at.partition.to_be_bytes());
    bytes.extend(key.sid.to_bytes());
    bytes.extend(key.stream.to_be_bytes());
    bytes.extend(key.offset.to_be_bytes());
    bytes.extend(key.ord.to_be_bytes());
    bytes.extend(key.event.as_bytes());
    bytes
}

/// The prefix of the rows of one topic; `kind` is that of rows that belong to a partition.
pub(crate) fn of_topic(kind: u8, topic: u32) -> Vec<u8> {
    [&[kind][..], &topic.to_be_bytes()].concat()
}

/// The prefix of the rows of one partition; `kind` is ledger head or cursor. As it is, the key of its commit's copy.
pub(crate) fn of_partition(kind: u8, topic: u32, partition: i32) -> Vec<u8> {
    [&[kind][..], &topic.to_be_bytes(), &partition.to_be_bytes()].concat()
}

/// The key of a cursor.
pub(crate) fn cursor(key: &CursorKey, topic: u32) -> Vec<u8> {
    let mut bytes = of_partition(CURSOR, topic, key.at.partition);
    bytes.extend(key.stream.to_be_bytes());
    bytes.extend(key.sid.to_bytes());
    bytes
}

/// A cursor's key from its bytes, with its topic's name.
pub(crate) fn read_cursor(bytes: &[u8], topic: Arc<str>) -> Option<CursorKey> {
    if bytes.len() != 41 {
        return None;
    }
    Some(CursorKey {
        at: TopicPartition { topic, partition: i32::from_be_bytes(part(bytes, 5)?) },
        stream: u128::from_be_bytes(part(bytes, 9)?),
        sid: Sid::from_bytes(part(bytes, 25)?),
    })
}

/// The subscription in a cursor's key.
pub(crate) fn cursor_sid(bytes: &[u8]) -> Option<Sid> {
    Some(Sid::from_bytes(part(bytes, 25)?))
}

/// The key of a lost range.
pub(crate) fn range(range: &DeadRange, topic: u32) -> Vec<u8> {
    let mut bytes = range_of(range.sid);
    bytes.extend(range.died.as_millis().to_be_bytes());
    bytes.extend(topic.to_be_bytes());
    bytes.extend(range.at.partition.to_be_bytes());
    bytes.extend(range.from.to_be_bytes());
    bytes.extend(range.stream.to_be_bytes());
    bytes
}

/// The prefix of all lost ranges of `sid`.
pub(crate) fn range_of(sid: Sid) -> Vec<u8> {
    [&[RANGE][..], &sid.to_bytes()].concat()
}

/// A lost range from its key, with its topic's name and its end.
pub(crate) fn read_range(bytes: &[u8], topic: Arc<str>, to: i64) -> Option<DeadRange> {
    Some(DeadRange {
        sid: Sid::from_bytes(part(bytes, 1)?),
        died: Timestamp::from_millis(i64::from_be_bytes(part(bytes, 17)?)),
        at: TopicPartition { topic, partition: i32::from_be_bytes(part(bytes, 29)?) },
        from: i64::from_be_bytes(part(bytes, 33)?),
        stream: u128::from_be_bytes(part(bytes, 41)?),
        to,
    })
}

/// The topic's number in a lost range's key.
pub(crate) fn range_topic(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(part(bytes, 25)?))
}

/// The partition in the key of a ledger head or a cursor.
pub(crate) fn ledger_partition(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(part(bytes, 5)?))
}

/// The topic's number in the key of a ledger head, a cursor or a quarantine row.
pub(crate) fn ledger_topic(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(part(bytes, 1)?))
}

/// A ledger key from its bytes, with its topic's name.
pub(crate) fn read_ledger(bytes: &[u8], topic: Arc<str>) -> Option<LedgerKey> {
    if bytes.len() != LEDGER_LENGTH {
        return None;
    }
    Some(LedgerKey {
        at: TopicPartition { topic, partition: i32::from_be_bytes(part(bytes, 5)?) },
        sid: Sid::from_bytes(part(bytes, 9)?),
        stream: u128::from_be_bytes(part(bytes, 25)?),
        offset: i64::from_be_bytes(part(bytes, 41)?),
        ord: u32::from_be_bytes(part(bytes, 49)?),
        event: EventId::from_bytes(part(bytes, 53)?),
    })
}

/// The subscription in a ledger key.
pub(crate) fn ledger_sid(bytes: &[u8]) -> Option<Sid> {
    Some(Sid::from_bytes(part(bytes, 9)?))
}

/// The key of a dead letter of `sid`.
pub(crate) fn dead(sid: Sid, died_ms: i64, place: (u32, &Origin), event: (u32, EventId)) -> Vec<u8> {
    let ((topic, origin), (ord, id)) = (place, event);
    let mut bytes = Vec::with_capacity(61);
    bytes.push(DEAD);
    bytes.extend(sid.to_bytes());
    bytes.extend(died_ms.to_be_bytes());
    bytes.extend(topic.to_be_bytes());
    bytes.extend(origin.partition.to_be_bytes());
    bytes.extend(origin.offset.to_be_bytes());
    bytes.extend(ord.to_be_bytes());
    bytes.extend(id.as_bytes());
    bytes
}

/// The prefix of all dead letters of `sid`.
pub(crate) fn dead_of(sid: Sid) -> Vec<u8> {
    [&[DEAD][..], &sid.to_bytes()].concat()
}

/// The subscription and the time in a dead letter's key.
pub(crate) fn read_dead(bytes: &[u8]) -> Option<(Sid, i64)> {
    Some((Sid::from_bytes(part(bytes, 1)?), i64::from_be_bytes(part(bytes, 17)?)))
}

/// The key of a quarantine row; one per (record, mapping).
pub(crate) fn quarantine(topic: u32, origin: &Origin, mapping: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(17 + mapping.len());
    bytes.push(QUARANTINE);
    bytes.extend(topic.to_be_bytes());
    bytes.extend(origin.partition.to_be_bytes());
    bytes.extend(origin.offset.to_be_bytes());
    bytes.extend(mapping.as_bytes());
    bytes
}

/// The key of chunk `number` of the row with this head; `kind` is the chunk's own.
pub(crate) fn chunk(head: &[u8], kind: u8, number: u16) -> Vec<u8> {
    [&chunks(head, kind)[..], &number.to_be_bytes()].concat()
}

/// The prefix of all chunks of the row with this head.
pub(crate) fn chunks(head: &[u8], kind: u8) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes[0] = kind;
    bytes
}

/// A row's id towards users: `prefix` and its key without the kind.
pub(crate) fn to_id(prefix: &str, key: &[u8]) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(&key[1..]))
}

/// The key that [`to_id`] made an id of; `None` when it is none of ours.
pub(crate) fn from_id(prefix: &str, kind: u8, id: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(id.strip_prefix(prefix)?).ok()?;
    Some([&[kind][..], &bytes].concat())
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ledger_key_survives_its_bytes_and_sorts_by_offset(
            partition in 0..i32::MAX, offset in 0..i64::MAX - 1, ord: u32, sid: [u8; 16], stream: u128, event: [u8; 16],
        ) {
            let at = TopicPartition { topic: "t".into(), partition };
            let (sid, event) = (Sid::from_bytes(sid), EventId::from_bytes(event));
            let key = LedgerKey { at, sid, stream, offset, ord, event };
            let bytes = ledger(&key, 7);
            prop_assert_eq!(ledger_topic(&bytes), Some(7));
            prop_assert_eq!(ledger_sid(&bytes), Some(sid));
            prop_assert_eq!(read_ledger(&bytes, "t".into()), Some(key.clone()));
            let next = LedgerKey { offset: offset + 1, ..key };
            prop_assert!(bytes < ledger(&next, 7));
        }
    }

    proptest! {
        #[test]
        fn a_cursor_key_and_a_lost_range_survive_their_bytes(
            partition in 0..i32::MAX, sid: [u8; 16], stream: u128, from in 0..i64::MAX, died in 0..i64::MAX,
        ) {
            let (at, sid) = (TopicPartition { topic: "t".into(), partition }, Sid::from_bytes(sid));
            let key = CursorKey { at: at.clone(), stream, sid };
            let bytes = cursor(&key, 7);
            prop_assert!(bytes.starts_with(&of_partition(CURSOR, 7, partition)));
            prop_assert_eq!((ledger_topic(&bytes), cursor_sid(&bytes)), (Some(7), Some(sid)));
            prop_assert_eq!(read_cursor(&bytes, "t".into()), Some(key));
            let lost = DeadRange { sid, at, stream, died: Timestamp::from_millis(died), from, to: 9 };
            let bytes = range(&lost, 7);
            prop_assert!(bytes.starts_with(&range_of(sid)) && range_topic(&bytes) == Some(7));
            prop_assert_eq!(read_range(&bytes, "t".into(), 9), Some(lost));
        }
    }

    #[test]
    fn an_id_leads_back_to_its_row() {
        let origin = Origin { topic: "t".into(), partition: 1, offset: 2, timestamp: Timestamp::from_millis(3) };
        let key = quarantine(4, &origin, "order-placed");
        let id = to_id("quar_", &key);
        assert_eq!(from_id("quar_", QUARANTINE, &id), Some(key));
        assert_eq!(from_id("quar_", QUARANTINE, "dead_x"), None);
        assert_eq!(from_id("quar_", QUARANTINE, "quar_%%"), None);
    }
}
