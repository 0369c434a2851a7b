//! How much of the log a replay would send, by reading it: what a dry run tells.

use crate::kafka::group::GroupError;
use crate::kafka::range::{Range, Read};
use crate::kafka::settings::KafkaSettings;
use crate::model::record::Record;
use crate::model::replay::{Replay, Stretch};
use crate::pipeline::Pipeline;
use crate::subscriptions::narrowed::Narrowed;
use crate::subscriptions::snapshot::Snapshot;
use crate::web::api::problem::{Kind, Problem};
use crate::web::state::Api;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long it reads: the answer must come before the request's deadline.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(200);

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Events that the replay would send.
    pub(crate) matched: usize,
    /// Offsets that were looked at; fewer than the replay's total when time was up.
    pub(crate) offsets: i64,
}

/// Who counts, and what for.
struct Count<'a> {
    pipeline: &'a Pipeline,
    snapshot: &'a Snapshot,
    replay: &'a Replay,
    meant: Narrowed,
    counted: Counted,
    until: Instant,
}

/// Counts what `replay` would send.
///
/// # Errors
/// 503: Kafka did not answer.
pub(crate) async fn count(api: &Api, replay: &Replay) -> Result<Counted, Problem> {
    let (kafka, replay) = (api.state.kafka.clone(), replay.clone());
    let (pipeline, snapshot) = (api.state.pipeline.load_full(), api.state.directory.snapshot());
    let counting = tokio::task::spawn_blocking(move || {
        let (meant, until) = (Narrowed::default(), Instant::now() + PATIENCE);
        meant.add(replay.stream, &replay.types);
        let (pipeline, snapshot, replay) = (&*pipeline, &*snapshot, &replay);
        Count { pipeline, snapshot, replay, meant, counted: Counted::default(), until }.run(&kafka)
    });
    match counting.await {
        Ok(Ok(counted)) => Ok(counted),
        Ok(Err(error)) => {
            warn!(%error, "the log could not be read for a dry run");
            Err(Problem::of(Kind::KafkaUnavailable, "Kafka did not answer; nothing changed"))
        }
        Err(_) => Err(Problem::of(Kind::Internal, "counting broke down")),
    }
}

// === impl Count ===

impl Count<'_> {
    fn run(mut self, kafka: &KafkaSettings) -> Result<Counted, GroupError> {
        let mut range = Range::new(kafka)?;
        for stretch in &self.replay.stretches {
            range.begin(&stretch.at, stretch.from)?;
            let end = self.stretch(stretch, &mut range);
            self.counted.offsets += end - stretch.from;
        }
        Ok(self.counted)
    }

    /// Reads a stretch while there is time; gives how far it came.
    fn stretch(&mut self, stretch: &Stretch, range: &mut Range) -> i64 {
        let mut here = stretch.from;
        while here < stretch.to && Instant::now() < self.until {
            match range.next(POLL) {
                Read::Record(record) if record.origin.offset < stretch.to => {
                    self.record(&record);
                    here = record.origin.offset + 1;
                }
                // Behind its end there is nothing to count; what retention took meanwhile cannot be sent either.
                Read::Record(_) | Read::End(_) | Read::OutOfRange => return stretch.to,
                Read::Nothing | Read::Trouble(_) => {}
            }
        }
        here
    }

    fn record(&mut self, record: &Record) {
        let events = self.pipeline.pass(record).events;
        let meant = self.meant.meant(self.replay.stream, &events);
        let groups = self.snapshot.takers_among(&meant, &HashSet::from([self.replay.sid]));
        self.counted.matched += groups.iter().map(|group| group.events.len()).sum::<usize>();
    }
}
