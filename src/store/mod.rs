//! Everything durable: opens the store, takes changes, reads rows. Callers see model types only.
//!
//! Changes go through one writer (`flush`): a batch is applied, flushed and synced before its callback runs, and
//! however many wait cost one sync a tick. Reads go to the database at once and see what was applied, durable or
//! not. Every call but [`Store::submit`] may block: make it off the async threads, or use the async ones.

mod archive;
pub mod audit;
pub mod batch;
pub mod engine;
pub mod error;
mod flush;
mod identity;
mod key;
pub mod known;
mod lock;
mod outages;
mod outbox;
mod quarantine;
mod reader;
mod replays;
mod row;
mod seal;
pub mod settings;
mod sled_engine;
pub mod space;
mod subscriptions;
mod swap;
mod topics;
pub mod upkeep;

use crate::model::cursor::{CursorKey, CursorRow};
use crate::model::dead_letter::{DeadLetter, DeadRange};
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::IntegrationEvent;
use crate::model::id::Sid;
use crate::model::operational::Operational;
use crate::model::quarantine::{Filter, Owed, Quarantined};
use crate::model::record::{Origin, TopicPartition};
use crate::model::replay::Replay;
use crate::model::subscription::Subscription;
use crate::model::time::Timestamp;
use crate::model::weight::Weight;
use crate::store::batch::Batch;
use crate::store::engine::Engine;
use crate::store::error::StoreError;
use crate::store::flush::{Done, Queue, Writer};
use crate::store::known::Known;
use crate::store::reader::Reader;
use crate::store::seal::Seal;
use crate::store::settings::StoreSettings;
use crate::store::sled_engine::SledEngine;
use crate::store::space::{Disk, Floors, Meter, Space};
use crate::store::topics::Topics;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The store; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    reader: Reader,
    queue: Arc<Queue>,
    floors: Arc<Floors>,
    seal: Seal,
    id: [u8; 16],
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Told how long each flush took.
pub type Flushed = Box<dyn Fn(Duration) + Send>;

// === impl Store ===

impl Store {
    /// Opens the store in the directory of `settings`, or makes it. Blocks. `flushed` is told how long each flush took.
    ///
    /// # Errors
    /// The directory is in use, cannot be used, or is damaged; an encryption key is not usable.
    pub fn open(settings: &StoreSettings, flushed: Flushed) -> Result<Self, StoreError> {
        let seal = Seal::new(&settings.encryption_keys)?;
        let engine = SledEngine::open(settings)?;
        let meter = space::disk(settings.path.clone());
        identity::confirm(&settings.path, &identity::of(&engine)?)?;
        Self::with(engine, seal, Floors::new(meter, settings.min_free), flushed)
    }

    /// As [`Store::open`], over another engine and disk: for tests of what stands on the store.
    ///
    /// # Errors
    /// The engine cannot read or write.
    pub fn over<E: Engine>(engine: E, free: Meter, min_free: u64) -> Result<Self, StoreError> {
        Self::with(engine, Seal::new(&[])?, Floors::new(free, min_free), Box::new(|_| {}))
    }

    fn with<E: Engine>(engine: E, seal: Seal, floors: Floors, flushed: Flushed) -> Result<Self, StoreError> {
        let id = identity::of(&engine)?;
        let (engine, queue, floors) = (Arc::new(engine), Arc::new(Queue::new()), Arc::new(floors));
        let topics = Topics::load(&*engine)?;
        let writer = Writer {
            engine: Arc::clone(&engine),
            queue: Arc::clone(&queue),
            floors: Arc::clone(&floors),
            topics: topics.clone(),
            flushed,
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || writer.run());
        let writer = Mutex::new(Some(thread.map_err(|error| StoreError::Sync(Arc::new(error)))?));
        let reader = Reader { engine, topics };
        Ok(Self(Arc::new(Inner { reader, queue, floors, seal, id, writer })))
    }

    /// Who this store is: 16 random bytes, made once.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.0.id
    }

    /// Hands a batch to the writer. Never blocks. `done` runs on the writer's thread once the batch is durable, or
    /// with the error that keeps it from being so for good.
    pub fn submit(&self, batch: Batch, done: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        self.0.queue.submit(batch, Box::new(done) as Done);
    }

    /// Makes a batch durable.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn durable(&self, batch: Batch) -> Result<(), StoreError> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.submit(batch, move |result| drop(done.send(result)));
        wait.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Waits until all that was handed over is durable. Blocks.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.0.queue.durable(Batch::new())
    }

    /// What it knows of Kafka's topics and of the group's commits.
    #[must_use]
    pub fn known(&self) -> Known<'_> {
        Known { reader: &self.0.reader, queue: &self.0.queue }
    }

    /// Writes what waits, then takes nothing more. Blocks.
    ///
    /// # Errors
    /// The store failed before.
    pub fn close(&self) -> Result<(), StoreError> {
        self.0.queue.close();
        if let Some(writer) = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(writer.join());
        }
        self.health().map_or(Ok(()), Err)
    }

    /// The failure that ended the store; `None` while it works.
    #[must_use]
    pub fn health(&self) -> Option<StoreError> {
        self.0.queue.failure()
    }

    /// What the free space of its disk allows.
    #[must_use]
    pub fn space(&self) -> Space {
        self.0.floors.space()
    }

    /// Its disk.
    #[must_use]
    pub fn disk(&self) -> Disk<'_> {
        Disk { floors: &self.0.floors, engine: &*self.0.reader.engine }
    }

    /// All ledger rows, without their events. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn ledger_heads(&self) -> Result<Vec<(LedgerKey, LedgerHead)>, StoreError> {
        self.0.reader.ledger_heads(None)
    }

    /// The ledger rows of one partition, without their events. Blocks. Sees what was applied: to see all that was
    /// handed over, make an empty batch durable first.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn ledger_heads_of(&self, at: &TopicPartition) -> Result<Vec<(LedgerKey, LedgerHead)>, StoreError> {
        self.0.reader.ledger_heads(Some(at))
    }

    /// All cursors. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn cursors(&self) -> Result<Vec<(CursorKey, CursorRow)>, StoreError> {
        self.0.reader.cursors(None)
    }

    /// The cursors on one partition. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn cursors_of(&self, at: &TopicPartition) -> Result<Vec<(CursorKey, CursorRow)>, StoreError> {
        self.0.reader.cursors(Some(at))
    }

    /// The ranges that retention took from `sid`. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn lost(&self, sid: Sid) -> Result<Vec<DeadRange>, StoreError> {
        self.0.reader.lost(sid)
    }

    /// The event of a ledger row; `None` when there is no such row. Blocks.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn ledger_event(&self, at: &LedgerKey) -> Result<Option<IntegrationEvent>, StoreError> {
        self.0.reader.ledger_event(at)
    }

    /// Dead letters of `sid`, or all, after the one with the id `after`; at most `limit`, with their ids. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn dead_letters(
        &self,
        sid: Option<Sid>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, DeadLetter)>, StoreError> {
        self.0.reader.dead_letters(sid, after, limit)
    }

    /// One dead letter by its id. Blocks.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.0.reader.dead_letter(id)
    }

    /// The ids of quarantined records that fit, after the one with the id `after`; at most `limit`. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn quarantine_ids(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.0.reader.quarantine_ids(filter, after, limit)
    }

    /// One quarantined record by its id. Blocks.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>, StoreError> {
        self.0.reader.quarantined_one(id)
    }

    /// Whom the quarantine row of this record and mapping is owed to, and what it weighs; `None` when there is none.
    /// Blocks. Sees what was applied.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn quarantine_head(&self, origin: &Origin, mapping: &str) -> Result<Option<(Owed, Weight)>, StoreError> {
        self.0.reader.quarantine_head(origin, mapping)
    }

    /// What all quarantined records weigh. Blocks: walks over their heads.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn quarantine_weight(&self) -> Result<Weight, StoreError> {
        self.0.reader.quarantine_weight()
    }

    /// What the dead letters of each subscription weigh. Blocks: walks over their heads.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn dead_weights(&self) -> Result<HashMap<Sid, Weight>, StoreError> {
        self.0.reader.dead_weights()
    }

    /// Whose endpoint fails, and since when. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn outages(&self) -> Result<Vec<(Sid, Timestamp)>, StoreError> {
        outages::all(&*self.0.reader.engine)
    }

    /// Operational events that are not owed to anybody yet, the first first. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn outbox(&self) -> Result<Vec<Operational>, StoreError> {
        outbox::all(&*self.0.reader.engine)
    }

    /// All subscriptions. Blocks.
    ///
    /// # Errors
    /// A row cannot be read, or its secrets cannot be opened.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, StoreError> {
        subscriptions::all(&*self.0.reader.engine, &self.0.seal)
    }

    /// The replays of a subscription, or of all, the oldest of each first. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn replays(&self, of: Option<Sid>) -> Result<Vec<Replay>, StoreError> {
        replays::all(&*self.0.reader.engine, &of.map_or(replays::REPLAY.to_vec(), replays::of))
    }

    /// Writes a subscription with its secrets, and the cursors it begins with.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn put_subscription(
        &self,
        subscription: &Subscription,
        cursors: &[(TopicPartition, CursorRow)],
    ) -> Result<(), StoreError> {
        self.amend_subscriptions(std::iter::once((subscription, cursors)), &[], &[]).await
    }

    /// Writes all of these as [`Store::put_subscription`] does, and removes those of `gone`, in one batch with
    /// the operational events that tell of it. A kill may leave the events alone, never the changes.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn amend_subscriptions<'s>(
        &self,
        put: impl Iterator<Item = (&'s Subscription, &'s [(TopicPartition, CursorRow)])>,
        gone: &[Sid],
        events: &[Operational],
    ) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        events.iter().for_each(|event| batch.operational(event));
        put.for_each(|(subscription, cursors)| subscriptions::put(&mut batch, (subscription, cursors), &self.0.seal));
        gone.iter().for_each(|sid| subscriptions::delete(&mut batch, *sid));
        self.durable(batch).await
    }

    /// Removes a subscription and its secrets; [`Store::purge`] removes its rows.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn delete_subscription(&self, sid: Sid) -> Result<(), StoreError> {
        self.amend_subscriptions(std::iter::empty(), &[sid], &[]).await
    }

    /// Removes the ledger rows, cursors and dead letters of a subscription that is gone. Blocks while it looks for them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn purge(&self, sid: Sid) -> Result<(), StoreError> {
        let rows = self.0.reader.purge(|other| other == sid)?;
        self.submit(rows, |_| {});
        Ok(())
    }

    /// Removes the rows of subscriptions that are not among `known`: what a delete left that was cut off. Blocks. For
    /// the start, before subscriptions can be made.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn purge_unknown(&self, known: &HashSet<Sid>) -> Result<(), StoreError> {
        let rows = self.0.reader.purge(|sid| !known.contains(&sid))?;
        self.submit(rows, |_| {});
        Ok(())
    }
}

// === impl Inner ===

impl Drop for Inner {
    /// The writer ends with the last handle, and lets go of the directory.
    fn drop(&mut self) {
        self.queue.close();
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
pub(crate) mod memory;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cursor::{BehindReason, CursorMode};
    use crate::model::dead_letter::DeadReason;
    use crate::model::id::EventId;
    use crate::model::operational::Happening;
    use crate::model::outcome::{Answer, Outcome, RetryAfter};
    use crate::model::quarantine::{Fault, FaultReason, Owed};
    use crate::model::record::{Header, Record};
    use crate::model::secret::{Secret, SigningSecret};
    use crate::model::subscription::{
        Auth, Batching, Format, OnBlocked, Ordering, Retry, Signing, Start, State, Status, Tenant,
    };
    use crate::model::trace::Parent;
    use crate::store::memory::{Event, Flushes, Memory};
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::atomic::{AtomicU64, Ordering as Atomic};
    use std::sync::mpsc::{self, Receiver};

    const SID: u128 = 7;

    pub(crate) fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    pub(crate) fn event(topic: &str, offset: i64, bytes: usize) -> IntegrationEvent {
        let origin = Origin { topic: topic.into(), partition: 3, offset, timestamp: at(1_000) };
        let data = format!(r#"{{"n":12345678901234567890.10,"text":"{}"}}"#, "ä".repeat(bytes / 2));
        IntegrationEvent {
            id: EventId::derive(&origin, "order-placed", 0),
            origin,
            mapping: "order-placed".into(),
            ord: 2,
            source: "urn:shop".into(),
            event_type: "com.acme.order.placed.v1".into(),
            subject: Some("o-1".into()),
            time: at(2_000),
            tenant: Some("m-1".into()),
            key: Some("o-1".into()),
            traceparent: Parent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None).map(Arc::new),
            extensions: vec![("region".into(), "eu".into()), ("priority".into(), 5.into())],
            data: serde_json::from_str(&data).unwrap(),
        }
    }

    pub(crate) fn operational() -> Operational {
        let detail = [("reason".to_owned(), "410".into())].into_iter().collect();
        Operational { number: 6, about: sid(), at: at(8), what: Happening::Disabled, detail }
    }

    pub(crate) fn sid() -> Sid {
        Sid::new(1, SID)
    }

    fn refused() -> Outcome {
        let head = bytes::Bytes::from_static(b"out \xff of order");
        Outcome::Answered(Answer { status: 500, retry_after: RetryAfter::Absent, head })
    }

    pub(crate) fn head(body_len: u32) -> LedgerHead {
        let ordering_key = Some("o-1".to_owned());
        LedgerHead { attempts: 3, first: at(10), due: at(20), last: Some(refused()), ordering_key, body_len }
    }

    pub(crate) fn letter(event: IntegrationEvent) -> DeadLetter {
        DeadLetter { sid: sid(), died: at(99), reason: DeadReason::Refused, attempts: 1, last: Some(refused()), event }
    }

    pub(crate) fn quarantined(topic: &str, offset: i64, bytes: usize) -> Quarantined {
        let origin = Origin { topic: topic.into(), partition: 0, offset, timestamp: at(5) };
        let headers = vec![
            Header { name: "trace".into(), value: Some(vec![0xff, 0].into()) },
            Header { name: "trace".into(), value: None },
        ];
        let record = Record { origin, key: None, headers, value: Some(vec![0x80; bytes].into()) };
        let fault = Fault {
            reason: FaultReason::Map,
            mapping: Some("order-placed".into()),
            field: Some("emit.data.total".into()),
            expression: Some("payload.total".into()),
            detail: "no such key".into(),
        };
        Quarantined { record, at: at(6), fault, owed: Owed::default() }
    }

    /// All quarantined records with their ids.
    pub(crate) fn kept(store: &Store) -> Vec<(String, Quarantined)> {
        let ids = store.quarantine_ids(&Filter::default(), None, 1_000).unwrap().into_iter();
        ids.map(|id| (id.clone(), store.quarantined_one(&id).unwrap().unwrap())).collect()
    }

    pub(crate) fn subscription() -> Subscription {
        let secret = |text: &str, expires| SigningSecret { text: Secret::new(text), created: at(1), expires };
        Subscription {
            sid: sid(),
            id: "sub_1".into(),
            tenant: Tenant::One("m-1".into()),
            name: Some("Billing".into()),
            description: None,
            metadata: [("team".to_owned(), "billing".to_owned())].into(),
            url: "https://example.com/hooks".parse().unwrap(),
            types: vec!["com.acme.**".into()],
            filter: Some("event.data.total > 100".into()),
            filters: Some(serde_json::json!([{"exact": {"subject": "o-1"}}])),
            format: Format::Raw,
            transform: Some(serde_json::json!({"a": "${event.id}", "b": null})),
            headers: vec![("x-source".into(), "acme".into())],
            auth: Some(Auth::Basic { username: "u".into(), password: Secret::new("p4ss") }),
            signing: Signing::Standard,
            secrets: vec![secret("whsec_new", None), secret("whsec_old", Some(at(9)))],
            timeout: Some(Duration::from_millis(1_500)),
            concurrency: Some(4),
            ordering: Ordering::Key,
            on_blocked: Some(OnBlocked::DeadLetter),
            rate: Some(7),
            batch: Some(Batching { max_events: 9, max_bytes: 8, max_wait: Duration::from_millis(7) }),
            start: Start::At(at(7)),
            verification: None,
            retry: Some(Retry {
                schedule: vec![Duration::from_secs(5)],
                max_age: Duration::from_secs(60),
                jitter: 0.25,
            }),
            status: Status { state: State::Disabled, reason: Some("410".into()), since: at(3) },
            declared: true,
            version: 4,
            created: at(1),
            updated: at(2),
        }
    }

    pub(crate) fn open(path: &Path) -> Result<Store, StoreError> {
        let path = path.to_path_buf();
        let settings = StoreSettings { path, cache: 1 << 20, min_free: 0, ..StoreSettings::default() };
        Store::open(&settings, Box::new(|_| {}))
    }

    pub(crate) fn over(engine: &Memory) -> Store {
        Store::over(engine.clone(), Box::new(|| Ok(u64::MAX)), 1).unwrap()
    }

    pub(crate) type Results = Receiver<Result<(), StoreError>>;

    pub(crate) fn submit(store: &Store, batch: Batch) -> Results {
        let (done, results) = mpsc::channel();
        store.submit(batch, move |result| done.send(result).unwrap());
        results
    }

    pub(crate) fn park(offset: i64, bytes: usize) -> (LedgerKey, LedgerHead, Batch) {
        let (mut batch, event) = (Batch::new(), event("shop.orders", offset, bytes));
        let key = LedgerKey::of(&event, sid());
        let body_len = batch.park(&key, &head(0), &event);
        (key, head(body_len), batch)
    }

    #[tokio::test]
    async fn what_was_written_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).unwrap();
        let id = store.id();
        let (key, head, batch) = park(1, 100);
        store.durable(batch).await.unwrap();
        let (dead, row) = (letter(event("shop.returns", 2, 100)), quarantined("shop.orders", 3, 100));
        let mut batch = Batch::new();
        batch.dead_letter(&dead);
        batch.quarantine(&row);
        store.durable(batch).await.unwrap();
        store.put_subscription(&subscription(), &[]).await.unwrap();
        store.close().unwrap();
        drop(store);

        let store = open(folder.path()).unwrap();
        assert_eq!(store.id(), id);
        assert_eq!(store.ledger_heads().unwrap(), [(key.clone(), head.clone())]);
        assert_eq!(store.ledger_event(&key).unwrap().unwrap(), event("shop.orders", 1, 100));
        let [(dead_id, read)] = store.dead_letters(None, None, 10).unwrap().try_into().unwrap();
        assert_eq!((&read, store.dead_letter(&dead_id).unwrap().as_ref()), (&dead, Some(&dead)));
        let [(row_id, read)] = kept(&store).try_into().unwrap();
        assert_eq!((&read, store.quarantined_one(&row_id).unwrap().as_ref()), (&row, Some(&row)));
        assert_eq!(store.subscriptions().unwrap(), [subscription()]);

        let mut batch = Batch::new();
        batch.unpark(&key, head.body_len);
        store.durable(batch).await.unwrap();
        store.purge(sid()).unwrap();
        store.delete_subscription(sid()).await.unwrap();
        store.close().unwrap();
        drop(store);
        let store = open(folder.path()).unwrap();
        assert!(store.ledger_heads().unwrap().is_empty() && store.subscriptions().unwrap().is_empty());
        assert!(store.dead_letters(None, None, 10).unwrap().is_empty());
        assert_eq!(kept(&store).len(), 1, "a quarantined record belongs to no subscription");
    }

    #[tokio::test]
    async fn cursors_are_found_by_partition_and_go_with_their_subscription() {
        let store = over(&Memory::default());
        let on = |topic: &str, partition| TopicPartition { topic: topic.into(), partition };
        let row = |offset| CursorRow {
            mode: CursorMode::Behind,
            offset,
            near: Some(at(offset)),
            since: at(5),
            reason: BehindReason::Slow,
            to: (offset == 3).then_some(9),
        };
        let key = |at, stream, sid| CursorKey { at, stream, sid };
        let other = Sid::new(9, 9);
        let (first, second) = (key(on("a", 1), 0, sid()), key(on("a", 1), 4, other));
        let (third, elsewhere) = (key(on("a", 2), 0, sid()), key(on("b", 1), 0, sid()));
        let lost = DeadRange { sid: sid(), at: on("a", 1), stream: 0, died: at(8), from: 2, to: 7 };
        let mut batch = Batch::new();
        for (offset, key) in (1..).zip([&first, &third, &second, &elsewhere]) {
            batch.cursor(key, &row(offset));
        }
        batch.lost(&lost);
        store.durable(batch).await.unwrap();
        let of_one = [(first.clone(), row(1)), (second.clone(), row(3))];
        assert_eq!(store.cursors_of(&on("a", 1)).unwrap(), of_one);
        assert!(store.cursors_of(&on("c", 1)).unwrap().is_empty());
        assert_eq!((store.cursors().unwrap().len(), store.lost(sid()).unwrap()), (4, vec![lost]));

        let mut batch = Batch::new();
        batch.drop_cursor(&third);
        store.durable(batch).await.unwrap();
        store.purge(sid()).unwrap();
        store.durable(Batch::new()).await.unwrap();
        assert_eq!(store.cursors().unwrap(), [(second.clone(), row(3))]);
        assert!(store.lost(sid()).unwrap().is_empty());
        store.purge_unknown(&HashSet::from([other])).unwrap();
        store.durable(Batch::new()).await.unwrap();
        assert_eq!(store.cursors().unwrap(), [(second, row(3))], "it is known");
        store.purge_unknown(&HashSet::new()).unwrap();
        store.durable(Batch::new()).await.unwrap();
        assert!(store.cursors().unwrap().is_empty());
    }

    #[test]
    fn a_list_is_read_page_by_page() {
        let (engine, mut batch) = (Memory::default(), Batch::new());
        let store = over(&engine);
        for offset in 0..5 {
            batch.quarantine(&quarantined("shop.orders", offset, 1));
        }
        submit(&store, batch).recv().unwrap().unwrap();
        let (mut after, mut offsets) = (None, Vec::new());
        loop {
            let page = store.quarantine_ids(&Filter::default(), after.as_deref(), 2).unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            let row = |id: &String| store.quarantined_one(id).unwrap().unwrap();
            offsets.extend(page.iter().map(|id| row(id).record.origin.offset));
        }
        assert_eq!(offsets, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_long_body_is_stored_in_chunks_and_comes_back_and_goes_whole() {
        for bytes in [0, batch::CHUNK - 1_000, batch::CHUNK, 3 * batch::CHUNK, 1 << 20] {
            let engine = Memory::default();
            let store = over(&engine);
            let before = engine.rows();
            let (key, head, batch) = park(1, bytes);
            submit(&store, batch).recv().unwrap().unwrap();
            assert!(engine.longest() <= batch::CHUNK, "{bytes}");
            assert_eq!(store.ledger_event(&key).unwrap().unwrap(), event("shop.orders", 1, bytes));
            let mut batch = Batch::new();
            batch.quarantine(&quarantined("shop.orders", 1, bytes));
            batch.unpark(&key, head.body_len);
            submit(&store, batch).recv().unwrap().unwrap();
            assert_eq!(kept(&store)[0].1, quarantined("shop.orders", 1, bytes));
            assert_eq!(store.ledger_event(&key).unwrap(), None);
            let of_quarantine = 1 + engine.rows_of(key::QUARANTINE_BODY);
            assert_eq!(engine.rows(), before + 1 + of_quarantine, "the topic's number and the quarantined record");
        }
    }

    #[test]
    fn a_dead_letter_that_goes_leaves_nothing_behind() {
        let engine = Memory::default();
        let store = over(&engine);
        let letter = letter(event("shop.orders", 1, 1 << 20));
        let mut batch = Batch::new();
        batch.dead_letter(&letter);
        submit(&store, batch).recv().unwrap().unwrap();
        assert!(engine.rows_of(key::DEAD_BODY) > 1);
        let found = store.dead_letters(None, None, 9).unwrap().remove(0).1;
        let mut batch = Batch::new();
        batch.drop_dead_letter(&found);
        submit(&store, batch).recv().unwrap().unwrap();
        assert_eq!((engine.rows_of(key::DEAD_BODY), engine.rows_of(key::DEAD)), (0, 0));
    }

    #[test]
    fn what_a_mapping_nested_deeper_than_a_payload_may_be_comes_back() {
        let store = over(&Memory::default());
        let mut deep = event("shop.orders", 1, 0);
        deep.data = (0..300).fold(serde_json::Value::Null, |inner, _| serde_json::json!({ "in": [inner] }));
        let (mut batch, key) = (Batch::new(), LedgerKey::of(&deep, sid()));
        batch.park(&key, &head(0), &deep);
        submit(&store, batch).recv().unwrap().unwrap();
        assert!(store.ledger_event(&key).unwrap().unwrap() == deep);
    }

    #[test]
    fn inv_3_nobody_is_told_before_the_flush() {
        let engine = Memory::default();
        let store = over(&engine);
        let flushed = engine.flushing();
        engine.flushes(Flushes::Wait);
        // A topic that is new has its number flushed first.
        let told = submit(&store, park(1, 10).2);
        engine.until_flushing(flushed + 1);
        assert!(told.try_recv().is_err());
        engine.flushes(Flushes::Work);
        told.recv().unwrap().unwrap();
        let flushed = engine.flushing();
        engine.flushes(Flushes::Wait);
        let told = submit(&store, park(2, 10).2);
        engine.until_flushing(flushed + 1);
        assert_eq!(store.ledger_heads().unwrap().len(), 2, "applied");
        assert!(told.try_recv().is_err(), "and not durable");
        engine.flushes(Flushes::Work);
        told.recv().unwrap().unwrap();
    }

    #[test]
    fn however_many_wait_one_flush_serves_them() {
        let engine = Memory::default();
        let store = over(&engine);
        submit(&store, park(0, 10).2).recv().unwrap().unwrap();
        let flushed = engine.flushing();
        engine.flushes(Flushes::Wait);
        let first = submit(&store, park(1, 10).2);
        engine.until_flushing(flushed + 1);
        let told: Vec<_> = (2..1_000).map(|offset| submit(&store, park(offset, 10).2)).collect();
        engine.flushes(Flushes::Work);
        first.recv().unwrap().unwrap();
        told.iter().for_each(|told| told.recv().unwrap().unwrap());
        assert_eq!(engine.flushing(), flushed + 2);
        assert_eq!(store.ledger_heads().unwrap().len(), 1_000);
    }

    #[test]
    fn a_failed_flush_is_told_to_all_who_wait_and_for_good() {
        let engine = Memory::default();
        let store = over(&engine);
        let flushed = engine.flushing();
        engine.flushes(Flushes::Wait);
        let first = submit(&store, park(0, 10).2);
        engine.until_flushing(flushed + 1);
        let others: Vec<_> = (1..10).map(|offset| submit(&store, park(offset, 10).2)).collect();
        assert!(store.health().is_none());
        engine.flushes(Flushes::Fail);
        for told in std::iter::once(first).chain(others) {
            assert!(matches!(told.recv().unwrap(), Err(StoreError::Sync(_))));
        }
        engine.flushes(Flushes::Work);
        assert!(matches!(submit(&store, park(10, 10).2).recv().unwrap(), Err(StoreError::Sync(_))));
        assert!(matches!(store.health(), Some(StoreError::Sync(_))));
        assert!(matches!(store.close(), Err(StoreError::Sync(_))));
    }

    #[test]
    fn a_writer_that_breaks_down_leaves_nobody_waiting() {
        let engine = Memory::default();
        let store = over(&engine);
        let flushed = engine.flushing();
        engine.flushes(Flushes::Wait);
        let first = submit(&store, park(0, 10).2);
        engine.until_flushing(flushed + 1);
        let second = submit(&store, park(1, 10).2);
        engine.flushes(Flushes::Panic);
        assert!(first.recv().is_err(), "its callback never ran, so nothing settled");
        assert!(matches!(second.recv().unwrap(), Err(StoreError::Broken)));
        assert!(matches!(store.health(), Some(StoreError::Broken)));
        assert!(matches!(submit(&store, park(2, 10).2).recv().unwrap(), Err(StoreError::Broken)));
    }

    #[test]
    fn a_closed_store_has_written_what_waited_and_takes_nothing_more() {
        let engine = Memory::default();
        let store = over(&engine);
        let told: Vec<_> = (0..100).map(|offset| submit(&store, park(offset, 10).2)).collect();
        store.close().unwrap();
        assert!(told.iter().all(|told| told.try_recv().unwrap().is_ok()));
        assert!(matches!(submit(&store, park(100, 10).2).recv().unwrap(), Err(StoreError::Closed)));
        assert_eq!(over(&engine).ledger_heads().unwrap().len(), 100);
    }

    #[test]
    fn on_a_full_disk_nothing_is_written_until_there_is_room() {
        let (engine, free, asked) = (Memory::default(), Arc::new(AtomicU64::new(99)), Arc::new(AtomicU64::new(0)));
        let meter: Meter = {
            let (free, asked) = (Arc::clone(&free), Arc::clone(&asked));
            Box::new(move || {
                asked.fetch_add(1, Atomic::SeqCst);
                Ok(free.load(Atomic::SeqCst))
            })
        };
        let store = Store::over(engine.clone(), meter, 100).unwrap();
        assert_eq!((store.space(), store.disk().free()), (Space::Hard, 99));
        let (before, asked_before) = (engine.history().len(), asked.load(Atomic::SeqCst));
        let told = submit(&store, park(0, 10).2);
        // The writer itself asks the disk again, and again.
        while asked.load(Atomic::SeqCst) < asked_before + 2 {
            std::thread::yield_now();
        }
        assert_eq!(engine.history().len(), before);
        assert!(told.try_recv().is_err() && store.health().is_none(), "it waits, and nothing failed");
        free.store(100, Atomic::SeqCst);
        told.recv().unwrap().unwrap();
        assert_eq!((store.space(), store.ledger_heads().unwrap().len()), (Space::Soft, 1));
    }

    /// A file system of a few MiB that goes when it is dropped; `None` where the test may not mount one.
    pub(crate) struct SmallDisk(pub(crate) tempfile::TempDir);

    impl SmallDisk {
        pub(crate) fn mount() -> Option<Self> {
            let folder = tempfile::tempdir().unwrap();
            let mounted = Self::run("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs"], folder.path());
            mounted.then_some(Self(folder))
        }

        fn run(command: &str, options: &[&str], folder: &Path) -> bool {
            let ended = std::process::Command::new(command).args(options).arg(folder).output();
            ended.is_ok_and(|ended| ended.status.success())
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            assert!(Self::run("umount", &["-l"], self.0.path()));
        }
    }

    #[test]
    fn a_disk_without_any_room_is_an_error_for_all_and_holds_up_nobody() {
        let Some(disk) = SmallDisk::mount() else {
            return eprintln!("skipped: only root may mount a small disk");
        };
        let path = disk.0.path().join("store");
        let store = open(&path).unwrap();
        let failure = (0..1_000).find_map(|offset| submit(&store, park(offset, 100_000).2).recv().unwrap().err());
        let failure = failure.expect("8 MiB are full some time").to_string();
        assert!(failure.contains("No space left"), "{failure}");
        assert!(submit(&store, park(0, 10).2).recv().unwrap().is_err(), "it stays failed");
        assert!(store.close().is_err());
        drop(store); // and it does not wait for ever for what it cannot write
    }

    #[test]
    fn a_second_opening_of_a_directory_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        let refused = open(folder.path()).err().unwrap();
        assert!(matches!(refused, StoreError::InUse(_)), "{refused}");
        assert!(refused.to_string().contains(folder.path().to_str().unwrap()), "{refused}");
        first.close().unwrap();
        drop(first);
        open(folder.path()).unwrap();
    }

    #[test]
    fn a_database_that_lost_everything_is_not_taken_for_a_new_one() {
        for damage in ["gone", "empty", "zeroes"] {
            let folder = tempfile::tempdir().unwrap();
            let store = open(folder.path()).unwrap();
            submit(&store, park(0, 100_000).2).recv().unwrap().unwrap();
            store.close().unwrap();
            drop(store);
            let data = folder.path().join("db");
            match damage {
                "gone" => std::fs::remove_file(&data).unwrap(),
                "empty" => std::fs::write(&data, b"").unwrap(),
                _ => std::fs::write(&data, vec![0; std::fs::read(&data).unwrap().len()]).unwrap(),
            }
            for _ in 0..2 {
                let refused = open(folder.path()).err().unwrap_or_else(|| panic!("{damage}: opened"));
                assert!(matches!(refused, StoreError::Corrupt { .. }), "{damage}: {refused}");
                let says = refused.to_string();
                assert!(says.contains(folder.path().to_str().unwrap()) && says.contains("backup"), "{says}");
            }
        }
    }

    /// What a batch of the kill test does.
    #[derive(Clone, Debug)]
    enum Step {
        Park(usize),
        Unpark,
        Bury,
        Quarantine(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
        let step = prop_oneof![
            (0..100_000usize).prop_map(Step::Park),
            Just(Step::Unpark),
            Just(Step::Bury),
            (0..100_000usize).prop_map(Step::Quarantine),
        ];
        prop::collection::vec(prop::collection::vec(step, 1..4), 1..8)
    }

    /// Rows as sets of offsets: ledger, dead letters, quarantine.
    type Model = [std::collections::BTreeSet<i64>; 3];

    /// Adds the batch of `steps` to the model and gives it. Offsets are batch * 10 + step.
    fn batch_of(number: usize, steps: &[Step], model: &mut Model) -> Batch {
        let mut batch = Batch::new();
        for (step, offset) in steps.iter().zip((i64::try_from(number).unwrap() * 10)..) {
            let oldest = model[0].first().copied();
            let parked = oldest.map(|offset| (event("shop.orders", offset, 0), offset));
            match (step, parked) {
                (Step::Park(bytes), _) => {
                    let event = event("shop.orders", offset, *bytes);
                    batch.park(&LedgerKey::of(&event, sid()), &head(0), &event);
                    model[0].insert(offset);
                }
                (Step::Quarantine(bytes), _) => {
                    batch.quarantine(&quarantined("shop.orders", offset, *bytes));
                    model[2].insert(offset);
                }
                (Step::Unpark | Step::Bury, None) => {}
                (step, Some((event, parked))) => {
                    // More chunks than it has: deleting what is not there does no harm.
                    batch.unpark(&LedgerKey::of(&event, sid()), 100_200);
                    model[0].remove(&parked);
                    if matches!(step, Step::Bury) {
                        batch.dead_letter(&letter(event));
                        model[1].insert(parked);
                    }
                }
            }
        }
        batch
    }

    fn offsets(store: &Store) -> Model {
        let ledger = store.ledger_heads().unwrap();
        for (key, _) in &ledger {
            assert_eq!(store.ledger_event(key).unwrap().unwrap().id, key.event);
        }
        let dead = store.dead_letters(None, None, 1_000).unwrap();
        let quarantine = kept(store);
        [
            ledger.iter().map(|(key, _)| key.offset).collect(),
            dead.iter().map(|(_, letter)| letter.event.origin.offset).collect(),
            quarantine.iter().map(|(_, row)| row.record.origin.offset).collect(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn inv_3_a_kill_at_any_instant_loses_nothing_that_was_told_durable_and_halves_no_batch(steps in steps()) {
            let engine = Memory::default();
            let store = over(&engine);
            let mut models = vec![Model::default()];
            for (number, steps) in steps.iter().enumerate() {
                let mut model = models.last().unwrap().clone();
                let (batch, telling) = (batch_of(number, steps, &mut model), engine.clone());
                models.push(model);
                store.submit(batch, move |result| {
                    result.unwrap();
                    telling.told();
                });
            }
            store.close().unwrap();
            let history = engine.history();
            for instant in 0..=history.len() {
                let told = history[..instant].iter().filter(|event| matches!(event, Event::Told)).count();
                for left in Memory::after_kill(&history[..instant]) {
                    let found = offsets(&over(&left));
                    prop_assert!(models[told..].contains(&found), "{told} batches were told durable, found {found:?} of {models:?}");
                }
            }
        }
    }
}
