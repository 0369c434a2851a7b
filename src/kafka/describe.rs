//! What topics are, as the cluster tells: their ids, and how many partitions they have.
//!
//! librdkafka follows a topic that was deleted and made anew, at the old offset, and says nothing (a FIXME in its
//! rdkafka_topic.c); only the id tells. rdkafka 0.39 wraps no call that gives one, so this one is made here.

use crate::model::topic::TopicId;
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::MetadataBroker;
use rdkafka::types::RDKafkaRespErr;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

/// A topic as the cluster knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Its id; `None` where the cluster has none, or has no such topic.
    pub id: Option<TopicId>,
    /// How many partitions it has; 0: there is no such topic.
    pub partitions: i32,
}

/// What the cluster says of `topics`, by name. Blocks, `within` at most.
///
/// # Errors
/// The cluster did not answer.
pub(crate) fn describe<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    within: Duration,
) -> KafkaResult<BTreeMap<String, Described>> {
    // The call refuses a name that comes twice; a name with a zero byte is none of Kafka's.
    let names = topics.iter().filter_map(|topic| CString::new(*topic).ok());
    let names = names.map(|name| (name, ())).collect::<BTreeMap<_, _>>().into_keys().collect::<Vec<_>>();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Any broker knows. Left alone the call waits for the controller, whom the in-process broker does not name.
    let metadata = client.fetch_metadata(topics.first().copied(), within)?;
    let broker = match metadata.orig_broker_id() {
        known @ 0.. => known,
        // It answered by the address that we had from the configuration.
        _ => metadata.brokers().first().map_or(0, MetadataBroker::id),
    };
    ask(client, (&names, broker), within).map_err(|error| KafkaError::MetadataFetch(error.into()))
}

#[allow(unsafe_code, reason = "calls into librdkafka that rdkafka has no safe form of")]
fn ask<C: ClientContext>(
    client: &Client<C>,
    (names, broker): (&[CString], i32),
    within: Duration,
) -> Result<BTreeMap<String, Described>, RDKafkaRespErr> {
    let mut pointers = names.iter().map(|name| name.as_ptr()).collect::<Vec<_>>();
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client outlives the call. What `_new` and `_of_topic_names` give is ours until its `_destroy`, and is
    // not used after; the names are copied by `_of_topic_names`, the collection and the options by the request. The
    // event may be null, which is looked at; what is read from it belongs to it and is copied before it goes.
    unsafe {
        let client = client.native_ptr();
        let queue = native::rd_kafka_queue_new(client);
        let wanted = native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let options =
            native::rd_kafka_AdminOptions_new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        native::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
        native::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
        native::rd_kafka_DescribeTopics(client, wanted, options, queue);
        native::rd_kafka_AdminOptions_destroy(options);
        native::rd_kafka_TopicCollection_destroy(wanted);
        let event = native::rd_kafka_queue_poll(queue, millis);
        let answer = if event.is_null() {
            Err(RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT)
        } else {
            let answer = match native::rd_kafka_event_error(event) {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(read(event)),
                error => Err(error),
            };
            native::rd_kafka_event_destroy(event);
            answer
        };
        native::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// Copies what the event says.
///
/// # Safety
/// `event` is the event of a call of `rd_kafka_DescribeTopics` without an error, and not destroyed.
#[allow(unsafe_code, reason = "reads what librdkafka made")]
unsafe fn read(event: *mut native::rd_kafka_event_t) -> BTreeMap<String, Described> {
    let (mut topics, mut count, mut partitions) = (BTreeMap::new(), 0, 0);
    // SAFETY: what the event holds is an array of `count` valid pointers; names end with a zero byte; id and error of a
    // description are never null.
    unsafe {
        let all = native::rd_kafka_DescribeTopics_result_topics(
            native::rd_kafka_event_DescribeTopics_result(event),
            &raw mut count,
        );
        for number in 0..count {
            let topic = *all.add(number);
            let name = CStr::from_ptr(native::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned();
            let error = native::rd_kafka_error_code(native::rd_kafka_TopicDescription_error(topic));
            let mut described = Described::default();
            if error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                native::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
                let id = native::rd_kafka_TopicDescription_topic_id(topic);
                let high = native::rd_kafka_Uuid_most_significant_bits(id).to_be_bytes();
                let low = native::rd_kafka_Uuid_least_significant_bits(id).to_be_bytes();
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&high);
                bytes[8..].copy_from_slice(&low);
                described.id = TopicId::from_bytes(bytes);
                described.partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            }
            topics.insert(name, described);
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::broker::Broker;
    use crate::kafka::properties::{self, Reset};
    use crate::kafka::settings::KafkaSettings;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    #[test]
    fn topics_have_ids_and_partitions_and_what_is_not_there_has_none() {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 3).unwrap();
        broker.topic("shop.other", 1).unwrap();
        let settings = KafkaSettings { brokers: broker.servers().into(), ..KafkaSettings::default() };
        let consumer: BaseConsumer = properties::consumer(&settings, Reset::Error).create().unwrap();
        let ask = |topics: &[&str]| describe(consumer.client(), topics, Duration::from_secs(10));
        let found = ask(&["shop.orders", "shop.other", "shop.orders"]).unwrap();
        let (orders, other) = (found["shop.orders"], found["shop.other"]);
        assert_eq!((found.len(), orders.partitions, other.partitions), (2, 3, 1));
        assert!(orders.id.is_some() && orders.id != other.id, "{found:?}");
        assert!(ask(&[]).unwrap().is_empty());
        broker.down().unwrap();
        assert!(describe(consumer.client(), &["shop.orders"], Duration::from_millis(300)).is_err());
    }
}
