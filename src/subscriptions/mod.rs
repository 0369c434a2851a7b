//! All subscriptions, compiled, in memory; the store holds them, the index is swapped when one changes.
//!
//! A change is durable first, then the index is swapped, then the caller has its answer: an event read after the
//! answer is matched with the change. Readers never wait: they take a snapshot. Each subscription has one
//! [`cell::Cell`] from birth to deletion, whatever changes in between.

pub mod again;
pub mod amend;
mod announce;
mod batch;
pub mod begin;
pub mod bounds;
pub mod cell;
mod compile;
mod consent;
pub mod credentials;
pub mod declared;
pub mod error;
pub mod health;
pub mod inbox;
pub mod narrowed;
mod news;
mod opening;
pub(crate) mod order;
pub mod outbox;
pub mod readers;
pub mod replays;
pub mod retry;
pub mod shape;
pub mod skip;
pub mod snapshot;
pub mod tally;
pub mod written;

use crate::deliver::handshake::Word;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{Disabling, PlaceKey};
use crate::model::cursor::CursorRow;
use crate::model::id::Sid;
use crate::model::operational::Operational;
use crate::model::quarantine::Quarantined;
use crate::model::record::TopicPartition;
use crate::model::subscription::{State, Subscription};
use crate::quarantine::Quarantine;
use crate::runtime::{clock, fault};
use crate::store::error::StoreError;
use crate::store::space::Space;
use crate::subscriptions::again::{Again, Passed};
use crate::subscriptions::amend::{Amendment, Tuned};
use crate::subscriptions::cell::Hands;
use crate::subscriptions::error::DirectoryError;
use crate::subscriptions::skip::Skipped;
use crate::subscriptions::snapshot::{Entry, Snapshot, enter, stand};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::Notify;
use tracing::error;

/// All subscriptions.
pub struct Directory {
    hands: Arc<Hands>,
    defaults: ArcSwap<DeliverySettings>,
    current: ArcSwap<Snapshot>,
    changing: tokio::sync::Mutex<()>,
    /// Held while the rules and the subscriptions that go with them are swapped; shared by who needs both.
    swapping: RwLock<()>,
    /// Partitions whose rows are tried although nobody brings them.
    owed: Mutex<HashSet<TopicPartition>>,
    changed: Notify,
}

// === impl Directory ===

impl Directory {
    /// Reads all subscriptions from the store; what they are owed comes with its partition ([`Directory::open`]).
    /// Blocks.
    ///
    /// # Errors
    /// The store cannot be read, or holds a subscription that cannot be made ready.
    pub fn load(hands: Arc<Hands>, defaults: DeliverySettings) -> Result<Arc<Self>, DirectoryError> {
        let mut all = BTreeMap::new();
        for subscription in hands.store.subscriptions()? {
            let entry = enter(&hands, &defaults, subscription)?;
            all.insert(entry.subscription.id.clone(), Arc::new(entry));
        }
        // A delete that was cut off after the subscription was gone left its rows (protocol T15).
        hands.store.purge_unknown(&all.values().map(|entry| entry.subscription.sid).collect())?;
        hands.outbox.begin(hands.store.outbox()?); // before lanes tell more
        opening::recall(&hands, all.values().map(|entry| (entry.cell.sid, &entry.cell)).collect())?;
        hands.store.known().tidy(clock::now())?;
        let (current, owed) = (ArcSwap::from_pointee(Snapshot::new(all)), Mutex::default());
        let (defaults, swapping) = (ArcSwap::from_pointee(defaults), RwLock::new(()));
        let (changing, changed) = (tokio::sync::Mutex::new(()), Notify::new());
        Ok(Arc::new(Self { hands, defaults, current, changing, swapping, owed, changed }))
    }

    /// A partition comes, in this epoch: lanes get the cursors and rows that the store holds of it. Blocks. Rows of an
    /// earlier epoch that are still on their way count: call it after
    /// [`crate::store::Store::settle`].
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(&self, at: &TopicPartition, epoch: u64) -> Result<(), StoreError> {
        self.owed().remove(at);
        opening::open(&self.hands, &self.snapshot(), (at, epoch))
    }

    /// Nobody brings this partition: no rule reads its topic any more, or it is gone. What the ledger holds of it is
    /// owed all the same, and tried until the partition comes. Blocks.
    ///
    /// # Errors
    /// The store failed, or cannot be read.
    pub fn owe(&self, at: &TopicPartition) -> Result<(), StoreError> {
        if !self.owed().insert(at.clone()) {
            return Ok(());
        }
        opening::owe(&self.hands, &self.snapshot(), at)
    }

    fn owed(&self) -> MutexGuard<'_, HashSet<TopicPartition>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    fn put(&self, snapshot: Arc<Snapshot>) {
        self.current.store(snapshot);
        self.changed.notify_one();
    }

    /// Waits for a change; one that nobody waited for counts. For one who waits. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What the lanes act with.
    #[must_use]
    pub fn hands(&self) -> &Arc<Hands> {
        &self.hands
    }

    /// Adds a subscription. It counts from the answer on, and on each partition of `cursors` from there.
    ///
    /// # Errors
    /// The store did not take it, or it cannot be made ready.
    pub async fn create(
        &self,
        subscription: Subscription,
        cursors: Vec<(TopicPartition, CursorRow)>,
    ) -> Result<Arc<Subscription>, DirectoryError> {
        let _turn = self.changing.lock().await;
        let entry = enter(&self.hands, &self.defaults.load(), subscription)?;
        fault::point("subscription.write");
        self.hands.store.put_subscription(&entry.subscription, &cursors).await?;
        fault::point("subscription.written");
        self.begin(&entry, cursors);
        let subscription = Arc::clone(&entry.subscription);
        let mut all = self.snapshot().all.clone();
        all.insert(subscription.id.clone(), Arc::new(entry));
        self.put(Arc::new(Snapshot::new(all)));
        Ok(subscription)
    }

    /// Replaces a subscription that has version `expected`. What is parked is owed, and goes out in the new shape.
    ///
    /// # Errors
    /// There is none of that id, it has another version, or the store did not take it.
    pub async fn update(&self, changed: Subscription, expected: u64) -> Result<Arc<Subscription>, DirectoryError> {
        let _turn = self.changing.lock().await;
        let snapshot = self.snapshot();
        let old = snapshot.all.get(&changed.id).ok_or(DirectoryError::NotFound)?;
        let found = old.subscription.version;
        if found != expected {
            return Err(DirectoryError::Conflict { expected, found });
        }
        let target = compile::target(&changed, &self.defaults.load())?;
        let settings = compile::lane_settings(&changed, &self.defaults.load());
        fault::point("subscription.write");
        let told = self.hands.outbox.turned(&old.subscription, &changed);
        let put = std::iter::once((&changed, &[][..]));
        self.hands.store.amend_subscriptions(put, &[], told.as_slice()).await?;
        self.hands.outbox.written(told);
        fault::point("subscription.written");
        let (cell, state) = (Arc::clone(&old.cell), changed.status.state);
        // A runner that has an attempt in hand must not take it to an endpoint that has not said yes.
        if changed.is_verified() {
            cell.retarget(target);
        }
        cell.act(|lane, turn| {
            lane.configure(settings, turn);
            stand(lane, state, turn);
        });
        let subscription = Arc::new(changed);
        let mut all = snapshot.all.clone();
        all.insert(subscription.id.clone(), Arc::new(Entry { subscription: Arc::clone(&subscription), cell }));
        self.put(Arc::new(Snapshot::new(all)));
        Ok(subscription)
    }

    /// Removes a subscription; everything of it settles, its rows go.
    ///
    /// # Errors
    /// There is none of that id, or the store did not take it.
    pub async fn delete(&self, id: &str) -> Result<(), DirectoryError> {
        let _turn = self.changing.lock().await;
        let mut all = self.snapshot().all.clone();
        let entry = all.remove(id).ok_or(DirectoryError::NotFound)?;
        fault::point("subscription.delete");
        self.hands.store.delete_subscription(entry.subscription.sid).await?;
        fault::point("subscription.deleted");
        self.put(Arc::new(Snapshot::new(all)));
        self.bury(&entry).await;
        Ok(())
    }

    /// Follows what a configuration changes: makes it durable in one batch, then puts it in force together with what
    /// `rules` swaps, between two records. So a type that is renamed in a mapping and in a subscription at the same
    /// time is missed by no record. What those who go were owed goes with them.
    ///
    /// # Errors
    /// One of them was changed by somebody else meanwhile, or the store did not take it: then nothing changed.
    pub async fn amend(&self, amendment: Amendment, rules: impl FnOnce() + Send) -> Result<(), DirectoryError> {
        let _turn = self.changing.lock().await;
        let writes = !amendment.plan.is_empty(); // on a full disk a write waits, and rules alone need none
        let before = self.snapshot();
        let prepared = amendment.prepare(&before, &self.hands, &self.defaults.load())?;
        if writes {
            let gone = prepared.gone.iter().map(|entry| entry.subscription.sid).collect::<Vec<_>>();
            let told = prepared.told(&before, &self.hands.outbox);
            self.hands.store.amend_subscriptions(prepared.put(), &gone, &told).await?;
            self.hands.outbox.written(told);
        }
        prepared.made.into_iter().for_each(|(entry, cursors)| self.begin(&entry, cursors));
        prepared.tuned.into_iter().for_each(Tuned::apply);
        for entry in &prepared.changed {
            entry.cell.act(|lane, turn| stand(lane, entry.subscription.status.state, turn));
        }
        self.defaults.store(Arc::new(prepared.defaults));
        {
            let _between = self.swapping.write().unwrap_or_else(PoisonError::into_inner);
            rules();
            self.put(prepared.after);
        }
        for entry in &prepared.gone {
            self.bury(entry).await;
        }
        Ok(())
    }

    /// Looks at the subscriptions that go with the rules in force: [`Directory::amend`] changes neither meanwhile. Be
    /// short.
    pub fn in_force<T>(&self, look: impl FnOnce(&Snapshot) -> T) -> T {
        let _unchanged = self.swapping.read().unwrap_or_else(PoisonError::into_inner);
        look(&self.current.load())
    }

    /// The places of a new subscription begin; its cursors are durable already.
    fn begin(&self, entry: &Entry, cursors: Vec<(TopicPartition, CursorRow)>) {
        for (at, row) in cursors {
            // A partition that is not ours now brings its cursors when it comes.
            if let Some(epoch) = self.hands.partitions.with(&at, |progress| progress.epoch()) {
                let place = PlaceKey { at, stream: 0 };
                entry.cell.act(|lane, turn| lane.begin(place, (epoch, row), turn));
                self.hands.readers.has_cursor(entry.cell.sid, &entry.cell);
            }
        }
    }

    /// A subscription is gone from store and index: what is left of it settles, and its rows go.
    async fn bury(&self, entry: &Entry) {
        entry.cell.act(|lane, turn| lane.delete(turn));
        let (store, sid) = (self.hands.store.clone(), entry.subscription.sid);
        let purged = tokio::task::spawn_blocking(move || store.purge(sid)).await;
        if let Ok(Err(error)) = purged {
            error!(subscription = %entry.subscription.id, %error,
                "rows of the deleted subscription are left; the next start removes them");
        }
    }

    /// The endpoint is gone (410), or failed for too long: nothing is sent until somebody resumes the subscription.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn disable(&self, sid: Sid, why: Disabling) -> Result<(), DirectoryError> {
        loop {
            let snapshot = self.snapshot();
            let Some(entry) = snapshot.all.values().find(|entry| entry.subscription.sid == sid) else { return Ok(()) };
            match self.turn(&entry.subscription, (State::Disabled, Some(news::reason(why).into()))).await {
                Err(DirectoryError::Conflict { .. }) => {} // what changed it does not know that it is over
                Ok(_) | Err(DirectoryError::NotFound) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps what the endpoint of `asked` said, if it is the endpoint still.
    ///
    /// # Errors
    /// The subscription is gone, the disk is full, or the store did not take it.
    pub async fn hear(&self, asked: &Subscription, word: &Word) -> Result<Arc<Subscription>, DirectoryError> {
        loop {
            let now = self.snapshot().get(&asked.id).map(|entry| Arc::clone(&entry.subscription));
            let now = now.ok_or(DirectoryError::NotFound)?;
            let Some(changed) = consent::heard((&now, asked), word, clock::now()) else { return Ok(now) };
            if self.hands.store.space() == Space::Hard {
                return Err(DirectoryError::Full); // an endpoint must not hold up what operators do
            }
            match self.update(changed, now.version).await {
                Err(DirectoryError::Conflict { .. }) => {} // somebody else came further
                other => return other,
            }
        }
    }

    /// Sends dead letters again, by their ids. They are made rows at once: a few at a time, for each may hold a large
    /// event.
    ///
    /// # Errors
    /// The store cannot be read, or did not take it.
    pub async fn send_again(&self, ids: &[String]) -> Result<Again, StoreError> {
        let _turn = self.changing.lock().await; // a letter that two ask for is sent once
        let letters = again::letters(&self.hands, &self.snapshot(), ids).await?;
        again::send(&self.hands, letters, clock::now()).await
    }

    /// Removes dead letters, by their ids; gives how many were there. A few at a time, as [`Directory::send_again`].
    ///
    /// # Errors
    /// The store cannot be read, or did not take it.
    pub async fn remove_letters(&self, ids: &[String]) -> Result<usize, StoreError> {
        let _turn = self.changing.lock().await; // and counted once
        again::remove(&self.hands, again::letters(&self.hands, &self.snapshot(), ids).await?).await
    }

    /// Passes quarantined records again, by the ids of their rows; what `pass` makes of one is owed by value to exactly
    /// those who were owed the record. A few at a time, as [`Directory::send_again`].
    ///
    /// # Errors
    /// The store cannot be read, or did not take it.
    pub async fn pass_again(
        &self,
        quarantine: &Arc<Quarantine>,
        ids: &[String],
        pass: impl Fn(&Quarantined) -> Passed + Send + 'static,
    ) -> Result<Again, StoreError> {
        let _turn = self.changing.lock().await; // who is made or deleted meanwhile would be missed
        again::pass(&self.hands, (self.snapshot(), Arc::clone(quarantine)), ids.to_vec(), pass).await
    }

    /// Makes operational events ([`outbox::Outbox::next`]) deliveries of those who ask for them, durably.
    ///
    /// # Errors
    /// The store did not take it: they wait for the next start.
    pub async fn announce(&self, events: &[Operational]) -> Result<(), StoreError> {
        let _turn = self.changing.lock().await; // who is made or deleted meanwhile would be missed
        announce::announce(&self.hands, &self.snapshot(), events).await
    }

    /// Lets a subscription that is paused or disabled go on at where intake stands now; gives what lies between, which
    /// never comes. What the ledger holds stays owed.
    ///
    /// # Errors
    /// It is gone or changed meanwhile, the store cannot be read, or did not take it.
    pub async fn resume_now(
        &self,
        subscription: &Arc<Subscription>,
    ) -> Result<(Arc<Subscription>, Vec<Skipped>), DirectoryError> {
        let snapshot = self.snapshot();
        let entry = snapshot.get(&subscription.id).ok_or(DirectoryError::NotFound)?;
        if subscription.status.state == subscription.at_work() {
            return Ok((Arc::clone(subscription), Vec::new()));
        }
        if entry.subscription.version != subscription.version {
            let (expected, found) = (subscription.version, entry.subscription.version);
            return Err(DirectoryError::Conflict { expected, found });
        }
        let skipped = skip::to_now(&self.hands, &entry.cell).await?;
        Ok((self.turn(subscription, (State::Active, None)).await?, skipped))
    }

    /// Puts a subscription into another state, durably, with the reason for people; one that is in it stays as it is.
    ///
    /// # Errors
    /// It is gone or changed meanwhile, or the store did not take it.
    pub async fn turn(
        &self,
        subscription: &Arc<Subscription>,
        into: (State, Option<String>),
    ) -> Result<Arc<Subscription>, DirectoryError> {
        match consent::turned(subscription, into, clock::now()) {
            Some(changed) => self.update(changed, subscription.version).await,
            None => Ok(Arc::clone(subscription)),
        }
    }
}
