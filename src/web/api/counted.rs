//! How much of the log a replay would send, by reading it: what a dry run tells.

use crate::kafka::group::GroupError;
use crate::kafka::range::{Range, Read};
use crate::kafka::settings::KafkaSettings;
use crate::model::event::Emitted;
use crate::model::record::Record;
use crate::model::replay::{Replay, Stretch};
use crate::pipeline::{Passage, Pipeline};
use crate::registry::desk::{Desk, Said};
use crate::runtime::clock;
use crate::subscriptions::narrowed::Narrowed;
use crate::subscriptions::snapshot::Snapshot;
use crate::web::api::problem::{Kind, Problem};
use crate::web::state::Api;
use std::collections::HashSet;
use std::sync::Arc;
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
    desk: &'a Desk,
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
    let desk = Arc::clone(&api.state.desk);
    let counting = tokio::task::spawn_blocking(move || {
        let (meant, until) = (Narrowed::default(), Instant::now() + PATIENCE);
        meant.add(replay.stream, &replay.types);
        let (pipeline, desk, snapshot, replay) = (&*pipeline, &*desk, &*snapshot, &replay);
        Count { pipeline, desk, snapshot, replay, meant, counted: Counted::default(), until }.run(&kafka)
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
                    let Some(passage) = self.pass(&record) else { return here };
                    self.count(&passage.events);
                    here = record.origin.offset + 1;
                }
                // Behind its end there is nothing to count; what retention took meanwhile cannot be sent either.
                Read::Record(_) | Read::End(_) | Read::OutOfRange => return stretch.to,
                Read::Nothing | Read::Trouble(_) => {}
            }
        }
        here
    }

    /// What a record becomes, once the schema it needs is known; `None` when it is not in time.
    fn pass(&self, record: &Record) -> Option<Passage> {
        loop {
            let passage = self.pipeline.pass(record);
            let Some(schema) = passage.absent else { return Some(passage) };
            match self.desk.ask(schema, clock::now()) {
                Said::Nothing(_) => return Some(passage), // a fault, and no event
                Said::Wait if Instant::now() < self.until => std::thread::sleep(POLL),
                Said::Wait => return None,
            }
        }
    }

    fn count(&mut self, events: &[Arc<Emitted>]) {
        let meant = self.meant.meant(self.replay.stream, events);
        let groups = self.snapshot.takers_among(&meant, &HashSet::from([self.replay.sid]));
        self.counted.matched += groups.iter().map(|group| group.events.len()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decoding::Decoding;
    use crate::decode::format::Format;
    use crate::map::mapping::TopicSelector;
    use crate::map::written::Rules;
    use crate::model::id::Sid;
    use crate::model::problem::Problems;
    use crate::model::record::Origin;
    use crate::model::schema::{Language, SchemaId, SchemaText};
    use crate::model::subscription::Start;
    use crate::yaml::reader;

    fn pipeline() -> Pipeline {
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        let text = "mappings: [{ name: all, from: t, emit: { type: t.all } }]";
        rules.add_file(&reader::read(&"m.yaml".into(), text).unwrap(), &mut problems);
        let decoding = Decoding { format: Format::Registered(Language::JsonSchema), ..Decoding::default() };
        let formats = vec![(TopicSelector::parse("t").unwrap(), decoding)];
        Pipeline::new(rules.finish(&mut problems), formats, 1 << 20)
    }

    #[test]
    fn what_waits_for_its_schema_is_not_counted_as_nothing() {
        let (pipeline, desk, snapshot) = (pipeline(), Desk::default(), Snapshot::default());
        let (sid, from, created) = (Sid::new(1, 2), Start::Earliest, clock::now());
        let replay = Replay { sid, stream: 3, from, to: None, created, types: Vec::new(), stretches: Vec::new() };
        let count = Count {
            pipeline: &pipeline,
            desk: &desk,
            snapshot: &snapshot,
            replay: &replay,
            meant: Narrowed::default(),
            counted: Counted::default(),
            until: Instant::now(),
        };
        let origin = Origin { topic: "t".into(), partition: 0, offset: 7, timestamp: created };
        let record = Record { origin, key: None, headers: Vec::new(), value: Some("\0\0\0\0\u{1}{}".into()) };
        assert!(count.pass(&record).is_none(), "time is up, and nobody knows what it becomes");
        let text = SchemaText { language: Language::JsonSchema, text: "{}".into(), references: Vec::new() };
        pipeline.schemas().learn(SchemaId::Number(1), &text).unwrap();
        assert_eq!(count.pass(&record).unwrap().events.len(), 1);
    }
}
