//! What all scans share.

use crate::catchup::lately::Lately;
use crate::catchup::turns::{Choice, Next, Over, Stand, Turns, Waiting};
use crate::catchup::waiters::{Waiter, Waiters};
use crate::lane::signal::PlaceKey;
use crate::model::cursor::CursorRow;
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::pipeline::Pipeline;
use crate::quarantine::Quarantine;
use crate::registry::desk::Desk;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::Board;
use crate::store::space::Space;
use crate::subscriptions::Directory;
use crate::subscriptions::cell::Cell;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What all scans share.
pub(crate) struct Parts {
    pub(crate) pipeline: Arc<ArcSwap<Pipeline>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) board: Board,
    pub(crate) shutdown: Shutdown,
    /// How many scans there are at once.
    pub(crate) scans: usize,
    pub(crate) waiters: Waiters,
    pub(crate) turns: Mutex<Turns>,
    pub(crate) lately: Lately,
}

/// Where a place of a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stands {
    pub(crate) sid: Sid,
    pub(crate) at: TopicPartition,
    pub(crate) row: CursorRow,
}

// === impl Parts ===

impl Parts {
    /// Waits for lanes that call, `at_most` so long.
    pub(crate) fn listen(&self, at_most: Duration) {
        self.waiters.add(self.directory.hands().readers.wait(at_most));
    }

    /// All places that wait, of lanes that have called by now.
    pub(crate) fn look(&self) -> Vec<Waiter> {
        self.listen(Duration::ZERO);
        self.waiters.look()
    }

    /// What is scanned next by a thread whose reader stands there, and who waits; until [`Parts::over`] it is nobody
    /// else's. Places that have nothing left to read are told to intake instead.
    pub(crate) fn next(&self, stand: Option<&Stand>) -> Next<(Choice, Vec<Waiter>)> {
        let hands = self.directory.hands();
        if hands.store.space() == Space::Hard {
            return Next::Nobody; // what is read could not be parked, nor a cursor moved
        }
        let waiters = self.look();
        let position = |at: &TopicPartition| hands.partitions.with(at, |progress| progress.position());
        for Waiter { cell, rider } in &waiters {
            let at = &rider.place.at;
            if rider.place.stream == 0 && position(at).is_some_and(|position| rider.next >= position) {
                hands.readers.ask_to_join(cell.sid, cell, at);
            }
        }
        let waiting = waiters.iter().map(Waiter::waiting).collect::<Vec<Waiting>>();
        match self.turns().choose((&waiting, stand), position, clock::now()) {
            Next::Scan(choice) => Next::Scan((choice, waiters)),
            Next::Soon => Next::Soon,
            Next::Nobody => Next::Nobody,
        }
    }

    /// The cursors of all lanes.
    pub(crate) fn cursors(&self) -> Vec<Stands> {
        let cells = self.directory.hands().readers.with_cursors();
        let of = |cell: &Arc<Cell>| {
            let named = |(place, row): (&PlaceKey, CursorRow)| Stands { sid: cell.sid, at: place.at.clone(), row };
            cell.act(|lane, _| lane.cursors().map(named).collect::<Vec<_>>())
        };
        cells.iter().flat_map(of).collect()
    }

    /// A scan is over.
    pub(crate) fn over(&self, at: &TopicPartition, over: Over) {
        self.turns().over(at, over, clock::now());
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
