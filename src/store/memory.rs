//! An engine in memory for tests: it remembers what happened in which order, and what a kill at each instant leaves.

use crate::store::engine::{Each, Engine, Op, Tree};
use crate::store::error::StoreError;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The engine; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<(Mutex<Inner>, Condvar)>);

type Rows = BTreeMap<(Tree, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct Inner {
    rows: Rows,
    history: Vec<Event>,
    flushes: Flushes,
    entered: usize,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// These changes of a tree were applied.
    Applied(Tree, Vec<Op>),
    /// What was applied became durable.
    Flushed,
    /// The test was told that its next batch is durable.
    Told,
}

/// What a flush does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flushes {
    /// It works.
    #[default]
    Work,
    /// It waits.
    Wait,
    /// It fails.
    Fail,
    /// It panics.
    Panic,
}

// === impl Memory ===

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.0.lock().unwrap()
    }

    /// What flushes do from now on.
    pub(crate) fn flushes(&self, flushes: Flushes) {
        self.lock().flushes = flushes;
        self.0.1.notify_all();
    }

    /// Waits until `many` flushes began.
    pub(crate) fn until_flushing(&self, many: usize) {
        drop(self.0.1.wait_while(self.lock(), |inner| inner.entered < many).unwrap());
    }

    /// How many flushes began.
    pub(crate) fn flushing(&self) -> usize {
        self.lock().entered
    }

    /// The test was told that its next batch is durable.
    pub(crate) fn told(&self) {
        self.lock().history.push(Event::Told);
    }

    /// All that happened.
    pub(crate) fn history(&self) -> Vec<Event> {
        self.lock().history.clone()
    }

    /// How many rows there are, durable or not.
    pub(crate) fn rows(&self) -> usize {
        self.lock().rows.len()
    }

    /// The length of the longest value.
    pub(crate) fn longest(&self) -> usize {
        self.lock().rows.values().map(Vec::len).max().unwrap_or(0)
    }

    /// How many rows of the tree `state` begin with this byte.
    pub(crate) fn rows_of(&self, kind: u8) -> usize {
        self.lock().rows.keys().filter(|(tree, key)| *tree == Tree::State && key.first() == Some(&kind)).count()
    }

    /// What kills right after `history` may leave: all that was flushed, and any prefix of what was not.
    pub(crate) fn after_kill(history: &[Event]) -> Vec<Self> {
        let (mut rows, mut unflushed) = (Rows::new(), Vec::new());
        for event in history {
            match event {
                Event::Applied(tree, changes) => unflushed.push((*tree, changes)),
                Event::Flushed => unflushed.drain(..).for_each(|(tree, changes)| apply(&mut rows, tree, changes)),
                Event::Told => {}
            }
        }
        let engine = |rows: &Rows| {
            Self(Arc::new((Mutex::new(Inner { rows: rows.clone(), ..Inner::default() }), Condvar::new())))
        };
        let mut left = vec![engine(&rows)];
        for (tree, changes) in unflushed {
            apply(&mut rows, tree, changes);
            left.push(engine(&rows));
        }
        left
    }
}

impl Engine for Memory {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.lock().rows.get(&(tree, key.to_vec())).cloned())
    }

    fn scan(&self, tree: Tree, prefix: &[u8], after: &[u8], each: &mut Each<'_>) -> Result<(), StoreError> {
        let rows = self.lock().rows.clone();
        let ours = |key: &[u8]| key.starts_with(prefix) && (after.is_empty() || key > after);
        for ((_, key), value) in rows.iter().filter(|((of, key), _)| *of == tree && ours(key)) {
            if each(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, tree: Tree, changes: &[Op]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        apply(&mut inner.rows, tree, changes);
        inner.history.push(Event::Applied(tree, changes.to_vec()));
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.entered += 1;
        self.0.1.notify_all();
        let mut inner = self.0.1.wait_while(inner, |inner| inner.flushes == Flushes::Wait).unwrap();
        match inner.flushes {
            Flushes::Fail => Err(StoreError::Sync(Arc::new(io::Error::from(io::ErrorKind::StorageFull)))),
            Flushes::Panic => {
                drop(inner);
                panic!("as the test asked")
            }
            Flushes::Work | Flushes::Wait => {
                inner.history.push(Event::Flushed);
                Ok(())
            }
        }
    }

    fn size(&self) -> u64 {
        self.lock().rows.iter().map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }
}

fn apply(rows: &mut Rows, tree: Tree, changes: &[Op]) {
    for change in changes {
        match change {
            Op::Put(key, value) => drop(rows.insert((tree, key.clone()), value.clone())),
            Op::Delete(key) => drop(rows.remove(&(tree, key.clone()))),
        }
    }
}
