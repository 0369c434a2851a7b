//! Where an assigned partition begins: at its commit if the log still holds it, else where the rules say.
//!
//! A group without any commit in a topic begins by `kafka.start`; a partition that appears later begins at its
//! beginning; a commit that the log does not hold any more begins at the beginning of what is left.

use crate::kafka::settings::Start;
use crate::model::record::TopicPartition;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{HashMap, HashSet};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;
use tracing::{info, warn};

/// How long one question to the cluster may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Where a partition begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) at: TopicPartition,
    pub(crate) offset: i64,
    /// Whether we chose the offset, because there was no usable commit.
    pub(crate) chosen: bool,
    /// What stands beside the commit; empty when nothing readable does.
    pub(crate) metadata: String,
}

/// Finds where each of `partitions` begins. Asks until the cluster answers: without an answer nothing may be read.
pub(crate) fn begin<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    start: Start,
) -> Vec<Begin> {
    loop {
        match try_begin(consumer, partitions, start) {
            Ok(begins) => return begins,
            Err(error) => warn!(%error, "cannot find out where the assigned partitions begin; asking again"),
        }
    }
}

/// The partitions of a list.
pub(crate) fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let elements = list.elements();
    elements.iter().map(|e| TopicPartition { topic: e.topic().into(), partition: e.partition() }).collect()
}

fn try_begin<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    list: &TopicPartitionList,
    start: Start,
) -> KafkaResult<Vec<Begin>> {
    let committed = consumer.committed_offsets(list.clone(), PATIENCE)?;
    let mut known_topics = HashMap::new();
    let mut begins = Vec::with_capacity(committed.count());
    for element in &committed.elements() {
        let at = TopicPartition { topic: element.topic().into(), partition: element.partition() };
        let (low, high) = consumer.fetch_watermarks(&at.topic, at.partition, PATIENCE)?;
        let metadata = metadata(element);
        let begin = match element.offset() {
            Offset::Offset(offset) if (low..=high).contains(&offset) => Begin { at, offset, chosen: false, metadata },
            Offset::Offset(offset) => {
                warn!(topic = %at.topic, partition = at.partition, committed = offset, low, high,
                    "the log does not hold the committed offset; going on at its beginning");
                Begin { at, offset: low, chosen: true, metadata }
            }
            _ => {
                let topic = element.topic();
                if !known_topics.contains_key(topic) {
                    known_topics.insert(topic.to_owned(), has_commits(consumer, topic)?);
                }
                let later = known_topics[topic];
                let offset = if later || start == Start::Earliest { low } else { high };
                info!(topic = %at.topic, partition = at.partition, offset, "a partition begins without a commit");
                Begin { at, offset, chosen: true, metadata }
            }
        };
        begins.push(begin);
    }
    Ok(begins)
}

/// What stands beside a commit. rdkafka panics when it is no UTF-8, and any client of the group may have written it.
pub(crate) fn metadata(element: &TopicPartitionListElem<'_>) -> String {
    panic::catch_unwind(AssertUnwindSafe(|| element.metadata().to_owned())).unwrap_or_default()
}

/// Whether the group has a commit in any partition of `topic`.
fn has_commits<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: &str) -> KafkaResult<bool> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let ids: HashSet<i32> =
        metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(|p| p.id())).collect();
    let mut all = TopicPartitionList::with_capacity(ids.len());
    for id in ids {
        all.add_partition(topic, id);
    }
    let committed = consumer.committed_offsets(all, PATIENCE)?;
    Ok(committed.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
}
