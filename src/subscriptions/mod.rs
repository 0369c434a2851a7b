//! All subscriptions, compiled, in memory; the store holds them, the index is swapped when one changes.
//!
//! A change is durable first, then the index is swapped, then the caller has its answer: an event read after the
//! answer is matched with the change. Readers never wait: they take a snapshot. Each subscription has one
//! [`cell::Cell`] from birth to deletion, whatever changes in between.

pub mod cell;
mod compile;
pub mod credentials;
pub mod error;
pub(crate) mod order;
pub mod retry;
pub mod shape;
pub mod written;

use crate::lane::Lane;
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::Of;
use crate::matching::index::Index;
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::subscription::{State, Subscription};
use crate::runtime::clock;
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::error::DirectoryError;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tracing::error;

/// All subscriptions.
pub struct Directory {
    hands: Arc<Hands>,
    defaults: DeliverySettings,
    current: ArcSwap<Snapshot>,
    changing: tokio::sync::Mutex<()>,
}

/// All subscriptions at one moment.
#[derive(Default)]
pub struct Snapshot {
    all: BTreeMap<String, Arc<Entry>>,
    /// The active ones, in the order of the index.
    active: Vec<Arc<Entry>>,
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
    /// Reads all subscriptions and their ledger rows from the store. Blocks.
    ///
    /// # Errors
    /// The store cannot be read, or holds a subscription that cannot be made ready.
    pub fn load(hands: Arc<Hands>, defaults: DeliverySettings) -> Result<Arc<Self>, DirectoryError> {
        let mut rows: HashMap<Sid, Vec<(LedgerKey, LedgerHead)>> = HashMap::new();
        for (key, head) in hands.store.ledger_heads()? {
            rows.entry(key.sid).or_default().push((key, head));
        }
        let mut all = BTreeMap::new();
        for subscription in hands.store.subscriptions()? {
            let rows = rows.remove(&subscription.sid).unwrap_or_default();
            let entry = enter(&hands, &defaults, subscription, rows)?;
            all.insert(entry.subscription.id.clone(), Arc::new(entry));
        }
        let current = ArcSwap::from_pointee(Snapshot::new(all));
        Ok(Arc::new(Self { hands, defaults, current, changing: tokio::sync::Mutex::new(()) }))
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

    /// Adds a subscription; it counts from the answer on.
    ///
    /// # Errors
    /// The store did not take it, or it cannot be made ready.
    pub async fn create(&self, subscription: Subscription) -> Result<Arc<Subscription>, DirectoryError> {
        let _turn = self.changing.lock().await;
        let entry = enter(&self.hands, &self.defaults, subscription, Vec::new())?;
        self.hands.store.put_subscription(&entry.subscription).await?;
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
        self.hands.store.put_subscription(&changed).await?;
        let (cell, state) = (Arc::clone(&old.cell), changed.status.state);
        cell.retarget(target);
        cell.act(|lane, effects| {
            lane.configure(settings);
            match state {
                State::Active => lane.enable(),
                State::Disabled => lane.disable(clock::now(), effects),
            }
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
        entry.cell.act(|lane, effects| lane.delete(effects));
        let (store, sid) = (self.hands.store.clone(), entry.subscription.sid);
        let purged = tokio::task::spawn_blocking(move || store.purge(sid)).await;
        if let Ok(Err(error)) = purged {
            error!(subscription = %id, %error, "rows of the deleted subscription are left; the next start removes them");
        }
        Ok(())
    }

    /// Lets no lane start a retry any more, so that what is queued can drain: the process is about to stop.
    pub fn drain(&self) {
        for entry in self.snapshot().iter() {
            entry.cell.act(|lane, _| lane.drain());
        }
    }

    /// Stops every lane and parks what is live in it; attempts that are out may still end.
    pub fn stop(&self) {
        for entry in self.snapshot().iter() {
            entry.cell.act(|lane, effects| {
                lane.stop();
                lane.cut(Of::All, clock::now(), effects);
            });
        }
    }

    /// Wakes every lane: those that owe retries begin.
    pub fn wake(&self) {
        for entry in self.snapshot().iter() {
            entry.cell.tick();
        }
    }

    /// The endpoint said that it is gone (410): nothing is sent until somebody enables the subscription.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn disable_gone(&self, sid: Sid) -> Result<(), DirectoryError> {
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.all.values().find(|entry| entry.subscription.sid == sid) else { return Ok(()) };
        let (mut changed, now) = ((*entry.subscription).clone(), clock::now());
        let expected = changed.version;
        changed.version += 1;
        changed.updated = now;
        changed.status.state = State::Disabled;
        changed.status.reason = Some("the endpoint answered 410 Gone".into());
        changed.status.since = now;
        match self.update(changed, expected).await {
            Ok(_) | Err(DirectoryError::NotFound | DirectoryError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn new(all: BTreeMap<String, Arc<Entry>>) -> Self {
        let (mut active, mut candidates) = (Vec::new(), Vec::new());
        for entry in all.values().filter(|entry| entry.subscription.status.state == State::Active) {
            match compile::candidate(&entry.subscription) {
                Ok(candidate) => {
                    candidates.push(candidate);
                    active.push(Arc::clone(entry));
                }
                Err(why) => error!(subscription = %entry.subscription.id, why, "matches nothing: it cannot be read"),
            }
        }
        Self { all, active, index: Index::build(candidates) }
    }

    /// Who gets these events of one record, and which of them.
    #[must_use]
    pub fn takers(&self, events: &[Arc<Emitted>]) -> Vec<Group> {
        let mut groups: Vec<(usize, Group)> = Vec::new();
        for event in events {
            for position in self.index.matches(&event.event) {
                match groups.iter_mut().find(|(at, _)| *at == position) {
                    Some((_, group)) => group.events.push(Arc::clone(event)),
                    None => {
                        let cell = Arc::clone(&self.active[position].cell);
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

fn enter(
    hands: &Arc<Hands>,
    defaults: &DeliverySettings,
    subscription: Subscription,
    rows: Vec<(LedgerKey, LedgerHead)>,
) -> Result<Entry, DirectoryError> {
    let target = compile::target(&subscription, defaults)?;
    let settings = compile::lane_settings(&subscription, defaults);
    let mut lane = Lane::new(subscription.sid, settings, rows);
    if subscription.status.state == State::Disabled {
        lane.disable(clock::now(), &mut Vec::new());
    }
    let cell = Cell::new(subscription.sid, lane, target, Arc::clone(hands));
    Ok(Entry { subscription: Arc::new(subscription), cell })
}
