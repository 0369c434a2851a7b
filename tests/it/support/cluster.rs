//! What operators, retention and accidents do to a cluster: topics deleted and made anew, partitions added, records
//! removed, commits moved and lost, transactions.

use super::{broker::Sample, wait};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{future::Future, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster, as an operator sees it.
pub(crate) struct Cluster {
    address: String,
    admin: AdminClient<DefaultClientContext>,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster at this address.
    pub(crate) fn at(address: String) -> Self {
        let admin = ClientConfig::new().set("bootstrap.servers", &address).create().unwrap();
        Self { address, admin }
    }

    /// Deletes a topic; returns when a topic of that name can be made.
    pub(crate) fn delete(&self, topic: &str) {
        let gone = now(self.admin.delete_topics(&[topic], &AdminOptions::new())).unwrap();
        assert!(gone.iter().all(Result::is_ok), "{gone:?}");
    }

    /// Makes a topic, with configuration; one that is about to go is waited for.
    pub(crate) fn make(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        wait::until_so("a topic to be made", PATIENCE, || {
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
            let new = config.iter().fold(new, |new, (key, value)| new.set(key, value));
            match now(self.admin.create_topics(&[new], &AdminOptions::new())).unwrap().remove(0) {
                Ok(_) => true,
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => false,
                Err(error) => panic!("{error:?}"),
            }
        });
        wait::until_so("leaders", PATIENCE, || {
            let seen = self.admin.inner().fetch_metadata(Some(topic), PATIENCE);
            let found = seen.ok().and_then(|seen| Some(seen.topics().first()?.partitions().len()));
            found == usize::try_from(partitions).ok()
        });
    }

    /// Deletes a topic and makes it anew, at once.
    pub(crate) fn make_anew(&self, topic: &str, partitions: i32) {
        self.delete(topic);
        self.make(topic, partitions, &[]);
    }

    /// Gives a topic so many partitions in all.
    pub(crate) fn grow(&self, topic: &str, partitions: usize) {
        let new = [NewPartitions::new(topic, partitions)];
        let grown = now(self.admin.create_partitions(&new, &AdminOptions::new())).unwrap();
        assert!(grown.iter().all(Result::is_ok), "{grown:?}");
    }

    /// Removes the records before `offset`, as retention does.
    pub(crate) fn remove_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        now(self.admin.delete_records(&list, &AdminOptions::new())).unwrap();
    }

    /// Moves the commits of a group in partition 0 of `topic`, and keeps what stands beside them. Returns when the group's
    /// last member has been forgotten and the brokers have taken it.
    pub(crate) fn move_commit(&self, group: &str, topic: &str, offset: i64) {
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &self.address).set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        let beside = committed.elements()[0].metadata().to_owned();
        let mut moved = TopicPartitionList::new();
        let mut element = moved.add_partition(topic, 0);
        element.set_offset(Offset::Offset(offset)).unwrap();
        element.set_metadata(beside);
        wait::until_so("the group to be empty", PATIENCE, || consumer.commit(&moved, CommitMode::Sync).is_ok());
    }

    /// Forgets a group with all its commits, once its last member has been forgotten.
    pub(crate) fn forget_group(&self, group: &str) {
        wait::until_so("the group to be empty", PATIENCE, || {
            now(self.admin.delete_groups(&[group], &AdminOptions::new())).unwrap().iter().all(Result::is_ok)
        });
    }

    /// How many records partition 0 of `topic` holds, as a reader finds them.
    pub(crate) fn count(&self, topic: &str) -> usize {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("group.id", "count").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut count = 0;
        loop {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => count += usize::from(message.offset() >= 0),
                Some(Err(KafkaError::PartitionEOF(_))) => return count,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Committed,
    RolledBack,
}

/// Produces one transaction after the other.
pub(crate) fn in_transactions(address: &str, topic: &str, transactions: Vec<(Vec<Sample>, End)>) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("transactional.id", format!("tx.{topic}"));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for (samples, end) in transactions {
        producer.begin_transaction().unwrap();
        for sample in &samples {
            let record = BaseRecord::to(topic).partition(sample.partition).key(&sample.key).payload(&sample.value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        match end {
            End::Committed => producer.commit_transaction(PATIENCE).unwrap(),
            End::RolledBack => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
