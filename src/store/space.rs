//! How much room the disk has, and the two floors below which the store holds back.

use crate::store::engine::Engine;
use crate::store::error::StoreError;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// How long a reading counts.
const FRESH: Duration = Duration::from_secs(1);

/// What the free space allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// Everything.
    Enough,
    /// Less than twice `store.min_free` is free.
    Soft,
    /// Less than `store.min_free` is free: nothing is written, ingest pauses.
    Hard,
}

/// Reads the free bytes of a disk; tests put their own in its place.
pub type Meter = Box<dyn Fn() -> Result<u64, StoreError> + Send + Sync>;

/// The floors, and the last reading.
pub(crate) struct Floors {
    meter: Meter,
    min_free: u64,
    last: Mutex<Option<(Instant, u64)>>,
}

/// The disk of a store; all of it in bytes.
pub struct Disk<'s> {
    pub(crate) floors: &'s Floors,
    pub(crate) engine: &'s dyn Engine,
}

// === impl Disk ===

impl Disk<'_> {
    /// What the files of the store take. Blocks.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.engine.size()
    }

    /// What is free, at most a second ago.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.floors.free()
    }

    /// Free bytes below which nothing is written.
    #[must_use]
    pub fn min_free(&self) -> u64 {
        self.floors.min_free
    }
}

// === impl Floors ===

impl Floors {
    pub(crate) fn new(meter: Meter, min_free: u64) -> Self {
        Self { meter, min_free, last: Mutex::new(None) }
    }

    /// What the free space allows, at most a second old.
    pub(crate) fn space(&self) -> Space {
        match self.free() {
            free if free < self.min_free => Space::Hard,
            free if free < self.min_free.saturating_mul(2) => Space::Soft,
            _ => Space::Enough,
        }
    }

    /// Free bytes, at most a second old. A disk that cannot be asked counts as one with room: writing will tell.
    pub(crate) fn free(&self) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, free)) if at.elapsed() < FRESH => free,
            _ => {
                let free = (self.meter)().unwrap_or(u64::MAX);
                *last = Some((Instant::now(), free));
                free
            }
        }
    }
}

/// Asks the file system that holds `path`.
pub(crate) fn disk(path: PathBuf) -> Meter {
    Box::new(move || {
        let stat = rustix::fs::statvfs(&path);
        let stat = stat.map_err(|error| StoreError::Sync(std::sync::Arc::new(error.into())))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    })
}
