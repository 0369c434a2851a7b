//! What is sent again, by value: dead letters, and quarantined records that are understood now. In one batch the old row
//! goes and ledger rows come (protocol section 7).
//!
//! Each is a stream of its own: it is ordered against nothing, and its ids are what they were. What finds no room in the
//! ledger of a lane it is for stays where it is.

use crate::lane::signal::PlaceKey;
use crate::model::dead_letter::DeadLetter;
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::Sid;
use crate::model::operational;
use crate::model::quarantine::{Fault, Quarantined};
use crate::model::time::Timestamp;
use crate::model::weight::Weight;
use crate::quarantine::{Becomes, Found, Quarantine};
use crate::runtime::{clock, random};
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::snapshot::{Group, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Letters with the lane that each is for; `None`: its subscription is gone.
pub(crate) type Letters = Vec<(Option<Arc<Cell>>, DeadLetter)>;

/// What came of sending again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// These are owed again, or nobody is owed them any more.
    pub retried: usize,
    /// These are still not understood.
    pub failed: usize,
    /// These wait: a ledger that they are for has no room.
    pub waiting: usize,
}

/// What a quarantined record became when it was passed again.
#[derive(Debug, Default)]
pub struct Passed {
    /// Its events.
    pub events: Vec<Arc<Emitted>>,
    /// What of it still cannot be understood.
    pub faults: Vec<Fault>,
}

/// For whom events of one record are.
pub(crate) type Takers = Vec<(Arc<Cell>, Vec<Arc<Emitted>>)>;

/// New ledger rows, not yet durable, by lane.
#[derive(Default)]
pub(crate) struct Rows(HashMap<Sid, New>);

/// New ledger rows of one lane.
struct New {
    cell: Arc<Cell>,
    rows: Vec<(LedgerKey, LedgerHead)>,
    weight: Weight,
}

/// Quarantined records whose changes are handed to the store.
pub(crate) struct Underway {
    again: Again,
    rows: Rows,
    durable: Vec<oneshot::Receiver<Result<(), StoreError>>>,
}

// === impl Again ===

impl std::ops::AddAssign for Again {
    fn add_assign(&mut self, more: Self) {
        self.retried += more.retried;
        self.failed += more.failed;
        self.waiting += more.waiting;
    }
}

// === impl Rows ===

impl Rows {
    /// Whether the ledger takes these, too. An empty one takes whatever one record holds.
    pub(crate) fn has_room(&self, cell: &Arc<Cell>, events: &[Arc<Emitted>]) -> bool {
        let before = self.0.get(&cell.sid).map(|new| new.weight).unwrap_or_default();
        let mut weight = before;
        events.iter().for_each(|event| weight += Weight::of(event.size()));
        cell.act(|lane, _| lane.has_ledger_room(weight) || lane.rows() == 0 && before.rows == 0)
    }

    /// A row that is due now.
    pub(crate) fn add(
        &mut self,
        cell: &Arc<Cell>,
        (key, event): (LedgerKey, &IntegrationEvent),
        (batch, now): (&mut Batch, Timestamp),
    ) {
        let ordering_key = event.key.clone();
        let head = LedgerHead { attempts: 0, first: now, due: now, last: None, ordering_key, body_len: 0 };
        let body_len = batch.park(&key, &head, event);
        let none = || New { cell: Arc::clone(cell), rows: Vec::new(), weight: Weight::default() };
        let new = self.0.entry(cell.sid).or_insert_with(none);
        new.rows.push((key, LedgerHead { body_len, ..head }));
        new.weight += Weight::of(body_len);
    }

    /// They are durable: their lanes take them. What belongs to a partition that is not ours now comes with it.
    pub(crate) fn adopt(self, hands: &Hands) {
        for New { cell, mut rows, .. } in self.0.into_values() {
            rows.retain(|(key, _)| hands.partitions.is_open(&key.at) || *key.at.topic == *operational::TOPIC);
            cell.act(|lane, turn| lane.adopt(rows, turn));
        }
    }
}

/// Where what is sent again stands: in a stream of its own.
fn anew(event: &IntegrationEvent, sid: Sid) -> LedgerKey {
    LedgerKey { stream: u128::from_be_bytes(random::secret()).max(1), ..LedgerKey::of(event, sid) }
}

/// The letters with these ids that are there, with their lanes.
pub(crate) async fn letters(hands: &Hands, snapshot: &Snapshot, ids: &[String]) -> Result<Letters, StoreError> {
    let (store, ids) = (hands.store.clone(), ids.to_vec());
    let read = move || ids.iter().filter_map(|id| store.dead_letter(id).transpose()).collect::<Result<Vec<_>, _>>();
    let letters = tokio::task::spawn_blocking(read).await.map_err(|_| StoreError::Closed)??;
    let cell = |sid: Sid| snapshot.iter().map(|entry| &entry.cell).find(|cell| cell.sid == sid).map(Arc::clone);
    Ok(letters.into_iter().map(|letter| (cell(letter.sid), letter)).collect())
}

/// Makes ledger rows of `letters`, due now, and gives them to their lanes once that is durable.
pub(crate) async fn send(hands: &Hands, letters: Letters, now: Timestamp) -> Result<Again, StoreError> {
    let (mut batch, mut rows, mut again) = (Batch::new(), Rows::default(), Again::default());
    let mut gone = Vec::new();
    for (cell, letter) in letters {
        let Some(cell) = cell else { continue };
        let event = Arc::new(Emitted::new(letter.event.clone()));
        if !rows.has_room(&cell, &[event]) {
            again.waiting += 1;
            continue;
        }
        rows.add(&cell, (anew(&letter.event, cell.sid), &letter.event), (&mut batch, now));
        gone.push((cell, batch.drop_dead_letter(&letter)));
        again.retried += 1;
    }
    hands.store.durable(batch).await?;
    rows.adopt(hands);
    forget(gone);
    Ok(again)
}

/// Removes letters; gives how many.
pub(crate) async fn remove(hands: &Hands, letters: Letters) -> Result<usize, StoreError> {
    let (mut batch, many) = (Batch::new(), letters.len());
    let gone = letters.iter().map(|(cell, letter)| (cell.clone(), batch.drop_dead_letter(letter))).collect::<Vec<_>>();
    hands.store.durable(batch).await?;
    forget(gone.into_iter().filter_map(|(cell, weight)| Some((cell?, weight))));
    Ok(many)
}

/// Their lanes have room for as many again.
fn forget(gone: impl IntoIterator<Item = (Arc<Cell>, Weight)>) {
    for (cell, weight) in gone {
        cell.act(|lane, turn| lane.letters_gone(weight, turn));
    }
}

/// Passes quarantined records again, by the ids of their rows, as `pass` says; what they become is owed to those of the
/// snapshot who take it.
///
/// # Errors
/// The store cannot be read, or did not take it.
pub(crate) async fn pass(
    hands: &Arc<Hands>,
    (snapshot, quarantine): (Arc<Snapshot>, Arc<Quarantine>),
    ids: Vec<String>,
    pass: impl Fn(&Quarantined) -> Passed + Send + 'static,
) -> Result<Again, StoreError> {
    let ours = Arc::clone(hands);
    let passing = tokio::task::spawn_blocking(move || {
        pass_each(&ours, &quarantine, &ids, |row| {
            let passed = pass(row);
            let takers = snapshot.takers(&passed.events).into_iter();
            (passed, takers.map(|Group { cell, events }| (cell, events)).collect())
        })
    });
    passing.await.map_err(|_| StoreError::Closed)??.land(hands).await
}

/// What the change is, handed to the store. Blocks.
fn pass_each(
    hands: &Hands,
    quarantine: &Quarantine,
    ids: &[String],
    pass: impl Fn(&Quarantined) -> (Passed, Takers),
) -> Result<Underway, StoreError> {
    let mut underway = Underway { again: Again::default(), rows: Rows::default(), durable: Vec::new() };
    for id in ids {
        let (done, durable) = oneshot::channel();
        let mut changed = Changed::No;
        let decide = |row: &Quarantined| {
            let becomes = underway.decide(hands, row, &pass);
            changed = if becomes.is_some() { Changed::Yes } else { Changed::No };
            becomes
        };
        let found = quarantine.look(id, decide, move |result| drop(done.send(result)))?;
        if (found, changed) == (Found::Yes, Changed::Yes) {
            underway.durable.push(durable);
        }
    }
    Ok(underway)
}

/// Whether a row is another now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    Yes,
    No,
}

// === impl Underway ===

impl Underway {
    /// What becomes of a row: who is owed its events gets ledger rows, what still fails stays with its new reason.
    fn decide(
        &mut self,
        hands: &Hands,
        row: &Quarantined,
        pass: impl Fn(&Quarantined) -> (Passed, Takers),
    ) -> Option<Becomes> {
        let place = PlaceKey { at: row.record.origin.topic_partition(), stream: 0 };
        let (passed, mut takers) = pass(row);
        takers.retain(|(cell, _)| is_owed(cell, row, &place));
        let is_read = hands.partitions.is_open(&place.at); // else no lane knows where it stands
        if !is_read || takers.iter().any(|(cell, events)| !self.rows.has_room(cell, events)) {
            self.again.waiting += 1;
            return None;
        }
        let rows = passed.faults.into_iter().map(|fault| Quarantined { fault, ..row.clone() }).collect::<Vec<_>>();
        if rows.is_empty() {
            self.again.retried += 1;
        } else {
            self.again.failed += 1;
        }
        if rows == [row.clone()] {
            return None;
        }
        let (mut becomes, now) = (Becomes { rows, batch: Batch::new() }, clock::now());
        for (cell, event) in takers.iter().flat_map(|(cell, events)| events.iter().map(move |event| (cell, event))) {
            self.rows.add(cell, (anew(&event.event, cell.sid), &event.event), (&mut becomes.batch, now));
        }
        Some(becomes)
    }

    /// Waits until all of it is durable, then gives the lanes their rows.
    async fn land(self, hands: &Hands) -> Result<Again, StoreError> {
        for durable in self.durable {
            durable.await.unwrap_or(Err(StoreError::Closed))?;
        }
        self.rows.adopt(hands);
        Ok(self.again)
    }
}

/// A subscription that was live is owed a record unless it went behind since and its reader is still to come by. One
/// whose reader passed it is owed it whatever its lane says: the lane may hear of that a moment later.
fn is_owed(cell: &Arc<Cell>, row: &Quarantined, place: &PlaceKey) -> bool {
    let is_left = || cell.act(|lane, _| lane.is_left_to_reader(place, row.record.origin.offset));
    row.owed.riders.contains(&cell.sid) || row.owed.is_to(cell.sid) && !is_left()
}
