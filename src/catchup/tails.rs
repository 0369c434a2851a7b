//! The end of a log may hold no records: markers of transactions, what was rolled back, what was compacted away. Intake
//! hears of none of these, and would stand before them for good, with a lag that nobody can work off. So whoever stands
//! still before the end is looked at by a reader: when there is nothing to read, everything up to there is passed.

use crate::catchup::parts::Parts;
use crate::catchup::reader::Reader;
use crate::kafka::group::GroupError;
use crate::kafka::range::Read;
use crate::model::record::TopicPartition;
use crate::progress::partition::Progress;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tracing::debug;

/// How often; intake's report of the log's end is as old as this at most.
const EVERY: Duration = Duration::from_secs(2);
/// Partitions per look: each costs a fetch.
const PARTITIONS: usize = 8;
/// How long the cluster may take to say that there is nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks now and then.
pub(crate) struct Tails {
    next: Instant,
    /// Where partitions stood at the last look.
    stood: HashMap<TopicPartition, Stood>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stood {
    epoch: u64,
    position: i64,
    seen: Seen,
}

/// What is known of what lies before a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nothing: it may be moving.
    Nothing,
    /// Records, up to this end of the log: intake is to take them, and is kept from it.
    Records(i64),
}

// === impl Tails ===

impl Tails {
    pub(crate) fn new() -> Self {
        Self { next: Instant::now() + EVERY, stood: HashMap::new() }
    }

    /// Looks when it is time.
    pub(crate) fn look(&mut self, parts: &Parts, reader: &mut Reader) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        let report = parts.board.read();
        if report.backpressure.is_some() {
            return; // then there are reasons enough to stand still
        }
        let (mut stands, mut looks) = (HashMap::new(), 0);
        for (at, report) in report.partitions {
            let Some(end) = report.end else { continue };
            let now = parts.directory.hands().partitions.with(&at, |progress| stand(progress, end)).flatten();
            let Some(mut now) = now else { continue };
            let before =
                self.stood.get(&at).filter(|before| (before.epoch, before.position) == (now.epoch, now.position));
            if let Some(before) = before {
                now.seen = before.seen;
                if before.seen != Seen::Records(end) && looks < PARTITIONS && !parts.shutdown.stopping() {
                    looks += 1;
                    match pass(parts, reader, (&at, now), end) {
                        Ok(seen) => now.seen = seen,
                        Err(error) => {
                            debug!(topic = %at.topic, partition = at.partition, %error, "the end of the log is not known");
                            looks = PARTITIONS; // the others would wait as long
                        }
                    }
                }
            }
            stands.insert(at, now);
        }
        self.stood = stands;
        if looks > 0 {
            reader.rest();
        }
    }
}

/// Passes what lies between a place and the end of the log, when that is no record.
fn pass(
    parts: &Parts,
    reader: &mut Reader,
    (at, stood): (&TopicPartition, Stood),
    end: i64,
) -> Result<Seen, GroupError> {
    let to = match tail(reader, at, stood.position)? {
        Tail::Empty(to) => to,
        Tail::Records => return Ok(Seen::Records(end)),
        Tail::Unknown => return Ok(Seen::Nothing),
    };
    // Nothing was admitted meanwhile, so nothing lies between; what comes later is behind it.
    parts.directory.hands().partitions.with(at, |progress| {
        if (progress.epoch(), progress.position()) == (stood.epoch, stood.position) {
            progress.skip_to(to);
        }
    });
    debug!(topic = %at.topic, partition = at.partition, from = stood.position, to, "no records up to the end");
    Ok(Seen::Nothing)
}

/// Where a partition stands that has all settled, and not come to the end of the log.
fn stand(progress: &mut Progress, end: i64) -> Option<Stood> {
    let (epoch, position) = (progress.epoch(), progress.position());
    (progress.unsettled() == 0 && position < end).then_some(Stood { epoch, position, seen: Seen::Nothing })
}

/// What the log holds from a place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// No record, up to here.
    Empty(i64),
    /// Some.
    Records,
    /// That was not told in time.
    Unknown,
}

fn tail(reader: &mut Reader, at: &TopicPartition, offset: i64) -> Result<Tail, GroupError> {
    let high = reader.held(at)?.high;
    reader.begin_anew(at, offset, high)?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match reader.next(PATIENCE / 4) {
            Read::End(_) => return Ok(Tail::Empty(reader.sure())),
            Read::Record(_) => return Ok(Tail::Records),
            Read::Nothing => {}
            Read::OutOfRange | Read::Trouble(_) => break,
        }
    }
    Ok(Tail::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catchup::world::{World, at};
    use crate::lane::settings::DeliverySettings;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn where_records_follow_nothing_is_passed_and_where_none_do_the_end_is_told() {
        let world = World::new(DeliverySettings::default()).await;
        world.write(3).await;
        let mut reader = Reader::new(world.kafka.clone());
        let mut told = |offset| {
            let mut tails = std::iter::repeat_with(|| tail(&mut reader, &at(), offset).unwrap());
            tails.by_ref().take(20).find(|tail| *tail != Tail::Unknown)
        };
        assert_eq!(told(1), Some(Tail::Records));
        assert_eq!(told(3), Some(Tail::Empty(3)));
    }

    #[test]
    fn only_what_is_settled_and_before_the_end_stands_still() {
        let mut progress = Progress::new(4, 7);
        assert_eq!(stand(&mut progress, 7), None);
        assert_eq!(stand(&mut progress, 9), Some(Stood { epoch: 4, position: 7, seen: Seen::Nothing }));
        let time = crate::model::time::Timestamp::from_millis(0);
        let record =
            crate::progress::partition::Admission { offset: 7, pending: 1, bytes: 0, admitted: time, written: time };
        progress.admit(record);
        assert_eq!(stand(&mut progress, 9), None, "it has something open");
    }
}
