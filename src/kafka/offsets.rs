//! What the cluster says of partitions that are to begin, and which offset a decision is.

use crate::kafka::committer::Commit;
use crate::kafka::describe;
use crate::kafka::owner::{Begun, Committed, Found, Owner, Place, Placed};
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// How long one question to the cluster may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What was found out of partitions that are to begin.
#[derive(Default)]
pub(crate) struct Findings {
    /// Those that can be placed.
    pub(crate) found: Vec<Found>,
    /// Those that the cluster does not know, or did not answer about.
    pub(crate) unknown: Vec<TopicPartition>,
}

/// Asks the cluster about `partitions`. Blocks; where no answer comes the others are not asked about any more.
pub(crate) fn find<C: ConsumerContext>(consumer: &BaseConsumer<C>, partitions: &[TopicPartition]) -> Findings {
    let mut findings = Findings::default();
    match Asked::of(consumer, partitions) {
        Ok(asked) => asked.find(consumer, partitions, &mut findings),
        Err(error) => {
            warn!(%error, "cannot find out where partitions begin; asking again");
            findings.unknown = partitions.to_vec();
        }
    }
    findings
}

/// What is asked once for all partitions.
struct Asked {
    topics: BTreeMap<String, describe::Described>,
    committed: BTreeMap<(String, i32), Committed>,
}

// === impl Asked ===

impl Asked {
    fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>, partitions: &[TopicPartition]) -> KafkaResult<Self> {
        let names = partitions.iter().map(|at| &*at.topic).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
        let topics = describe::describe(consumer.client(), &names, PATIENCE)?;
        let mut all = TopicPartitionList::new();
        for (name, topic) in &topics {
            for partition in 0..topic.partitions {
                all.add_partition(name, partition);
            }
        }
        let answer = match all.count() {
            0 => TopicPartitionList::new(),
            _ => consumer.committed_offsets(all, PATIENCE)?,
        };
        let committed = answer.elements().into_iter().filter_map(|element| {
            let Offset::Offset(offset) = element.offset() else { return None };
            let committed = Committed { offset, metadata: metadata(&element) };
            Some(((element.topic().to_owned(), element.partition()), committed))
        });
        Ok(Self { committed: committed.collect(), topics })
    }

    fn find<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        partitions: &[TopicPartition],
        findings: &mut Findings,
    ) {
        let mut answers = true;
        for at in partitions {
            let topic = self.topics.get(&*at.topic).copied().unwrap_or_default();
            let there = at.partition < topic.partitions;
            let held = (answers && there).then(|| consumer.fetch_watermarks(&at.topic, at.partition, PATIENCE));
            let Some(Ok((low, high))) = held else {
                if let Some(Err(error)) = held {
                    warn!(topic = %at.topic, partition = at.partition, %error, "cannot find out what the log holds");
                    answers = is_known(&error);
                }
                findings.unknown.push(at.clone());
                continue;
            };
            let begun = self.committed.keys().any(|(name, _)| **name == *at.topic);
            findings.found.push(Found {
                at: at.clone(),
                topic: topic.id,
                committed: self.committed.get(&(at.topic.to_string(), at.partition)).cloned(),
                group: if begun { Begun::Yes } else { Begun::NotYet },
                low,
                high,
            });
        }
    }
}

/// Whether the error is about this partition alone: the cluster answers.
fn is_known(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    !matches!(code, Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure))
}

/// Lets the owner decide where these begin, and finds the offsets. What cannot be placed now is left out.
pub(crate) fn place<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    owner: &Arc<dyn Owner>,
    found: &[Found],
) -> Vec<Placed> {
    let place = |found: &Found| {
        let decision = owner.decide(found)?;
        let offset = match offset(consumer, found, decision.place) {
            Ok(offset) => offset,
            Err(error) => {
                warn!(topic = %found.at.topic, partition = found.at.partition, %error, "cannot look up a time");
                return None;
            }
        };
        if decision.place != Place::Committed {
            let (at, decided) = (&found.at, decision.place);
            info!(topic = %at.topic, partition = at.partition, offset, place = ?decided, "a partition begins at a place of our choice");
        }
        let Found { at, topic, low, high, .. } = found.clone();
        Some(Placed { at, topic, offset, low, high, decision })
    };
    found.iter().filter_map(place).collect()
}

/// What must be committed: without it a kill before the first commit would choose again, further on.
pub(crate) fn chosen(owner: &Arc<dyn Owner>, placed: &[Placed]) -> Vec<Commit> {
    let chosen = placed.iter().filter(|placed| placed.decision.place != Place::Committed);
    let commit = |placed: &Placed| {
        let metadata = owner.metadata(&placed.at.topic, placed.decision.near);
        Commit { at: placed.at.clone(), offset: placed.offset, metadata }
    };
    chosen.map(commit).collect()
}

fn offset<C: ConsumerContext>(consumer: &BaseConsumer<C>, found: &Found, place: Place) -> KafkaResult<i64> {
    match (place, &found.committed) {
        (Place::Committed, Some(committed)) => Ok(committed.offset),
        (Place::At(offset), _) => Ok(offset),
        (Place::Since(time), _) => Ok(since(consumer, &found.at, time)?.unwrap_or(found.low)),
        (Place::Earliest | Place::Committed, _) => Ok(found.low),
        (Place::Latest, _) => Ok(found.high),
    }
}

/// The first offset of `at` whose record is not older than `time`; `None` when all are.
pub(crate) fn since<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    at: &TopicPartition,
    time: Timestamp,
) -> KafkaResult<Option<i64>> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&at.topic, at.partition, Offset::Offset(time.as_millis().max(0)))?;
    let found = consumer.offsets_for_times(list, PATIENCE)?;
    Ok(match found.elements().first().map(TopicPartitionListElem::offset) {
        Some(Offset::Offset(offset)) => Some(offset),
        _ => None,
    })
}

/// The partitions of a list.
pub(crate) fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    elements.iter().map(|e| TopicPartition { topic: e.topic().into(), partition: e.partition() }).collect()
}

/// What stands beside a commit. rdkafka panics when it is no UTF-8, and any client of the group may have written it.
pub(crate) fn metadata(element: &TopicPartitionListElem<'_>) -> String {
    panic::catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default()
}
