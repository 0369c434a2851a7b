//! Records that were not understood, kept until they are sent again or let go (P7).
//!
//! Takes a record with its fault and whom it is owed to; one row per (record, mapping), which is extended and never
//! doubled. Counts what all of it weighs: over its budget there is no room for new rows, and whoever reads has to
//! wait. It knows neither lanes nor offsets that settle: what follows when a row is durable is the caller's.
//!
//! Rows change under one lock, from the look at what is there to the hand-over to the store, so that two who change the
//! same row do not undo each other. Every call may block for that long, and on a read of the store; what runs when
//! something is durable must not call back.

pub mod settings;

use crate::metrics::Metrics;
use crate::model::quarantine::{Fault, Owed, Quarantined};
use crate::model::record::{Origin, Record};
use crate::model::trace::{Parent, TraceId};
use crate::model::weight::Weight;
use crate::quarantine::settings::QuarantineSettings;
use crate::runtime::clock;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::field::{DisplayValue, display};
use tracing::warn;

/// The quarantine; shared by all who read.
pub struct Quarantine {
    store: Store,
    metrics: Metrics,
    budget: u64,
    held: Mutex<Held>,
}

/// What becomes of a row that was looked at.
#[derive(Debug, Default)]
pub struct Becomes {
    /// The rows that take its place; none: it goes.
    pub rows: Vec<Quarantined>,
    /// What comes about with that, in the same batch.
    pub batch: Batch,
}

/// Why a record finds no room.
#[derive(Debug, thiserror::Error)]
pub enum NoRoom {
    /// The budget is spent.
    #[error("the quarantine is full (limits.quarantine): send its records again or remove them")]
    Full,
    /// Nobody knows.
    #[error("the quarantine cannot be read: {0}")]
    Unread(#[from] StoreError),
}

/// Whether there is such a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is, or was until now.
    Yes,
    /// There is none.
    No,
}

#[derive(Default)]
struct Held {
    weight: Weight,
    /// Rows whose last change may not be applied yet: the store cannot be asked about them.
    pending: HashMap<Name, Pending>,
}

/// Which row.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Name {
    origin: Origin,
    mapping: String,
}

struct Pending {
    /// What is there when it is applied; `None`: nothing.
    row: Option<Row>,
    durable: Arc<AtomicBool>,
}

/// What is known of a row without reading its record.
type Row = (Owed, Weight);

/// Says what of `record` its mappings let go although it was not understood (`on_error: drop`).
pub fn tell_dropped(record: &Record, dropped: &[Fault]) {
    for fault in dropped {
        let (offset, trace_id) = (record.origin.offset, trace_id(record));
        warn!(offset, mapping = fault.mapping, trace_id, "dropped, as its mapping asks: {}", fault.detail);
    }
}

/// The trace that a record names, for a line of the log.
fn trace_id(record: &Record) -> Option<DisplayValue<TraceId>> {
    Parent::of(record).map(|parent| display(parent.context().trace))
}

// === impl Quarantine ===

impl Quarantine {
    /// The quarantine in `store`. Blocks: all of it is weighed.
    ///
    /// # Errors
    /// A row cannot be read.
    pub fn open(store: Store, metrics: Metrics, settings: QuarantineSettings) -> Result<Self, StoreError> {
        let held = Held { weight: store.quarantine_weight()?, pending: HashMap::new() };
        Ok(Self { store, metrics, budget: settings.bytes, held: Mutex::new(held) })
    }

    /// What all rows weigh.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.lock().weight
    }

    /// Bytes that all rows may take.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Whether these faults of a record find room; those whose rows are there already do, and so does a record without
    /// any. One record may go beyond the budget, so that a large one finds room, too.
    ///
    /// # Errors
    /// They find none.
    pub fn admits(&self, record: &Record, faults: &[Fault]) -> Result<(), NoRoom> {
        if faults.is_empty() || self.has_room(record, faults)? { Ok(()) } else { Err(NoRoom::Full) }
    }

    fn has_room(&self, record: &Record, faults: &[Fault]) -> Result<bool, StoreError> {
        let mut held = self.lock();
        if held.weight.bytes < self.budget {
            return Ok(true);
        }
        for fault in faults {
            if self.row(&mut held, &Name::of(record, fault))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps a record that could not be understood, whether or not there is room: [`Quarantine::admits`] tells.
    /// `done` runs when it is durable.
    ///
    /// INVARIANT (P7): durable before an offset is committed, or a cursor moves, past the record: who calls settles in
    /// `done`, or tells lanes afterwards (`p7_nobody_hears_of_a_record_before_it_is_durable`).
    pub fn keep(
        &self,
        record: &Record,
        (fault, owed): (Fault, Owed),
        done: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) {
        let Origin { topic, partition, offset, .. } = &record.origin;
        self.metrics.records_quarantined(topic, fault.reason);
        let trace_id = trace_id(record);
        warn!(%topic, partition, offset, mapping = fault.mapping, field = fault.field, trace_id, "quarantined: {}",
            fault.detail);
        let mut held = self.lock();
        let mut batch = Batch::new();
        let row = Quarantined { record: record.clone(), at: clock::now(), fault, owed };
        match self.put(&mut held, row, &mut batch) {
            Ok(durable) => self.store.submit(batch, told([durable], done)),
            Err(error) => done(Err(error)),
        }
    }

    /// Looks at the row with this id, and changes it as `decide` says; `None` leaves it as it is. Nobody else changes it
    /// meanwhile. `done` runs when the change is durable; when nothing changes it does not.
    ///
    /// # Errors
    /// The store cannot be read; nothing is changed.
    pub fn look(
        &self,
        id: &str,
        decide: impl FnOnce(&Quarantined) -> Option<Becomes>,
        done: impl FnOnce(Result<(), StoreError>) + Send + 'static,
    ) -> Result<Found, StoreError> {
        let mut held = self.lock();
        if held.is_waiting() {
            self.store.settle()?; // a row that was extended meanwhile must not go as it was before
        }
        let Some(before) = self.store.quarantined_one(id)? else { return Ok(Found::No) };
        let Some(Becomes { rows, mut batch }) = decide(&before) else { return Ok(Found::Yes) };
        held.weight -= batch.drop_quarantined(&before);
        let mut durable = vec![held.note(Name::of(&before.record, &before.fault), None)];
        for row in rows {
            durable.push(self.put(&mut held, row, &mut batch)?);
        }
        self.store.submit(batch, told(durable, done));
        Ok(Found::Yes)
    }

    /// Adds a row to a batch; one that is there already is extended.
    fn put(&self, held: &mut Held, row: Quarantined, batch: &mut Batch) -> Result<Arc<AtomicBool>, StoreError> {
        let name = Name::of(&row.record, &row.fault);
        let mut row = row;
        if let Some((before, weight)) = self.row(held, &name)? {
            row.owed = row.owed.on_top_of(before, row.at);
            held.weight -= weight;
        }
        let weight = batch.quarantine(&row);
        held.weight += weight;
        Ok(held.note(name, Some((row.owed, weight))))
    }

    fn row(&self, held: &mut Held, name: &Name) -> Result<Option<Row>, StoreError> {
        match held.pending.get(name) {
            Some(pending) => Ok(pending.row.clone()),
            None => self.store.quarantine_head(&name.origin, &name.mapping),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Held ===

impl Held {
    /// Notes what a row will be, and forgets those that the store can be asked about again.
    fn note(&mut self, name: Name, row: Option<Row>) -> Arc<AtomicBool> {
        self.forget();
        let durable = Arc::new(AtomicBool::new(false));
        self.pending.insert(name, Pending { row, durable: Arc::clone(&durable) });
        durable
    }

    fn is_waiting(&mut self) -> bool {
        self.forget();
        !self.pending.is_empty()
    }

    fn forget(&mut self) {
        self.pending.retain(|_, pending| !pending.durable.load(Ordering::Acquire));
    }
}

// === impl Name ===

impl Name {
    fn of(record: &Record, fault: &Fault) -> Self {
        Self { origin: record.origin.clone(), mapping: fault.mapping.clone().unwrap_or_default() }
    }
}

/// Marks rows as durable, then says so.
fn told(
    rows: impl IntoIterator<Item = Arc<AtomicBool>> + Send + 'static,
    done: impl FnOnce(Result<(), StoreError>) + Send + 'static,
) -> impl FnOnce(Result<(), StoreError>) + Send + 'static {
    move |result| {
        rows.into_iter().for_each(|durable| durable.store(true, Ordering::Release));
        done(result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Sid;
    use crate::model::quarantine::{FaultReason, Filter};
    use crate::model::time::Timestamp;
    use crate::store::memory::{Flushes, Memory};
    use std::collections::BTreeSet;
    use std::sync::mpsc::{self, Receiver};

    fn open(engine: &Memory, bytes: u64) -> Quarantine {
        let store = Store::over(engine.clone(), Box::new(|| Ok(u64::MAX)), 1).unwrap();
        Quarantine::open(store, Metrics::new(), QuarantineSettings { bytes }).unwrap()
    }

    fn record(offset: i64) -> Record {
        let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: Timestamp::from_millis(5) };
        Record { origin, key: None, headers: Vec::new(), value: Some("{".into()) }
    }

    fn fault(detail: &str) -> Fault {
        let mapping = Some("placed".to_owned());
        Fault { reason: FaultReason::Map, mapping, field: None, expression: None, detail: detail.into() }
    }

    fn riders(names: &[u128]) -> Owed {
        Owed::to_riders(names.iter().map(|name| Sid::new(1, *name)).collect(), Timestamp::from_millis(9))
    }

    fn keep(quarantine: &Quarantine, offset: i64, owed: Owed) -> Receiver<Result<(), StoreError>> {
        let (done, told) = mpsc::channel();
        quarantine.keep(&record(offset), (fault("once"), owed), move |result| drop(done.send(result)));
        told
    }

    fn look(quarantine: &Quarantine, id: &str, becomes: Option<Becomes>) -> Option<Quarantined> {
        let (mut seen, changes) = (None, becomes.is_some());
        let (done, told) = mpsc::channel();
        let decide = |row: &Quarantined| {
            seen = Some(row.clone());
            becomes
        };
        let found = quarantine.look(id, decide, move |result| drop(done.send(result))).unwrap();
        if found == Found::Yes && changes {
            told.recv().unwrap().unwrap();
        }
        seen
    }

    fn ids(quarantine: &Quarantine) -> Vec<String> {
        quarantine.store.settle().unwrap();
        quarantine.store.quarantine_ids(&Filter::default(), None, 99).unwrap()
    }

    #[test]
    fn p7_nobody_hears_of_a_record_before_it_is_durable() {
        let engine = Memory::default();
        let quarantine = open(&engine, 1 << 20);
        keep(&quarantine, 0, Owed::default()).recv().unwrap().unwrap(); // its topic has a number now
        engine.flushes(Flushes::Wait);
        let told = keep(&quarantine, 1, Owed::default());
        engine.until_flushing(engine.flushing() + 1);
        assert!(told.try_recv().is_err());
        engine.flushes(Flushes::Work);
        told.recv().unwrap().unwrap();
    }

    #[test]
    fn a_row_is_extended_and_never_doubled_whether_or_not_it_is_durable_yet() {
        let engine = Memory::default();
        let quarantine = open(&engine, 1 << 20);
        let live = Owed::to_live(Timestamp::from_millis(7), BTreeSet::new());
        keep(&quarantine, 1, riders(&[1])).recv().unwrap().unwrap();
        let one = quarantine.weight();
        keep(&quarantine, 1, live.clone());
        keep(&quarantine, 1, riders(&[2])).recv().unwrap().unwrap();
        let [id] = &ids(&quarantine)[..] else { panic!("{:?}", ids(&quarantine)) };
        let row = look(&quarantine, id, None).unwrap();
        assert_eq!((row.owed.live, row.owed.riders), (live.live, riders(&[1, 2]).riders));
        assert_eq!((one.rows, quarantine.weight()), (1, one));
    }

    #[test]
    fn what_was_extended_a_moment_ago_is_seen_by_who_looks() {
        let engine = Memory::default();
        let quarantine = open(&engine, 1 << 20);
        keep(&quarantine, 1, riders(&[1])).recv().unwrap().unwrap();
        let id = ids(&quarantine).remove(0);
        keep(&quarantine, 1, riders(&[2]));
        assert_eq!(look(&quarantine, &id, Some(Becomes::default())).unwrap().owed, riders(&[1, 2]));
        assert!(ids(&quarantine).is_empty() && look(&quarantine, &id, None).is_none());
        keep(&quarantine, 1, riders(&[3])).recv().unwrap().unwrap();
        assert_eq!(look(&quarantine, &id, None).unwrap().owed, riders(&[3]), "what went does not come back");
    }

    #[test]
    fn a_row_that_becomes_others_is_counted_as_what_it_becomes() {
        let engine = Memory::default();
        let quarantine = open(&engine, 1 << 20);
        keep(&quarantine, 1, riders(&[1])).recv().unwrap().unwrap();
        let (id, one) = (ids(&quarantine).remove(0), quarantine.weight());
        let row = look(&quarantine, &id, None).unwrap();
        let named = |name: &str| Fault { mapping: Some(name.into()), ..fault("again") };
        let rows = ["placed", "other"].map(|name| Quarantined { fault: named(name), ..row.clone() }).into();
        look(&quarantine, &id, Some(Becomes { rows, batch: Batch::new() }));
        assert_eq!((ids(&quarantine).len(), quarantine.weight().rows), (2, 2));
        assert_eq!(look(&quarantine, &id, None).unwrap().fault, named("placed"), "the same row, with its new reason");
        let after_a_restart = open(&engine, 1 << 20).weight();
        assert_eq!((after_a_restart, quarantine.weight().rows), (quarantine.weight(), 2 * one.rows));
    }

    #[test]
    fn over_its_budget_there_is_room_for_what_is_there_already_and_for_nothing_else_until_something_goes() {
        let engine = Memory::default();
        let quarantine = open(&engine, 10);
        let has_room = |offset| quarantine.has_room(&record(offset), &[fault("x")]).unwrap();
        assert!(has_room(1), "one record may go beyond it");
        keep(&quarantine, 1, riders(&[1])).recv().unwrap().unwrap();
        assert_eq!((has_room(1), has_room(2)), (true, false));
        let reopened = open(&engine, 10);
        assert!(!reopened.has_room(&record(2), &[fault("x")]).unwrap(), "after a restart, too");
        look(&quarantine, &ids(&quarantine)[0].clone(), Some(Becomes::default()));
        assert!(has_room(2) && quarantine.weight() == Weight::default());
    }
}
