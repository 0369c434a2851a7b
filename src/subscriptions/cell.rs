//! A lane behind its lock, with the hands that do what it asks for.
//!
//! Everybody who speaks to a lane does it through [`Cell::act`]: intake offers, dispatch starts and finishes
//! attempts, timers tick. What the lane wants done is handed to the store and to the partitions' progress while
//! the lock is held, so that two changes of one row reach the store in the lane's order. Nothing here blocks:
//! the store takes a batch at once and calls back when it is durable.

use crate::deliver::target::Target;
use crate::lane::gate::Gate;
use crate::lane::signal::{AttemptId, Change, Disabling, Effect, Finished, Start, Turn, Write};
use crate::lane::state::Lane;
use crate::metrics::Metrics;
use crate::model::cursor::CursorMode;
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
use crate::runtime::fault;
use crate::runtime::random::Dice;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::subscriptions::inbox::Inbox;
use crate::subscriptions::narrowed::Narrowed;
use crate::subscriptions::news;
use crate::subscriptions::outbox::Outbox;
use crate::subscriptions::readers::Readers;
use crate::subscriptions::tally::Tally;
use arc_swap::ArcSwap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

/// One subscription's lane.
pub struct Cell {
    /// Whose.
    pub sid: Sid,
    /// What its replays mean.
    pub narrowed: Narrowed,
    /// What came of its attempts.
    pub tally: Tally,
    target: ArcSwap<Target>,
    state: Mutex<State>,
    room: Condvar,
    /// Attempts that are to be cut off, until their runners hear of it.
    cut: Mutex<HashSet<AttemptId>>,
    cut_more: Notify,
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
    /// Who waits for a reader.
    pub readers: Readers<Cell>,
    /// Subscriptions that their lanes want disabled: one that fails asks once an attempt until it is.
    pub disabling: Inbox<(Sid, Disabling)>,
    /// What is to be told to those who ask for it.
    pub outbox: Arc<Outbox>,
    dispatcher: OnceLock<Arc<dyn Dispatcher>>,
    stopped: AtomicBool,
    /// Ledger rows of all lanes.
    rows: AtomicUsize,
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
    /// Its ledger rows, as they are counted among those of all.
    rows: usize,
    armed: Option<Timestamp>,
    effects: Vec<Effect>,
    /// Who waits for room, and how few must be queued for it.
    waiting: Option<usize>,
}

// === impl Hands ===

impl Hands {
    /// Hands that act on this store and these partitions.
    #[must_use]
    pub fn new(store: Store, partitions: Arc<Partitions>, metrics: Metrics) -> Self {
        Self {
            outbox: Arc::new(Outbox::new(metrics.clone())),
            store,
            partitions,
            metrics,
            readers: Readers::default(),
            disabling: Inbox::default(),
            dispatcher: OnceLock::new(),
            stopped: AtomicBool::new(false),
            rows: AtomicUsize::new(0),
        }
    }

    /// Says who makes attempts; once. Without it lanes only collect.
    pub fn dispatch_by(&self, dispatcher: Arc<dyn Dispatcher>) {
        if self.dispatcher.set(dispatcher).is_err() {
            warn!("a second dispatcher was ignored");
        }
    }

    /// Ledger rows of all lanes together.
    #[must_use]
    pub fn ledger_rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// No lane starts an attempt any more.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

// === impl Cell ===

impl Cell {
    /// Puts a lane behind its lock.
    #[must_use]
    pub fn new(sid: Sid, lane: Lane, target: Target, hands: Arc<Hands>) -> Arc<Self> {
        let (dice, effects) = (Dice::new(), Vec::new());
        let state = State { lane, dice, runners: 0, rows: 0, armed: None, effects, waiting: None };
        let (target, state) = (ArcSwap::from_pointee(target), Mutex::new(state));
        let (cut, cut_more) = (Mutex::default(), Notify::new());
        let (narrowed, tally, room) = (Narrowed::default(), Tally::default(), Condvar::new());
        Arc::new(Self { sid, narrowed, tally, target, state, room, cut, cut_more, hands })
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
    pub fn act<T>(self: &Arc<Self>, work: impl FnOnce(&mut Lane, &mut Turn<'_>) -> T) -> T {
        self.act_in(&mut self.lock(), work)
    }

    /// The next attempt to make. `None` ends the runner that asked: another is started when there is work.
    pub fn next(self: &Arc<Self>) -> Option<Start> {
        let mut state = self.lock();
        let now = clock::now();
        let start = if self.hands.stopped.load(Ordering::Acquire) { None } else { state.lane.start(now) };
        if start.is_none() {
            state.runners -= 1;
            self.arm(&mut state, now);
        }
        if state.waiting.is_some_and(|enough| state.lane.queued() < enough) {
            state.waiting = None;
            self.room.notify_all();
        }
        start
    }

    /// Takes what came of an attempt.
    pub fn finished(self: &Arc<Self>, finished: Finished) {
        self.act(|lane, turn| lane.finished(finished, turn));
    }

    /// The event of a row that is given up was read.
    pub fn buried(self: &Arc<Self>, attempt: AttemptId, event: Arc<Emitted>) {
        self.act(|lane, turn| lane.buried(attempt, event, turn));
    }

    /// The event of a row cannot be read; the row stays as it is and is not tried before the next start.
    pub fn unreadable(self: &Arc<Self>, attempt: AttemptId) {
        error!(subscription = %self.sid, ?attempt, "a ledger row has no readable event; it is not tried before the next start");
        self.act(|lane, turn| lane.unreadable(attempt, turn));
    }

    /// What time brings; arms the next wake-up.
    pub fn tick(self: &Arc<Self>) {
        let mut state = self.lock();
        state.armed = None;
        self.act_in(&mut state, Lane::tick);
    }

    /// Ends when `attempt` is to be cut off: its partition goes, or the subscription does. Cancel-safe.
    pub async fn cut(&self, attempt: AttemptId) {
        loop {
            let more = self.cut_more.notified();
            tokio::pin!(more);
            more.as_mut().enable(); // what is cut between the look and the wait is heard
            if self.cut.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt) {
                return;
            }
            more.await;
        }
    }

    /// Waits until the queue has room for `more`, as long as a live lane with an open gate has earned. Blocks the
    /// thread. What finds no room then goes behind.
    pub fn wait_for_room(&self, at: &TopicPartition, more: usize) {
        let mut state = self.lock();
        if state.lane.has_room(more) || state.lane.gate() != Gate::Open || !state.lane.is_live(at) {
            return;
        }
        let (before, patience, queued) = (Instant::now(), state.lane.patience(), state.lane.queued());
        if patience.is_zero() {
            return;
        }
        // An eighth of the queue must be free: waking for each slot would cost more than it brings.
        state.waiting = Some((queued - queued / 8).saturating_sub(more.min(queued / 2)).max(1));
        let (mut state, _) = self
            .room
            .wait_timeout_while(state, patience, |state| state.waiting.is_some())
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting = None;
        state.lane.waited(before.elapsed());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act_in<T>(self: &Arc<Self>, state: &mut State, work: impl FnOnce(&mut Lane, &mut Turn<'_>) -> T) -> T {
        let mut effects = std::mem::take(&mut state.effects);
        let now = clock::now();
        let State { lane, dice, .. } = state;
        let answer = work(lane, &mut Turn { now, dice: &mut || dice.roll(), effects: &mut effects });
        let arm = self.follow(state, &mut effects);
        state.effects = effects;
        self.count(state);
        if state.lane.wants_runner(state.runners, now) && !self.hands.stopped.load(Ordering::Acquire) {
            let Some(dispatcher) = self.hands.dispatcher.get() else { return answer };
            state.runners += 1;
            dispatcher.run(Arc::clone(self));
        }
        if arm == Arm::Yes || state.armed.is_none() {
            self.arm(state, now);
        }
        answer
    }

    /// Counts its ledger rows among those of all lanes.
    fn count(&self, state: &mut State) {
        let rows = state.lane.rows();
        if rows != state.rows {
            self.hands.rows.fetch_add(rows.wrapping_sub(state.rows), Ordering::Relaxed); // wraps round when it is less
            state.rows = rows;
        }
    }

    /// Sees to it that the lane is woken in time.
    fn arm(self: &Arc<Self>, state: &mut State, now: Timestamp) {
        let Some(dispatcher) = self.hands.dispatcher.get() else { return };
        if let Some(at) = state.lane.wake_at(now)
            && state.armed.is_none_or(|armed| at < armed)
        {
            state.armed = Some(at);
            dispatcher.wake(self, at);
        }
    }

    /// Does what the lane asked for, in its order.
    fn follow(self: &Arc<Self>, state: &mut State, effects: &mut Vec<Effect>) -> Arm {
        let mut arm = Arm::No;
        for effect in effects.drain(..) {
            if let Effect::Settle(ticket) = effect {
                self.hands.partitions.settle(&ticket);
                continue;
            }
            arm = Arm::Yes;
            match effect {
                Effect::Settle(_) => {}
                Effect::Write(write) => self.write(&mut state.lane, write),
                Effect::Cut(attempt) => {
                    self.cut.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt);
                    self.cut_more.notify_waiters();
                }
                Effect::Disable(why) => self.hands.disabling.put([(self.sid, why)]),
                Effect::Mark(mark) => self.hands.outbox.mark(&self.hands.store, (self.sid, mark)),
                Effect::Read => self.hands.readers.call(self.sid, self),
                Effect::Ended(place) => {
                    info!(subscription = %self.sid, topic = %place.at.topic, partition = place.at.partition, "a replay has ended here");
                }
                Effect::News(news) => {
                    news::tell(self.sid, news, &self.hands.metrics);
                    self.hands.outbox.tell(&self.hands.store, (self.sid, news));
                }
            }
        }
        arm
    }

    /// INVARIANT (INV-3): durable, then the lane is told, then the tickets settle.
    fn write(self: &Arc<Self>, lane: &mut Lane, mut write: Write) {
        let mut batch = self.batch(lane, &write);
        let told = self.hands.outbox.add((self.sid, &write), &mut batch);
        let settles = std::mem::take(&mut write.settles);
        let cell = Arc::clone(self);
        self.hands.store.submit(batch, move |result| match result {
            Ok(()) => {
                cell.flushed(&write);
                fault::point("flushed.settles");
                settles.iter().for_each(|ticket| cell.hands.partitions.settle(ticket));
                cell.hands.outbox.written(told);
            }
            // Nothing settles, so nothing is committed; the store stays failed and the daemon stops.
            Err(error) => error!(subscription = %cell.sid, %error, "a delivery could not be made durable"),
        });
    }

    fn batch(self: &Arc<Self>, lane: &mut Lane, write: &Write) -> Batch {
        let mut batch = Batch::new();
        for change in &write.changes {
            match change {
                Change::Park(key, head, event) => {
                    fault::point("park");
                    let body_len = batch.park(key, head, &event.event);
                    lane.weigh(key, body_len);
                }
                Change::Head(key, head) => {
                    fault::point("park.again");
                    batch.head(key, head);
                }
                Change::Unpark(key, head) => {
                    fault::point("settle.row");
                    batch.unpark(key, head.body_len);
                }
                Change::Dead(key, head, dying) => {
                    fault::point("dead");
                    if let Some(head) = head {
                        batch.unpark(key, head.body_len);
                    }
                    self.hands.metrics.dead_letter(dying.reason);
                    lane.died(batch.dead_letter(&dying.letter(self.sid, clock::now())));
                }
                Change::Cursor(key, row) => {
                    debug!(subscription = %self.sid, partition = key.at.partition, offset = row.offset, mode = ?row.mode, "cursor");
                    fault::point(match row.mode {
                        CursorMode::Live => "cursor.live",
                        CursorMode::Behind => "cursor.behind",
                    });
                    self.hands.readers.has_cursor(self.sid, self);
                    batch.cursor(key, row);
                }
                Change::DropCursor(key) => {
                    fault::point("cursor.drops");
                    batch.drop_cursor(key);
                }
                Change::Lost(range) => {
                    fault::point("cursor.lost");
                    error!(subscription = %self.sid, topic = %range.at.topic, partition = range.at.partition,
                        from = range.from, to = range.to, "retention took records before they were read for this subscription");
                    self.hands.metrics.lost(u64::try_from(range.to - range.from).unwrap_or(0));
                    batch.lost(range);
                }
            }
        }
        batch
    }

    /// Rows are durable: a retry may be due earlier than what the lane is armed for.
    fn flushed(self: &Arc<Self>, write: &Write) {
        let mut state = self.lock();
        self.act_in(&mut state, |lane, turn| lane.flushed(write, turn));
        self.arm(&mut state, clock::now());
    }
}

/// Whether the next wake-up must be looked at again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arm {
    Yes,
    No,
}
