//! Where to read the past from: a beginning in words, looked up in the log, becomes an offset on every partition
//! (protocol T16, section 7).

use crate::kafka::group::GroupError;
use crate::kafka::range::Range;
use crate::kafka::settings::KafkaSettings;
use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
use crate::model::record::TopicPartition;
use crate::model::replay::Stretch;
use crate::model::subscription::Start;
use crate::model::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Picks the source topics of the rules in force out of those that there are.
pub type Topics<'a> = &'a dyn Fn(&[String]) -> BTreeSet<String>;

/// The log, for looking offsets up. Every call blocks.
pub struct Past(Range);

// === impl Past ===

impl Past {
    /// Reaches for the cluster; nothing is read yet.
    ///
    /// # Errors
    /// The first property that librdkafka refuses.
    pub fn of(kafka: &KafkaSettings) -> Result<Self, GroupError> {
        Ok(Self(Range::new(kafka)?))
    }

    /// The cursors of a subscription that begins at `start`, one for every partition of every topic; none when it
    /// begins now.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn cursors(
        &self,
        topics: Topics<'_>,
        (start, now): (Start, Timestamp),
    ) -> Result<Vec<(TopicPartition, CursorRow)>, GroupError> {
        if start == Start::Now {
            return Ok(Vec::new());
        }
        let near = if let Start::At(time) = start { Some(time) } else { None };
        let row = |offset| {
            let (mode, reason) = (CursorMode::Behind, BehindReason::Starting);
            CursorRow { mode, offset, near, since: now, reason, to: None }
        };
        let mut cursors = Vec::new();
        for at in self.partitions(topics)? {
            let offset = self.offset(&at, start)?;
            cursors.push((at, row(offset)));
        }
        Ok(cursors)
    }

    /// What lies between `from` and `to` (the end of the log as it is now when left out); stretches without any offset
    /// are left out.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn stretches(
        &self,
        topics: Topics<'_>,
        (from, to): (Start, Option<Timestamp>),
    ) -> Result<Vec<Stretch>, GroupError> {
        let mut stretches = Vec::new();
        for at in self.partitions(topics)? {
            let from = self.offset(&at, from)?;
            let to = self.offset(&at, to.map_or(Start::Now, Start::At))?;
            if from < to {
                stretches.push(Stretch { at, from, to });
            }
        }
        Ok(stretches)
    }

    fn offset(&self, at: &TopicPartition, start: Start) -> Result<i64, GroupError> {
        match start {
            Start::Now => Ok(self.0.held(at)?.high),
            Start::Earliest => Ok(self.0.held(at)?.low),
            Start::At(time) => self.0.offset_at(at, time),
        }
    }

    fn partitions(&self, topics: Topics<'_>) -> Result<Vec<TopicPartition>, GroupError> {
        let mut all = Vec::new();
        for topic in topics(&self.0.topics()?) {
            let partitions = self.0.partitions(&topic)?;
            let topic: Arc<str> = topic.into();
            all.extend(partitions.into_iter().map(|partition| TopicPartition { topic: Arc::clone(&topic), partition }));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::broker::Broker;
    use crate::kafka::writer::{Draft, Writer};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_beginning_is_an_offset_on_every_partition_of_every_source_topic() {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 2).unwrap();
        broker.topic("shop.other", 1).unwrap();
        let kafka = KafkaSettings { brokers: broker.servers().into(), ..KafkaSettings::default() };
        let writer = Writer::new(&kafka).unwrap();
        for n in 0..8 {
            let (key, value) = (Some(format!("k{n}").into()), Some("{}".into()));
            writer.write(&Draft { topic: "shop.orders".into(), key, headers: Vec::new(), value }).await.unwrap();
        }
        let past = Past::of(&kafka).unwrap();
        let topics = |existing: &[String]| {
            assert!(existing.contains(&"shop.other".to_owned()));
            BTreeSet::from(["shop.orders".to_owned(), "none".to_owned()])
        };
        let now = Timestamp::from_millis(5);
        assert!(past.cursors(&topics, (Start::Now, now)).unwrap().is_empty());
        let mut cursors = past.cursors(&topics, (Start::Earliest, now)).unwrap();
        cursors.sort_by_key(|(at, _)| at.partition);
        let found: Vec<_> = cursors.iter().map(|(at, row)| (&*at.topic, at.partition, row.offset)).collect();
        assert_eq!(found, [("shop.orders", 0, 0), ("shop.orders", 1, 0)]);
        let rows = cursors.iter().map(|(_, row)| (row.mode, row.reason, row.since, row.to));
        assert!(rows.into_iter().all(|row| row == (CursorMode::Behind, BehindReason::Starting, now, None)));
        let stretches = past.stretches(&topics, (Start::Earliest, None)).unwrap();
        assert_eq!(stretches.iter().map(|stretch| stretch.to - stretch.from).sum::<i64>(), 8);
    }
}
