//! Reads one partition from an offset on, beside the group: for those who are behind.
//!
//! A consumer of its own by `assign`: it joins no group, commits nothing, and tells the end of the log, so that
//! whoever reads knows when gaps (transactions, compaction) lead up to it. One reader serves one partition after
//! the other. Blocks; lives on a thread of its own.

use crate::kafka::group::GroupError;
use crate::kafka::message::{self, Names};
use crate::kafka::offsets::{self, PATIENCE};
use crate::kafka::properties::{self, Reset};
use crate::kafka::settings::KafkaSettings;
use crate::model::record::{Record, TopicPartition};
use crate::model::time::Timestamp;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;

/// A reader of one partition at a time.
pub struct Range {
    consumer: BaseConsumer,
    names: Names,
}

/// What a reading brought.
#[derive(Debug)]
pub enum Read {
    /// The next record.
    Record(Record),
    /// The end of the log: there is nothing before this offset that was not read.
    End(i64),
    /// The log does not hold the position: retention passed it, or the topic was made anew.
    OutOfRange,
    /// Nothing came in time.
    Nothing,
    /// Something that librdkafka goes on to mend.
    Trouble(String),
}

/// What the log of a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The first offset.
    pub low: i64,
    /// The offset after the last.
    pub high: i64,
}

// === impl Range ===

impl Range {
    /// Makes a reader; it reads nothing before [`Range::begin`].
    ///
    /// # Errors
    /// The first property that librdkafka refuses.
    pub fn new(settings: &KafkaSettings) -> Result<Self, GroupError> {
        let mut config = properties::consumer(settings, Reset::Error);
        // What waits here is beside the budget of live records; little is enough, for a scan never waits.
        config.set("enable.partition.eof", "true").set("queued.max.messages.kbytes", "4096");
        // A broker tells the end of the log by an answer without records, which it holds back for so long.
        config.set("fetch.wait.max.ms", "100");
        config.remove("group.instance.id");
        config.remove("client.rack"); // a follower may end before what intake has read already
        config.set_log_level(RDKafkaLogLevel::Error);
        Ok(Self { consumer: config.create()?, names: Names::default() })
    }

    /// Reads `at` from `offset` on; what was read before is left.
    ///
    /// # Errors
    /// What librdkafka says against it.
    pub fn begin(&self, at: &TopicPartition, offset: i64) -> Result<(), GroupError> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(offset))?;
        Ok(self.consumer.assign(&list)?)
    }

    /// Reads no partition.
    ///
    /// # Errors
    /// What librdkafka says against it.
    pub fn end(&self) -> Result<(), GroupError> {
        Ok(self.consumer.unassign()?)
    }

    /// Waits for the next record, `within` at most.
    pub fn next(&mut self, within: Duration) -> Read {
        match self.consumer.poll(within) {
            Some(Ok(message)) => Read::Record(message::record(&message, &mut self.names)),
            Some(Err(KafkaError::PartitionEOF(_))) => self.position().map_or(Read::Nothing, Read::End),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Read::OutOfRange,
                _ => Read::Trouble(error.to_string()),
            },
            None => Read::Nothing,
        }
    }

    /// What the log of `at` holds now.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn held(&self, at: &TopicPartition) -> Result<Held, GroupError> {
        let (low, high) = self.consumer.fetch_watermarks(&at.topic, at.partition, PATIENCE)?;
        Ok(Held { low, high })
    }

    /// The names of all topics of the cluster.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn topics(&self) -> Result<Vec<String>, GroupError> {
        let metadata = self.consumer.fetch_metadata(None, PATIENCE)?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// The partitions of `topic`; empty when there is no such topic.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn partitions(&self, topic: &str) -> Result<Vec<i32>, GroupError> {
        let metadata = self.consumer.fetch_metadata(Some(topic), PATIENCE)?;
        Ok(metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(|p| p.id())).collect())
    }

    /// The first offset of `at` whose record is not older than `time`; the end of the log when all are.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn offset_at(&self, at: &TopicPartition, time: Timestamp) -> Result<i64, GroupError> {
        match offsets::since(&self.consumer, at, time)? {
            Some(offset) => Ok(offset),
            None => Ok(self.held(at)?.high),
        }
    }

    fn position(&self) -> Option<i64> {
        let positions = self.consumer.position().ok()?;
        match positions.elements().first()?.offset() {
            Offset::Offset(offset) => Some(offset),
            // Nothing was read since `begin`: the position is not known yet, but the log's end is.
            _ => {
                let assigned = self.consumer.assignment().ok()?;
                let element = assigned.elements().first().map(|e| (e.topic().to_owned(), e.partition()))?;
                self.consumer.fetch_watermarks(&element.0, element.1, PATIENCE).ok().map(|(_, high)| high)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::broker::Broker;
    use crate::kafka::writer::{Draft, Writer};

    async fn ten_records(broker: &Broker) -> KafkaSettings {
        broker.topic("t", 1).unwrap();
        let settings = KafkaSettings { brokers: broker.servers().into(), ..KafkaSettings::default() };
        let writer = Writer::new(&settings).unwrap();
        for n in 0..10 {
            let value = Some(format!("{n}").into());
            writer.write(&Draft { topic: "t".into(), key: None, headers: Vec::new(), value }).await.unwrap();
        }
        settings
    }

    fn read_to_the_end(range: &mut Range) -> (Vec<i64>, i64) {
        let mut offsets = Vec::new();
        for _ in 0..200 {
            match range.next(Duration::from_millis(100)) {
                Read::Record(record) => offsets.push(record.origin.offset),
                Read::End(end) => return (offsets, end),
                Read::Nothing | Read::Trouble(_) => {}
                Read::OutOfRange => panic!("out of range"),
            }
        }
        panic!("no end of the log; read {offsets:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_range_is_read_from_its_offset_to_the_end_and_read_again_from_another() {
        let broker = Broker::start().unwrap();
        let settings = ten_records(&broker).await;
        let at = TopicPartition { topic: "t".into(), partition: 0 };
        let mut range = Range::new(&settings).unwrap();
        range.begin(&at, 4).unwrap();
        assert_eq!(read_to_the_end(&mut range), ((4..10).collect(), 10));
        range.begin(&at, 8).unwrap();
        assert_eq!(read_to_the_end(&mut range), ((8..10).collect(), 10));
        range.begin(&at, 10).unwrap();
        assert_eq!(read_to_the_end(&mut range), (Vec::new(), 10), "at the end there is nothing but the end");
        assert_eq!(range.held(&at).unwrap(), Held { low: 0, high: 10 });
    }
}
