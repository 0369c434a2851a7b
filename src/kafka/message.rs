//! librdkafka's message to a record of ours. Copies key, headers and value once; the topic's name is shared.

use crate::model::record::{Header, Origin, Record};
use crate::model::time::Timestamp;
use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use std::collections::HashMap;
use std::sync::Arc;

/// Topic names, each held once.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, Arc<str>>);

// === impl Names ===

impl Names {
    pub(crate) fn get(&mut self, topic: &str) -> Arc<str> {
        if let Some(name) = self.0.get(topic) {
            return Arc::clone(name);
        }
        let name: Arc<str> = topic.into();
        self.0.insert(topic.into(), Arc::clone(&name));
        name
    }
}

/// Copies a message out of librdkafka's memory.
pub(crate) fn record(message: &BorrowedMessage<'_>, names: &mut Names) -> Record {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|h| Header { name: h.key.to_owned(), value: h.value.map(Bytes::copy_from_slice) })
    });
    Record {
        origin: Origin {
            topic: names.get(message.topic()),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(-1)),
        },
        key: message.key().map(Bytes::copy_from_slice),
        headers: headers.map(Iterator::collect).unwrap_or_default(),
        value: message.payload().map(Bytes::copy_from_slice),
    }
}
