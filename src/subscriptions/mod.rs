//! All subscriptions, compiled, in memory; the store holds them, the index is swapped when one changes.
//!
//! A change is durable first, then the index is swapped, then the caller has its answer: an event read after the
//! answer is matched with the change. Readers never wait: they take a snapshot. Each subscription has one
//! [`cell::Cell`] from birth to deletion, whatever changes in between.

mod again;
mod batch;
pub mod begin;
pub mod cell;
mod compile;
pub mod credentials;
pub mod error;
pub mod health;
pub(crate) mod order;
pub mod readers;
pub mod replays;
pub mod retry;
pub mod shape;
pub mod skip;
pub mod written;

use crate::lane::partition::Opening;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{Disabling, PlaceKey, Turn};
use crate::lane::state::Lane;
use crate::matching::index::Index;
use crate::model::cursor::CursorRow;
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::subscription::{State, Status, Subscription};
use crate::runtime::clock;
use crate::store::error::StoreError;
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::error::DirectoryError;
use crate::subscriptions::skip::Skipped;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{debug, error, info};

/// All subscriptions.
pub struct Directory {
    hands: Arc<Hands>,
    defaults: DeliverySettings,
    current: ArcSwap<Snapshot>,
    changing: tokio::sync::Mutex<()>,
    /// Partitions whose rows are tried although nobody brings them.
    owed: Mutex<HashSet<TopicPartition>>,
}

/// All subscriptions at one moment.
#[derive(Default)]
pub struct Snapshot {
    all: BTreeMap<String, Arc<Entry>>,
    /// Those that can be read, in the order of the index: paused and disabled ones too, for they go behind.
    indexed: Vec<Arc<Entry>>,
    index: Index,
}

/// A subscription and its lane.
pub struct Entry {
    /// What it says.
    pub subscription: Arc<Subscription>,
    /// Its lane.
    pub cell: Arc<Cell>,
}

/// What one record holds for one subscription; taken whole or not at all.
pub struct Group {
    /// For whom.
    pub cell: Arc<Cell>,
    /// What, in the order of the record.
    pub events: Vec<Arc<Emitted>>,
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
        hands.store.known().tidy(clock::now())?;
        let (current, owed) = (ArcSwap::from_pointee(Snapshot::new(all)), Mutex::default());
        Ok(Arc::new(Self { hands, defaults, current, changing: tokio::sync::Mutex::new(()), owed }))
    }

    /// A partition comes, in this epoch: lanes get the cursors and rows that the store holds of it. Blocks.
    ///
    /// # Errors
    /// The store failed, or cannot be read.
    pub fn open(&self, at: &TopicPartition, epoch: u64) -> Result<(), StoreError> {
        self.hands.store.settle()?; // rows of an earlier epoch that are still on their way count
        self.owed().remove(at);
        let mut openings: HashMap<Sid, Opening> = HashMap::new();
        for (key, row) in self.hands.store.cursors_of(at)? {
            openings.entry(key.sid).or_default().cursors.push((key.stream, row));
        }
        for (key, head) in self.hands.store.ledger_heads_of(at)? {
            openings.entry(key.sid).or_default().rows.push((key, head));
        }
        for entry in self.snapshot().iter() {
            let Some(opening) = openings.remove(&entry.subscription.sid) else { continue };
            if !opening.cursors.is_empty() {
                self.hands.readers.has_cursor(entry.cell.sid, &entry.cell);
            }
            let rows = (opening.rows.len(), opening.rows.first().map(|(key, _)| key.offset));
            let cursors = opening.cursors.iter().map(|(_, row)| (row.mode, row.offset)).collect::<Vec<_>>();
            debug!(subscription = %entry.subscription.sid, partition = at.partition, ?rows, ?cursors, "owed");
            entry.cell.act(|lane, turn| lane.open(at, Opening { epoch, ..opening }, turn));
        }
        Ok(())
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
        self.hands.store.settle()?;
        let mut rows: HashMap<Sid, Vec<_>> = HashMap::new();
        for (key, head) in self.hands.store.ledger_heads_of(at)? {
            rows.entry(key.sid).or_default().push((key, head));
        }
        info!(topic = %at.topic, partition = at.partition, subscriptions = rows.len(), "owed, though nothing is read of it");
        for entry in self.snapshot().iter() {
            let Some(rows) = rows.remove(&entry.subscription.sid) else { continue };
            entry.cell.act(|lane, turn| lane.owe(at, rows, turn));
        }
        Ok(())
    }

    fn owed(&self) -> MutexGuard<'_, HashSet<TopicPartition>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
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
        let entry = enter(&self.hands, &self.defaults, subscription)?;
        self.hands.store.put_subscription(&entry.subscription, &cursors).await?;
        for (at, row) in cursors {
            // A partition that is not ours now brings its cursors when it comes.
            if let Some(epoch) = self.hands.partitions.with(&at, |progress| progress.epoch()) {
                let place = PlaceKey { at, stream: 0 };
                entry.cell.act(|lane, turn| lane.begin(place, (epoch, row), turn));
                self.hands.readers.has_cursor(entry.cell.sid, &entry.cell);
            }
        }
        let subscription = Arc::clone(&entry.subscription);
        let mut all = self.snapshot().all.clone();
        all.insert(subscription.id.clone(), Arc::new(entry));
        self.current.store(Arc::new(Snapshot::new(all)));
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
        let target = compile::target(&changed, &self.defaults)?;
        let settings = compile::lane_settings(&changed, &self.defaults);
        self.hands.store.put_subscription(&changed, &[]).await?;
        let (cell, state) = (Arc::clone(&old.cell), changed.status.state);
        cell.retarget(target);
        cell.act(|lane, turn| {
            lane.configure(settings, turn);
            stand(lane, state, turn);
        });
        let subscription = Arc::new(changed);
        let mut all = snapshot.all.clone();
        all.insert(subscription.id.clone(), Arc::new(Entry { subscription: Arc::clone(&subscription), cell }));
        self.current.store(Arc::new(Snapshot::new(all)));
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
        self.hands.store.delete_subscription(entry.subscription.sid).await?;
        self.current.store(Arc::new(Snapshot::new(all)));
        entry.cell.act(|lane, turn| lane.delete(turn));
        let (store, sid) = (self.hands.store.clone(), entry.subscription.sid);
        let purged = tokio::task::spawn_blocking(move || store.purge(sid)).await;
        if let Ok(Err(error)) = purged {
            error!(subscription = %id, %error, "rows of the deleted subscription are left; the next start removes them");
        }
        Ok(())
    }

    /// The endpoint is gone (410), or failed for too long: nothing is sent until somebody resumes the subscription.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn disable(&self, sid: Sid, why: Disabling) -> Result<(), DirectoryError> {
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.all.values().find(|entry| entry.subscription.sid == sid) else { return Ok(()) };
        let reason = match why {
            Disabling::Gone => "the endpoint answered 410 Gone",
            Disabling::Failing => "the endpoint failed for as long as delivery.disable_after",
        };
        match self.turn(&entry.subscription, (State::Disabled, Some(reason.into()))).await {
            Ok(_) | Err(DirectoryError::NotFound | DirectoryError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends dead letters again, by their ids; gives how many of them were still there. They are made rows at once: a
    /// few at a time, for each may hold a large event.
    ///
    /// # Errors
    /// The store cannot be read, or did not take it.
    pub async fn send_again(&self, ids: &[String]) -> Result<usize, StoreError> {
        let _turn = self.changing.lock().await; // a letter that two ask for is sent once
        let (store, ids) = (self.hands.store.clone(), ids.to_vec());
        let letters = tokio::task::spawn_blocking(move || {
            let letters = ids.iter().map(|id| store.dead_letter(id).transpose());
            letters.flatten().collect::<Result<Vec<_>, _>>()
        });
        let letters = letters.await.map_err(|_| StoreError::Closed)??;
        let snapshot = self.snapshot();
        let cell = |sid: Sid| snapshot.iter().map(|entry| &entry.cell).find(|cell| cell.sid == sid).map(Arc::clone);
        let letters = letters.into_iter().filter_map(|letter| Some((cell(letter.sid)?, letter))).collect();
        again::send(&self.hands, letters, clock::now()).await
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
        if subscription.status.state == State::Active {
            return Ok((Arc::clone(subscription), Vec::new()));
        }
        if entry.subscription.version != subscription.version {
            let (expected, found) = (subscription.version, entry.subscription.version);
            return Err(DirectoryError::Conflict { expected, found });
        }
        let skipped = skip::to_now(&self.hands, &entry.cell).await?;
        Ok((self.turn(subscription, (State::Active, None)).await?, skipped))
    }

    /// Puts a subscription into another state, durably, with the reason for people. One that is in it already stays
    /// as it is.
    ///
    /// # Errors
    /// It is gone or changed meanwhile, or the store did not take it.
    pub async fn turn(
        &self,
        subscription: &Arc<Subscription>,
        (state, reason): (State, Option<String>),
    ) -> Result<Arc<Subscription>, DirectoryError> {
        if subscription.status.state == state {
            return Ok(Arc::clone(subscription));
        }
        let (mut changed, since) = ((**subscription).clone(), clock::now());
        (changed.version, changed.updated) = (subscription.version + 1, since);
        changed.status = Status { state, reason, since };
        self.update(changed, subscription.version).await
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn new(all: BTreeMap<String, Arc<Entry>>) -> Self {
        let (mut indexed, mut candidates) = (Vec::new(), Vec::new());
        for entry in all.values() {
            match compile::candidate(&entry.subscription) {
                Ok(candidate) => {
                    candidates.push(candidate);
                    indexed.push(Arc::clone(entry));
                }
                Err(why) => error!(subscription = %entry.subscription.id, why, "matches nothing: it cannot be read"),
            }
        }
        Self { all, indexed, index: Index::build(candidates) }
    }

    /// Who gets these events of one record, and which of them.
    #[must_use]
    pub fn takers(&self, events: &[Arc<Emitted>]) -> Vec<Group> {
        self.takers_where(events, |_| true)
    }

    /// As [`Snapshot::takers`], but only of these subscriptions.
    #[must_use]
    pub fn takers_among(&self, events: &[Arc<Emitted>], riders: &HashSet<Sid>) -> Vec<Group> {
        self.takers_where(events, |sid| riders.contains(&sid))
    }

    fn takers_where(&self, events: &[Arc<Emitted>], meant: impl Fn(Sid) -> bool) -> Vec<Group> {
        let mut groups: Vec<(usize, Group)> = Vec::new();
        for event in events {
            let matches = self.index.matches(&event.event).into_iter();
            for position in matches.filter(|position| meant(self.indexed[*position].cell.sid)) {
                match groups.iter_mut().find(|(at, _)| *at == position) {
                    Some((_, group)) => group.events.push(Arc::clone(event)),
                    None => {
                        let cell = Arc::clone(&self.indexed[position].cell);
                        groups.push((position, Group { cell, events: vec![Arc::clone(event)] }));
                    }
                }
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// The subscription with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.all.get(id)
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.all.values()
    }
}

fn enter(hands: &Arc<Hands>, defaults: &DeliverySettings, subscription: Subscription) -> Result<Entry, DirectoryError> {
    let target = compile::target(&subscription, defaults)?;
    let settings = compile::lane_settings(&subscription, defaults);
    let (sid, state) = (subscription.sid, subscription.status.state);
    let cell = Cell::new(sid, Lane::new(sid, settings), target, Arc::clone(hands));
    cell.act(|lane, turn| stand(lane, state, turn));
    Ok(Entry { subscription: Arc::new(subscription), cell })
}

/// The lane does as the subscription's state says.
fn stand(lane: &mut Lane, state: State, turn: &mut Turn<'_>) {
    match state {
        State::Active => lane.resume(turn),
        State::Paused => lane.pause(turn),
        State::Disabled => lane.disable(turn),
    }
}
