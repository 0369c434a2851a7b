//! Lanes with places that wait for a scan: from their call until none of their places does.

use crate::catchup::turns::{Waiting, Who};
use crate::lane::signal::Rider;
use crate::model::id::Sid;
use crate::subscriptions::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The lanes that called; shared by all scans.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<Sid, Weak<Cell>>>);

/// A place that waits.
#[derive(Clone)]
pub(crate) struct Waiter {
    pub(crate) cell: Arc<Cell>,
    pub(crate) rider: Rider,
}

// === impl Waiters ===

impl Waiters {
    /// These lanes called.
    pub(crate) fn add(&self, cells: Vec<Arc<Cell>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(cells.into_iter().map(|cell| (cell.sid, Arc::downgrade(&cell))));
    }

    /// All places that wait now. A lane without any is left out from here on: it calls again. Both happen under one
    /// lock, or a call that comes in between would be lost.
    pub(crate) fn look(&self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, cell| {
            let Some(cell) = cell.upgrade() else { return false };
            let riders = cell.act(|lane, _| lane.riders());
            let waits = !riders.is_empty();
            waiters.extend(riders.into_iter().map(|rider| Waiter { cell: Arc::clone(&cell), rider }));
            waits
        });
        waiters
    }
}

// === impl Waiter ===

impl Waiter {
    pub(crate) fn who(&self) -> Who {
        Who { sid: self.cell.sid, stream: self.rider.place.stream }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        let Rider { place, next, since, room, .. } = &self.rider;
        Waiting { at: place.at.clone(), who: self.who(), next: *next, since: *since, room: *room }
    }
}
