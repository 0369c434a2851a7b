//! Everything durable: opens the store, takes changes, reads rows. Callers see model types only.
//!
//! Changes go through one writer ([`flush`]): a batch is applied, flushed and synced before its callback runs, and
//! however many wait cost one sync a tick. Reads go to the database at once and see what was applied, durable or
//! not. Every call but [`Store::submit`] may block: make it off the async threads, or use the async ones.

pub mod batch;
pub mod engine;
pub mod error;
mod flush;
mod key;
mod reader;
mod row;
mod seal;
pub mod settings;
mod sled_engine;
pub mod space;
mod subscriptions;
mod topics;

use crate::model::dead_letter::DeadLetter;
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::IntegrationEvent;
use crate::model::id::Sid;
use crate::model::quarantine::Quarantined;
use crate::model::subscription::Subscription;
use crate::runtime::random;
use crate::store::batch::Batch;
use crate::store::engine::{Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::flush::{Done, Queue, Writer};
use crate::store::reader::Reader;
use crate::store::seal::Seal;
use crate::store::settings::StoreSettings;
use crate::store::sled_engine::SledEngine;
use crate::store::space::{Floors, Meter, Space};
use crate::store::topics::Topics;
use std::collections::HashSet;
use std::ops::ControlFlow;
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
        let id = store_id(&engine)?;
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

    /// Free bytes of its disk.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.0.floors.free()
    }

    /// All ledger rows, without their events. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn ledger_heads(&self) -> Result<Vec<(LedgerKey, LedgerHead)>, StoreError> {
        self.0.reader.ledger_heads()
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

    /// Quarantined records after the one with the id `after`; at most `limit`, with their ids. Blocks.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn quarantined(&self, after: Option<&str>, limit: usize) -> Result<Vec<(String, Quarantined)>, StoreError> {
        self.0.reader.quarantined(after, limit)
    }

    /// One quarantined record by its id. Blocks.
    ///
    /// # Errors
    /// The row cannot be read.
    pub fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>, StoreError> {
        self.0.reader.quarantined_one(id)
    }

    /// All subscriptions. Blocks.
    ///
    /// # Errors
    /// A row cannot be read, or its secrets cannot be opened.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, StoreError> {
        let mut all = Vec::new();
        let engine = &*self.0.reader.engine;
        engine::each_row(engine, (Tree::Config, subscriptions::SUBSCRIPTION), &[], |key, value| {
            let secret_key = subscriptions::sid_of(key).map(subscriptions::secret_key).unwrap_or_default();
            let secrets = engine.get(Tree::Config, &secret_key)?.unwrap_or_default();
            all.push(subscriptions::read(key, value, &secrets, &self.0.seal)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// Writes a subscription with its secrets.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        let (row, secrets) = subscriptions::write(subscription, &self.0.seal);
        let mut batch = Batch::new();
        batch.raw(Tree::Config, Op::Put(subscriptions::subscription_key(subscription.sid), row));
        batch.raw(Tree::Config, Op::Put(subscriptions::secret_key(subscription.sid), secrets));
        self.durable(batch).await
    }

    /// Removes a subscription and its secrets; [`Store::purge`] removes its rows.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn delete_subscription(&self, sid: Sid) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.raw(Tree::Config, Op::Delete(subscriptions::subscription_key(sid)));
        batch.raw(Tree::Config, Op::Delete(subscriptions::secret_key(sid)));
        self.durable(batch).await
    }

    /// The sid of the declared subscription `id`; made, durably, when it has none.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn declared_sid(&self, id: &str) -> Result<Sid, StoreError> {
        let (key, inner) = (subscriptions::declared_key(id), Arc::clone(&self.0));
        let asked = key.clone();
        let found = tokio::task::spawn_blocking(move || inner.reader.engine.get(Tree::Config, &asked)).await;
        if let Some(value) = found.map_err(|_| StoreError::Closed)?? {
            let bytes = value.get(1..).and_then(|bytes| bytes.try_into().ok());
            return bytes.map(Sid::from_bytes).ok_or_else(|| StoreError::row(&key, "it is no id"));
        }
        let sid = random::sid();
        let mut batch = Batch::new();
        batch.raw(Tree::Config, Op::Put(key, [&[row::VERSION][..], &sid.to_bytes()].concat()));
        self.durable(batch).await?;
        Ok(sid)
    }

    /// Forgets the sid of a declared subscription that is declared no more.
    ///
    /// # Errors
    /// The store failed or is closed.
    pub async fn forget_declared(&self, id: &str) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.raw(Tree::Config, Op::Delete(subscriptions::declared_key(id)));
        self.durable(batch).await
    }

    /// Removes the ledger rows and dead letters of a subscription that is gone. Blocks while it looks for them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn purge(&self, sid: Sid) -> Result<(), StoreError> {
        let rows = self.0.reader.purge(|other| other == sid)?;
        self.submit(rows, |_| {});
        Ok(())
    }

    /// Removes the rows of subscriptions that are not there any more: a delete that was cut off. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn purge_unknown(&self) -> Result<(), StoreError> {
        let known: HashSet<Sid> = self.subscriptions()?.into_iter().map(|subscription| subscription.sid).collect();
        let rows = self.0.reader.purge(|sid| !known.contains(&sid))?;
        self.submit(rows, |_| {});
        Ok(())
    }
}

fn store_id(engine: &impl Engine) -> Result<[u8; 16], StoreError> {
    const KEY: &[u8] = b"store_id";
    if let Some(value) = engine.get(Tree::Meta, KEY)? {
        let id = value.get(1..).and_then(|bytes| bytes.try_into().ok());
        return id.ok_or_else(|| StoreError::row(KEY, "it is no id"));
    }
    let id: [u8; 16] = random::secret();
    engine.apply(Tree::Meta, &[Op::Put(KEY.to_vec(), [&[row::VERSION][..], &id].concat())])?;
    engine.flush()?;
    Ok(id)
}
