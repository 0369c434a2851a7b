//! A lane behind its lock, with the hands that do what it asks for.
//!
//! Everybody who speaks to a lane does it through [`Cell::act`]: intake offers, dispatch starts and finishes
//! attempts, timers tick. What the lane wants done is handed to the store and to the partitions' progress while
//! the lock is held, so that two changes of one row reach the store in the lane's order. Nothing here blocks:
//! the store takes a batch at once and calls back when it is durable.

use crate::deliver::target::Target;
use crate::lane::Lane;
use crate::lane::gate::Gate;
use crate::lane::signal::{AttemptId, Effect, Finished, Row, Start};
use crate::metrics::Metrics;
use crate::model::delivery::{LedgerKey, Ticket};
use crate::model::id::Sid;
use crate::model::time::Timestamp;
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
use crate::runtime::random::Dice;
use crate::store::Store;
use crate::store::batch::Batch;
use arc_swap::ArcSwap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::{error, warn};

/// One subscription's lane.
pub struct Cell {
    /// Whose.
    pub sid: Sid,
    target: ArcSwap<Target>,
    state: Mutex<State>,
    room: Condvar,
    hands: Arc<Hands>,
}

/// What cells act with; shared by all of them.
pub struct Hands {
    /// Where rows become durable.
    pub store: Store,
    /// Where deliveries settle.
    pub partitions: Arc<Partitions>,
    /// What is counted.
    pub metrics: Metrics,
    dispatcher: OnceLock<Arc<dyn Dispatcher>>,
    gone: Mutex<Vec<Sid>>,
    gone_more: Notify,
}

/// Who makes attempts.
pub trait Dispatcher: Send + Sync {
    /// Runs attempts of this lane until it has none to start; called with the lane's lock held, must not block.
    fn run(&self, cell: Arc<Cell>);
    /// Calls [`Cell::tick`] at `at`; called with the lane's lock held, must not block.
    fn wake(&self, cell: &Arc<Cell>, at: Timestamp);
}

struct State {
    lane: Lane,
    dice: Dice,
    runners: usize,
    armed: Option<Timestamp>,
    effects: Vec<Effect>,
    waiting: usize,
}

// === impl Hands ===

impl Hands {
    /// Hands that act on this store and these partitions.
    #[must_use]
    pub fn new(store: Store, partitions: Arc<Partitions>, metrics: Metrics) -> Self {
        let (dispatcher, gone, gone_more) = (OnceLock::new(), Mutex::new(Vec::new()), Notify::new());
        Self { store, partitions, metrics, dispatcher, gone, gone_more }
    }

    /// Says who makes attempts; once. Without it lanes only collect.
    pub fn dispatch_by(&self, dispatcher: Arc<dyn Dispatcher>) {
        if self.dispatcher.set(dispatcher).is_err() {
            warn!("a second dispatcher was ignored");
        }
    }

    /// Waits for subscriptions whose endpoint said that it is gone (410). Cancel-safe.
    pub async fn gone(&self) -> Vec<Sid> {
        loop {
            let gone = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
            if !gone.is_empty() {
                return gone;
            }
            self.gone_more.notified().await;
        }
    }
}

// === impl Cell ===

impl Cell {
    /// Puts a lane behind its lock.
    #[must_use]
    pub fn new(sid: Sid, lane: Lane, target: Target, hands: Arc<Hands>) -> Arc<Self> {
        let (dice, effects) = (Dice::new(), Vec::new());
        let state = State { lane, dice, runners: 0, armed: None, effects, waiting: 0 };
        let (target, state) = (ArcSwap::from_pointee(target), Mutex::new(state));
        Arc::new(Self { sid, target, state, room: Condvar::new(), hands })
    }

    /// What attempts are sent to now.
    #[must_use]
    pub fn target(&self) -> Arc<Target> {
        self.target.load_full()
    }

    /// Sends later attempts to another target.
    pub fn retarget(&self, target: Target) {
        self.target.store(Arc::new(target));
    }

    /// Lets `work` speak to the lane, then does what the lane asks for, in its order.
    pub fn act<T>(self: &Arc<Self>, work: impl FnOnce(&mut Lane, &mut Vec<Effect>) -> T) -> T {
        let mut state = self.lock();
        let mut effects = std::mem::take(&mut state.effects);
        let answer = work(&mut state.lane, &mut effects);
        self.follow(&mut state, effects);
        answer
    }

    /// The next attempt to make. `None` ends the runner that asked: another is started when there is work.
    pub fn next(self: &Arc<Self>) -> Option<Start> {
        let mut state = self.lock();
        let start = state.lane.start(clock::now());
        if start.is_none() {
            state.runners -= 1;
        }
        if state.waiting > 0 {
            self.room.notify_all();
        }
        start
    }

    /// Takes what came of an attempt.
    pub fn finished(self: &Arc<Self>, finished: Finished) {
        let mut state = self.lock();
        let mut effects = std::mem::take(&mut state.effects);
        let roll = state.dice.roll();
        state.lane.finished(finished, clock::now(), roll, &mut effects);
        self.follow(&mut state, effects);
    }

    /// The event of a retry cannot be read; the row stays as it is and is not tried before the next start.
    pub fn unreadable(&self, attempt: AttemptId, key: &LedgerKey) {
        error!(subscription = %self.sid, ?attempt, event = %key.event, "the ledger row has no readable event");
    }

    /// What time brings; arms the next wake-up.
    pub fn tick(self: &Arc<Self>) {
        let mut state = self.lock();
        state.armed = None;
        let mut effects = std::mem::take(&mut state.effects);
        state.lane.tick(clock::now(), &mut effects);
        self.follow(&mut state, effects);
    }

    /// Waits for room in the queue, as long as the lane has earned; gives whether it is worth offering again.
    /// Blocks the thread.
    pub fn wait_for_room(&self) -> Room {
        let mut state = self.lock();
        let patience = state.lane.patience();
        if patience.is_zero() || state.lane.gate() != Gate::Open {
            return Room::None;
        }
        let (before, queued) = (Instant::now(), state.lane.queued());
        // An eighth of the queue must be free: waking for each slot would cost more than it brings.
        let enough = queued - queued / 8;
        state.waiting += 1;
        let (mut state, _) = self
            .room
            .wait_timeout_while(state, patience.min(Duration::from_millis(20)), |state| state.lane.queued() >= enough)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.lane.waited(before.elapsed());
        Room::Perhaps
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the lane asked for, then starts a runner and arms the timer where that is needed.
    fn follow(self: &Arc<Self>, state: &mut State, mut effects: Vec<Effect>) {
        let mut wrote = false;
        for effect in effects.drain(..) {
            match effect {
                Effect::Settle(ticket) => self.hands.partitions.settle(&ticket),
                Effect::Write { row, settles } => {
                    wrote = true;
                    self.write(&mut state.lane, row, settles);
                }
                Effect::Disable => {
                    self.hands.gone.lock().unwrap_or_else(PoisonError::into_inner).push(self.sid);
                    self.hands.gone_more.notify_one();
                }
            }
        }
        state.effects = effects;
        let now = clock::now();
        let Some(dispatcher) = self.hands.dispatcher.get() else { return };
        if state.lane.wants_runner(state.runners, now) {
            state.runners += 1;
            dispatcher.run(Arc::clone(self));
        }
        if (wrote || state.armed.is_none())
            && let Some(at) = state.lane.wake_at(now)
            && state.armed.is_none_or(|armed| at < armed)
        {
            state.armed = Some(at);
            dispatcher.wake(self, at);
        }
    }

    /// INVARIANT (INV-3): durable, then the lane is told, then the tickets settle.
    fn write(self: &Arc<Self>, lane: &mut Lane, row: Row, settles: Vec<Ticket>) {
        let mut batch = Batch::new();
        match &row {
            Row::Park(key, head, event) => {
                let body_len = batch.park(key, head, &event.event);
                lane.weigh(key, body_len);
            }
            Row::Head(key, head) => batch.head(key, head),
            Row::Unpark(key, head) => batch.unpark(key, head.body_len),
            Row::Dead(key, head, dying) => {
                if let Some(head) = head {
                    batch.unpark(key, head.body_len);
                }
                self.hands.metrics.dead_letter(dying.reason);
                batch.dead_letter(&dying.letter(self.sid, clock::now()));
            }
        }
        let cell = Arc::clone(self);
        self.hands.store.submit(batch, move |result| match result {
            Ok(()) => {
                cell.act(|lane, effects| lane.flushed(&row, effects));
                settles.iter().for_each(|ticket| cell.hands.partitions.settle(ticket));
            }
            // Nothing settles, so nothing is committed; the store stays failed and the daemon stops.
            Err(error) => error!(subscription = %cell.sid, %error, "a delivery could not be made durable"),
        });
    }
}

/// Whether waiting may have brought room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Offer again.
    Perhaps,
    /// The lane has not earned more waiting: park.
    None,
}
