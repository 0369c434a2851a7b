//! A commit that does not wait, and whose outcome is told.
//!
//! librdkafka tells what came of a commit to the queue it was given. rdkafka's own commit without waiting gives none,
//! so `commit_callback` is never called for it; this one gives the queue that the consumer polls.

use rdkafka::TopicPartitionList;
use rdkafka::bindings::{rd_kafka_commit_queue, rd_kafka_queue_destroy, rd_kafka_queue_get_consumer};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{IsError, KafkaError, KafkaResult, RDKafkaErrorCode};
use std::ptr;

/// Commits these offsets; a later poll calls the context's `commit_callback`.
///
/// # Errors
/// It was not taken: nothing will be told.
#[allow(unsafe_code, reason = "rdkafka has no safe form of these calls into librdkafka")]
pub(crate) fn send<C: ConsumerContext>(consumer: &BaseConsumer<C>, offsets: &TopicPartitionList) -> KafkaResult<()> {
    // SAFETY: client and list live for these calls, and the list is copied. The queue is a reference of our own, given
    // back after use; the reply holds one of its own. Without a callback the outcome becomes an event of that queue.
    let error = unsafe {
        let client = consumer.client().native_ptr();
        let queue = rd_kafka_queue_get_consumer(client);
        if queue.is_null() {
            return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownGroup));
        }
        let error = rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut());
        rd_kafka_queue_destroy(queue);
        error
    };
    if error.is_error() { Err(KafkaError::ConsumerCommit(error.into())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::broker::Broker;
    use crate::kafka::properties::{self, Reset};
    use crate::kafka::settings::KafkaSettings;
    use rdkafka::Offset;
    use rdkafka::client::ClientContext;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    #[derive(Default)]
    struct Told(AtomicU64);

    impl ClientContext for Told {}

    impl ConsumerContext for Told {
        fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
            result.unwrap();
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_outcome_of_each_commit_is_told_by_a_poll() {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 1).unwrap();
        let settings =
            KafkaSettings { brokers: broker.servers().into(), group: "g".into(), ..KafkaSettings::default() };
        let consumer: BaseConsumer<Told> =
            properties::consumer(&settings, Reset::Earliest).create_with_context(Told::default()).unwrap();
        consumer.subscribe(&["shop.orders"]).unwrap();
        let begun = Instant::now();
        let poll = |done: &dyn Fn() -> bool| {
            while !done() {
                assert!(begun.elapsed() < Duration::from_secs(30));
                drop(consumer.poll(Duration::from_millis(20)));
            }
        };
        poll(&|| consumer.assignment().unwrap().count() == 1);
        for number in 1..=3 {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset("shop.orders", 0, Offset::Offset(number)).unwrap();
            send(&consumer, &list).unwrap();
            poll(&|| consumer.context().0.load(Ordering::SeqCst) == u64::try_from(number).unwrap());
            let committed = consumer.committed(Duration::from_secs(10)).unwrap();
            assert_eq!(committed.find_partition("shop.orders", 0).unwrap().offset(), Offset::Offset(number));
        }
    }
}
