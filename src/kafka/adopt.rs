//! Commits the offsets of a group again, with other metadata: from now on they are another owner's.
//!
//! The brokers take a commit from outside of a group only while it has no member. A member that was killed counts
//! until its session expires, so this asks again for as long as that may take.

use crate::kafka::offsets::{PATIENCE, metadata};
use crate::kafka::properties::{self, Reset};
use crate::kafka::settings::KafkaSettings;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::thread;
use std::time::{Duration, Instant};
use tracing::info;

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// The offsets of the group were not committed again.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The cluster did not answer, or refused.
    #[error("{0}")]
    Client(#[from] KafkaError),
    /// Somebody is in the group.
    #[error(
        "the group still has members: stop every daemon of it (one that was killed counts until its session expires)"
    )]
    InUse,
}

/// The group's commits.
pub struct Commits {
    consumer: BaseConsumer,
}

// === impl Commits ===

impl Commits {
    /// The commits of the group that the settings name.
    ///
    /// # Errors
    /// The first property that librdkafka refuses.
    pub fn new(settings: &KafkaSettings) -> Result<Self, AdoptError> {
        let mut config = properties::consumer(settings, Reset::Error);
        config.remove("group.instance.id");
        Ok(Self { consumer: config.create()? })
    }

    /// The names of all topics of the cluster.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub fn topics(&self) -> Result<Vec<String>, AdoptError> {
        let metadata = self.consumer.fetch_metadata(None, PATIENCE)?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
    }

    /// Commits what is committed in `topics` once more, with what `rewrite` makes of its metadata. Waits for the group
    /// to be empty, `at_most` so long. Gives how many partitions have a commit.
    ///
    /// # Errors
    /// The cluster did not answer, or the group is not empty.
    pub fn rewrite(
        &self,
        topics: &[&str],
        rewrite: impl Fn(&str) -> String,
        at_most: Duration,
    ) -> Result<usize, AdoptError> {
        let mut all = TopicPartitionList::new();
        for topic in topics {
            let metadata = self.consumer.fetch_metadata(Some(topic), PATIENCE)?;
            for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
                all.add_partition(topic, partition.id());
            }
        }
        let committed = self.consumer.committed_offsets(all, PATIENCE)?;
        let mut again = TopicPartitionList::new();
        for element in &committed.elements() {
            if let Offset::Offset(_) = element.offset() {
                let mut new = again.add_partition(element.topic(), element.partition());
                new.set_offset(element.offset())?;
                new.set_metadata(rewrite(&metadata(element)));
            }
        }
        self.commit(&again, at_most)?;
        Ok(again.count())
    }

    fn commit(&self, list: &TopicPartitionList, at_most: Duration) -> Result<(), AdoptError> {
        let until = Instant::now() + at_most;
        while list.count() > 0 {
            let refused = match self.consumer.commit(list, CommitMode::Sync) {
                Ok(()) => break,
                Err(error) => error,
            };
            let members = matches!(
                refused.rdkafka_error_code(),
                Some(
                    RDKafkaErrorCode::UnknownMemberId
                        | RDKafkaErrorCode::IllegalGeneration
                        | RDKafkaErrorCode::RebalanceInProgress
                )
            );
            if !members {
                return Err(refused.into());
            }
            if Instant::now() >= until {
                return Err(AdoptError::InUse);
            }
            info!("the group still has members; waiting for it to be empty");
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}
