//! How long until retention reaches a cursor, so that somebody hears of it before records are lost.
//!
//! Retention takes records by age, so what the log holds from its first record up to a cursor, in time, is about how
//! long the cursor may still stay. Looked up once a minute, for the few cursors that are furthest back.

use crate::catchup::parts::{Parts, Stands};
use crate::catchup::reader::Reader;
use crate::kafka::group::GroupError;
use crate::kafka::range::Read;
use crate::model::cursor::CursorMode;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::runtime::status::Beginning;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};
use tracing::debug;

/// The first look comes when those who are behind after a start have begun to move; then this often.
const FIRST: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_secs(60);
/// Partitions per look: each costs a fetch. Those whose cursor is oldest are nearest to the end.
const PARTITIONS: usize = 8;
/// How long the first record of a log is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks now and then.
pub(crate) struct Retention {
    next: Instant,
}

/// The cursor of a partition that is furthest back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    near: Option<Timestamp>,
    offset: i64,
}

// === impl Retention ===

impl Retention {
    pub(crate) fn new() -> Self {
        Self { next: Instant::now() + FIRST }
    }

    /// Looks when it is time, and writes the board.
    pub(crate) fn look(&mut self, parts: &Parts, reader: &mut Reader) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let mut lasts = lasts(&parts.cursors()).into_iter().collect::<Vec<_>>();
        lasts.sort_by_key(|(_, last)| last.near);
        let (mut least, mut beginnings) = (None, BTreeMap::new());
        for (at, last) in lasts.into_iter().take(PARTITIONS) {
            if parts.shutdown.stopping() {
                break;
            }
            match beginning_of(reader, &at, last) {
                Ok(beginning) => {
                    least = [least, beginning.headroom((last.offset, last.near))].into_iter().flatten().min();
                    beginnings.insert(at, beginning);
                }
                Err(error) => {
                    debug!(topic = %at.topic, partition = at.partition, %error, "what retention left is not known");
                    break; // the others would wait as long
                }
            }
        }
        reader.rest();
        parts.board.update(|report| (report.cursor_headroom, report.beginnings) = (least, beginnings));
    }
}

fn lasts(cursors: &[Stands]) -> HashMap<TopicPartition, Last> {
    let mut lasts: HashMap<TopicPartition, Last> = HashMap::new();
    for Stands { at, row, .. } in cursors.iter().filter(|stands| stands.row.mode == CursorMode::Behind) {
        let one = Last { near: row.near, offset: row.offset };
        let last = lasts.entry(at.clone()).or_insert(one);
        if one.offset < last.offset {
            *last = one;
        }
    }
    lasts
}

/// How the log begins; its first record is read only for a cursor that stands behind it.
fn beginning_of(reader: &mut Reader, at: &TopicPartition, last: Last) -> Result<Beginning, GroupError> {
    let low = reader.held(at)?.low;
    let unread = Beginning { low, first: None };
    if last.offset <= low {
        return Ok(unread);
    }
    reader.begin_anew(at, low, low)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match reader.next(PATIENCE / 4) {
            Read::Record(record) => return Ok(Beginning { low, first: Some(record.origin.timestamp) }),
            Read::Nothing => {}
            Read::End(_) | Read::OutOfRange | Read::Trouble(_) => break,
        }
    }
    Ok(unread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catchup::world::{World, at as first};
    use crate::lane::settings::DeliverySettings;
    use crate::model::cursor::{BehindReason, CursorRow};
    use crate::model::id::Sid;
    use crate::runtime::clock;

    fn row(mode: CursorMode, offset: i64, near: Option<i64>) -> CursorRow {
        let (near, since) = (near.map(Timestamp::from_millis), Timestamp::default());
        CursorRow { mode, offset, near, since, reason: BehindReason::Slow, to: None }
    }

    #[test]
    fn of_each_partition_the_furthest_cursor_that_is_behind_counts() {
        let at = |partition| TopicPartition { topic: "t".into(), partition };
        let cursors = [
            (at(0), row(CursorMode::Behind, 7, Some(700))),
            (at(0), row(CursorMode::Behind, 5, Some(500))),
            (at(0), row(CursorMode::Live, 1, Some(100))),
            (at(1), row(CursorMode::Behind, 9, None)),
        ]
        .map(|(at, row)| Stands { sid: Sid::new(1, 1), at, row });
        let lasts = lasts(&cursors);
        assert_eq!(lasts.len(), 2);
        assert_eq!(lasts[&at(0)], Last { near: Some(Timestamp::from_millis(500)), offset: 5 });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_first_record_of_the_log_tells_how_long_a_cursor_may_stay() {
        let world = World::new(DeliverySettings::default()).await;
        world.write(3).await;
        let mut reader = Reader::new(world.kafka.clone());
        let near = Some(clock::now().after(Duration::from_secs(3_600)));
        let beginning = beginning_of(&mut reader, &first(), Last { near, offset: 2 }).unwrap();
        let headroom = beginning.headroom((2, near)).unwrap();
        assert!((3_600..3_660).contains(&headroom.as_secs()), "{headroom:?}");
        assert_eq!(beginning.headroom((2, None)), None, "not known");
        let at_the_end = beginning_of(&mut reader, &first(), Last { near, offset: 0 }).unwrap();
        assert_eq!(at_the_end.headroom((0, near)), Some(Duration::ZERO), "the next record that goes is one it wants");
    }
}
