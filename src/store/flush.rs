//! The one writer: takes all that waits as one batch, applies it, flushes, syncs, and only then says so.
//!
//! Group commit (protocol T11): however many wait, a tick costs one sync. Below the hard floor of free space it
//! holds what waits until there is room again: nothing is refused and nothing is lost, because nothing settles.
//! The first failure is for good: every later batch fails, too, and the process stops with a reason.

use crate::runtime::fault;
use crate::store::batch::Batch;
use crate::store::engine::{Engine, Tree};
use crate::store::error::StoreError;
use crate::store::space::{Floors, Space};
use crate::store::topics::{Numbers, Topics};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// Between two flushes at least so long passes while something waits.
const TICK: Duration = Duration::from_millis(20);
/// How often the disk is asked again when it is full.
const ROOM: Duration = Duration::from_millis(200);
/// Batches that are written at once at most, so that one tick stays short.
const MOST: usize = 4_096;

/// Runs when a batch is durable, or when it cannot become so.
pub(crate) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What the writer and those who submit share.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
    failed: Mutex<Option<StoreError>>,
}

#[derive(Default)]
struct Waiting {
    batches: VecDeque<(Batch, Done)>,
    closed: bool,
}

/// The writer's own side.
pub(crate) struct Writer<E> {
    pub(crate) engine: Arc<E>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) floors: Arc<Floors>,
    pub(crate) topics: Topics,
    /// Told how long each flush took.
    pub(crate) flushed: Box<dyn Fn(Duration) + Send>,
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), more: Condvar::new(), failed: Mutex::new(None) }
    }

    pub(crate) fn submit(&self, batch: Batch, done: Done) {
        let mut waiting = self.lock();
        if waiting.closed {
            drop(waiting);
            done(Err(self.failure().unwrap_or(StoreError::Closed)));
            return;
        }
        waiting.batches.push_back((batch, done));
        self.more.notify_one();
    }

    /// Waits until a batch is durable. Blocks.
    pub(crate) fn durable(&self, batch: Batch) -> Result<(), StoreError> {
        let (done, wait) = std::sync::mpsc::channel();
        self.submit(batch, Box::new(move |result| drop(done.send(result))));
        wait.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Nothing more is taken; what waits is still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }

    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for batches; `None` when it is closed and nothing is left.
    fn take(&self) -> Option<Vec<(Batch, Done)>> {
        let mut waiting = self.lock();
        while waiting.batches.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let many = waiting.batches.len().min(MOST);
        Some(waiting.batches.drain(..many).collect())
    }

    /// Nobody writes any more: closed, and failed when that is for a panic. Gives what waits.
    fn abandon(&self) -> VecDeque<(Batch, Done)> {
        let mut waiting = self.lock();
        if std::thread::panicking() && self.failure().is_none() {
            self.fail(&StoreError::Broken);
        }
        waiting.closed = true;
        std::mem::take(&mut waiting.batches)
    }

    fn fail(&self, error: &StoreError) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    }
}

impl<E> Drop for Writer<E> {
    /// A writer that broke down must not leave anybody waiting for it in vain.
    fn drop(&mut self) {
        let left = self.queue.abandon();
        left.into_iter().for_each(|(_, done)| done(Err(self.queue.failure().unwrap_or(StoreError::Closed))));
    }
}

// === impl Writer ===

impl<E: Engine> Writer<E> {
    /// Writes until the queue is closed and empty; on a thread of its own.
    pub(crate) fn run(self) {
        let mut last = Instant::now().checked_sub(TICK);
        loop {
            if let Some(wait) = last.and_then(|last| TICK.checked_sub(last.elapsed())) {
                std::thread::sleep(wait); // not a poll: what comes meanwhile rides on the same sync
            }
            let Some(taken) = self.queue.take() else { return };
            self.wait_for_room();
            let before = Instant::now();
            let (batches, waiting): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
            let result = match self.queue.failure() {
                Some(failure) => Err(failure),
                None => self.write(batches),
            };
            if let Err(failure) = &result
                && self.queue.failure().is_none()
            {
                error!(%failure, "the store failed; nothing settles any more");
                self.queue.fail(failure);
            }
            (self.flushed)(before.elapsed());
            fault::point("store.flushed");
            waiting.into_iter().for_each(|done| done(result.clone()));
            fault::point("store.told");
            last = Some(Instant::now());
        }
    }

    /// INVARIANT (INV-3): applied, flushed and synced before anybody hears of it.
    fn write(&self, batches: Vec<Batch>) -> Result<(), StoreError> {
        fault::point("store.before");
        let (numbers, mut changes) = (Numbers { topics: &self.topics, engine: &*self.engine }, Vec::new());
        for batch in batches {
            batch.encode(&numbers, &mut changes)?;
        }
        // An operational event before the status that it tells of: a kill in between must not leave that untold.
        for tree in [Tree::Meta, Tree::State, Tree::Config] {
            let of_tree = changes.iter().filter(|(of, _)| *of == tree).map(|(_, op)| op.clone()).collect::<Vec<_>>();
            if !of_tree.is_empty() {
                self.engine.apply(tree, &of_tree)?;
            }
        }
        fault::point("store.applied");
        self.engine.flush()
    }

    fn wait_for_room(&self) {
        let mut said = false;
        while self.floors.space() == Space::Hard && self.queue.failure().is_none() && !self.queue.lock().closed {
            if !said {
                warn!(free = self.floors.free(), "the disk is full: nothing is written until there is room");
                said = true;
            }
            std::thread::sleep(ROOM);
        }
    }
}
