//! What the store knows of Kafka: which topic a name stands for, what the group had committed, where something is owed.

use crate::model::cursor::{CommitCopy, CursorMode};
use crate::model::dead_letter::DeadRange;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::model::topic::TopicId;
use crate::store::batch::Batch;
use crate::store::engine::{Op, Tree};
use crate::store::error::StoreError;
use crate::store::flush::Queue;
use crate::store::key;
use crate::store::reader::Reader;
use crate::store::topics;
use std::sync::Arc;

/// What the store knows of Kafka. Every call but [`Known::topic`] may block.
pub struct Known<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) queue: &'a Queue,
}

// === impl Known ===

impl Known<'_> {
    /// The id of the topic that a name stood for when its first partition began.
    #[must_use]
    pub fn topic(&self, topic: &str) -> Option<TopicId> {
        self.reader.topics.id(topic)
    }

    /// The copy of the group's commit.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn commit(&self, at: &TopicPartition) -> Result<Option<CommitCopy>, StoreError> {
        self.reader.commit(at)
    }

    /// Whether a group has begun in a topic, or in one that had its name before.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn has_begun(&self, group: &str, topic: &str) -> Result<bool, StoreError> {
        self.reader.has_begun(group, topic)
    }

    /// The partitions that the ledger holds rows of, those of topics that were made anew too. Costs a search for each,
    /// however many rows it has.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn owing(&self) -> Result<Vec<TopicPartition>, StoreError> {
        self.reader.owing()
    }

    /// A topic was met, and its partitions have begun.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub fn meet(&self, topic: &Arc<str>, id: TopicId) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.topic(topic, id);
        self.queue.durable(batch)
    }

    /// A topic was made anew. The cursors of the old one become lost ranges, its ledger rows stay, under the name that
    /// this gives. No lane may hold anything of it.
    ///
    /// # Errors
    /// The store failed, is closed, or cannot be read.
    pub fn renew(&self, (topic, id): (&Arc<str>, TopicId), now: Timestamp) -> Result<Arc<str>, StoreError> {
        let old = self.reader.topics.find(topic);
        self.meet(topic, id)?;
        let old = old.map_or_else(|| Arc::clone(topic), |number| topics::retired(topic, number));
        self.queue.durable(self.forsaken(&old, now)?)?;
        Ok(old)
    }

    /// Does what a renewal that was cut off left undone. For the start.
    ///
    /// # Errors
    /// The store failed, is closed, or cannot be read.
    pub fn tidy(&self, now: Timestamp) -> Result<(), StoreError> {
        for name in self.reader.topics.names().into_values().filter(|name| topics::once(name).is_some()) {
            self.queue.durable(self.forsaken(&name, now)?)?;
        }
        Ok(())
    }

    /// What makes lost ranges of the cursors of a retired topic: nobody can come to what is behind them any more. A
    /// range ends where the group had come to, as far as that is known.
    fn forsaken(&self, name: &Arc<str>, now: Timestamp) -> Result<Batch, StoreError> {
        let (mut batch, number) = (Batch::new(), self.reader.topics.find(name));
        let topic: Arc<str> = topics::once(name).unwrap_or(name).into();
        for (key, row) in self.reader.cursors_of_topic(name)? {
            let end = match row.to {
                Some(to) => to,
                None => self.reader.commit(&key.at)?.map_or(row.offset, |copy| copy.offset),
            };
            if row.mode == CursorMode::Behind && row.offset < end {
                let at = TopicPartition { topic: Arc::clone(&topic), partition: key.at.partition };
                let (sid, stream, from) = (key.sid, key.stream, row.offset);
                batch.lost(&DeadRange { sid, at, stream, died: now, from, to: end });
            }
            batch.raw(Tree::State, Op::Delete(key::cursor(&key, number.unwrap_or_default())));
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::cursor::{BehindReason, CommitCopy, CursorKey, CursorMode, CursorRow};
    use crate::model::dead_letter::{DeadLetter, DeadReason};
    use crate::model::delivery::{LedgerHead, LedgerKey};
    use crate::model::event::IntegrationEvent;
    use crate::model::id::{EventId, Sid};
    use crate::model::record::{Origin, TopicPartition};
    use crate::model::time::Timestamp;
    use crate::model::topic::TopicId;
    use crate::store::Store;
    use crate::store::batch::Batch;
    use crate::store::memory::Memory;
    use std::sync::Arc;

    fn store(engine: &Memory) -> Store {
        Store::over(engine.clone(), Box::new(|| Ok(u64::MAX)), 1).unwrap()
    }

    fn topic() -> Arc<str> {
        "shop.orders".into()
    }

    fn at(partition: i32) -> TopicPartition {
        TopicPartition { topic: topic(), partition }
    }

    fn id(byte: u8) -> TopicId {
        TopicId::from_bytes([byte; 16]).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(9)
    }

    fn event(partition: i32, offset: i64) -> IntegrationEvent {
        let origin = Origin { topic: topic(), partition, offset, timestamp: now() };
        IntegrationEvent {
            id: EventId::derive(&origin, "m", 0),
            origin,
            mapping: "m".into(),
            ord: 0,
            source: "s".into(),
            event_type: "t".into(),
            subject: None,
            time: now(),
            tenant: None,
            key: None,
            traceparent: None,
            extensions: Vec::new(),
            data: serde_json::Value::Null,
        }
    }

    fn park(batch: &mut Batch, partition: i32, offset: i64) {
        let event = event(partition, offset);
        let head = LedgerHead { attempts: 1, first: now(), due: now(), last: None, ordering_key: None, body_len: 0 };
        batch.park(&LedgerKey::of(&event, Sid::new(0, 1)), &head, &event);
    }

    fn cursor(batch: &mut Batch, stream: u128, (mode, offset): (CursorMode, i64)) {
        let to = (stream > 0).then_some(50);
        let row = CursorRow { mode, offset, near: None, since: now(), reason: BehindReason::Slow, to };
        batch.cursor(&CursorKey { at: at(0), stream, sid: Sid::new(0, 1) }, &row);
    }

    fn durable(store: &Store, batch: Batch) {
        store.submit(batch, |result| result.unwrap());
        store.settle().unwrap();
    }

    /// A topic that was met, with a ledger row, two cursors that are behind, one that is live, a dead letter and a commit.
    fn owing() -> (Memory, Store) {
        let engine = Memory::default();
        let store = store(&engine);
        store.known().meet(&topic(), id(1)).unwrap();
        let mut batch = Batch::new();
        park(&mut batch, 0, 5);
        cursor(&mut batch, 0, (CursorMode::Behind, 7));
        cursor(&mut batch, 8, (CursorMode::Behind, 40));
        cursor(&mut batch, 9, (CursorMode::Live, 3));
        batch.dead_letter(&letter());
        batch.commit(&at(0), CommitCopy { group: "g".into(), offset: 30, near: Some(now()), taken: now() });
        durable(&store, batch);
        (engine, store)
    }

    fn letter() -> DeadLetter {
        let (sid, died, event) = (Sid::new(0, 1), now(), event(0, 2));
        DeadLetter { sid, died, reason: DeadReason::Refused, attempts: 1, last: None, event }
    }

    fn lost(store: &Store) -> Vec<(String, u128, i64, i64)> {
        let lost = store.lost(Sid::new(0, 1)).unwrap().into_iter();
        let mut lost: Vec<_> = lost.map(|one| (one.at.topic.to_string(), one.stream, one.from, one.to)).collect();
        lost.sort();
        lost
    }

    fn expected() -> Vec<(String, u128, i64, i64)> {
        vec![("shop.orders".into(), 0, 7, 30), ("shop.orders".into(), 8, 40, 50)]
    }

    #[test]
    fn of_a_topic_made_anew_rows_stay_and_cursors_become_lost_ranges() {
        let (engine, store) = owing();
        let old = store.known().renew((&topic(), id(2)), now()).unwrap();
        assert_eq!((&*old, store.known().topic("shop.orders")), ("shop.orders~1", Some(id(2))));
        assert!(store.cursors().unwrap().is_empty() && store.cursors_of(&at(0)).unwrap().is_empty());
        assert_eq!(lost(&store), expected());
        // What the ledger owes can be found, read and settled under the old one's name; the new topic owes nothing.
        assert!(store.ledger_heads_of(&at(0)).unwrap().is_empty());
        let was = TopicPartition { topic: old, partition: 0 };
        assert_eq!(store.known().owing().unwrap(), std::slice::from_ref(&was));
        let (key, head) = store.ledger_heads_of(&was).unwrap().remove(0);
        assert_eq!(store.ledger_event(&key).unwrap().unwrap(), event(0, 5));
        assert_eq!(store.known().commit(&was).unwrap().unwrap().offset, 30);
        assert_eq!(store.known().commit(&at(0)).unwrap(), None);
        let mut batch = Batch::new();
        batch.unpark(&key, head.body_len);
        // The same place in the new topic is another row.
        park(&mut batch, 0, 5);
        batch.commit(&at(0), CommitCopy { group: "g".into(), offset: 1, near: None, taken: now() });
        batch.drop_dead_letter(&letter());
        store.lost(Sid::new(0, 1)).unwrap().iter().for_each(|range| batch.drop_lost(range));
        durable(&store, batch);
        drop(store);
        let store = self::store(&engine);
        assert_eq!(store.known().owing().unwrap(), [at(0)]);
        assert_eq!((store.known().topic("shop.orders"), lost(&store)), (Some(id(2)), Vec::new()));
        assert!(store.dead_letters(None, None, 9).unwrap().is_empty());
        assert_eq!(store.known().commit(&at(0)).unwrap().unwrap().offset, 1);
    }

    #[test]
    fn a_renewal_that_was_cut_off_is_finished_at_the_next_start() {
        let (engine, store) = owing();
        store.known().meet(&topic(), id(2)).unwrap();
        drop(store);
        let store = self::store(&engine);
        assert!(lost(&store).is_empty());
        for _ in 0..2 {
            store.known().tidy(now()).unwrap();
            assert_eq!(lost(&store), expected());
            assert!(store.cursors().unwrap().is_empty());
            assert!(store.known().has_begun("g", "shop.orders").unwrap(), "it is no new group that comes here");
            assert!(!store.known().has_begun("other", "shop.orders").unwrap());
            assert_eq!(store.ledger_heads().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_topic_that_is_met_keeps_the_number_that_its_rows_have() {
        let engine = Memory::default();
        let store = store(&engine);
        let mut batch = Batch::new();
        cursor(&mut batch, 0, (CursorMode::Behind, 7));
        durable(&store, batch);
        assert_eq!(store.known().topic("shop.orders"), None, "a subscription that starts in the past came first");
        store.known().meet(&topic(), id(1)).unwrap();
        store.known().meet(&topic(), id(1)).unwrap();
        assert_eq!(store.cursors_of(&at(0)).unwrap().len(), 1);
    }

    #[test]
    fn the_partitions_that_owe_something_are_found_however_many_rows_they_have() {
        let engine = Memory::default();
        let store = store(&engine);
        assert!(store.known().owing().unwrap().is_empty());
        let mut batch = Batch::new();
        for (partition, offset) in [(0, 1), (0, i64::MAX), (1, 2), (1, 3), (i32::MAX, 4)] {
            park(&mut batch, partition, offset);
        }
        durable(&store, batch);
        assert_eq!(store.known().owing().unwrap(), [at(0), at(1), at(i32::MAX)]);
    }
}
