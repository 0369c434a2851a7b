//! Loop 2: lanes with work become attempts, attempts become outcomes, time wakes lanes.
//!
//! A lane that has work gets runners, at most as many as it has slots. A runner makes one attempt after the
//! other and ends when its lane has none to start, so a busy lane costs no hand-over between tasks and an idle
//! one costs nothing. What an outcome means is the lane's business, what becomes of it the cell's.

pub mod handshakes;
mod timers;

use crate::deliver::{self, request::Moment};
use crate::dispatch::timers::Timers;
use crate::egress::client::HttpTransport;
use crate::lane::signal::{Finished, What};
use crate::metrics::Metrics;
use crate::model::delivery::LedgerKey;
use crate::model::event::Emitted;
use crate::model::outcome::Outcome;
use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::store::Store;
use crate::subscriptions::cell::{Cell, Dispatcher};
use crate::traces::tracer::Tracer;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::field::display;
use tracing::{debug, error};

/// Ledger rows that are read at the same time: a read takes microseconds, and when a hundred endpoints are back at once
/// a thread for each of their slots would take more memory than it saves time.
const READERS: usize = 8;

/// Makes attempts for all lanes.
pub struct Dispatch {
    crew: Arc<Crew>,
    tasks: TaskTracker,
    runtime: Handle,
    timers: Timers,
    cut: Shutdown,
}

/// What every runner needs.
struct Crew {
    transport: HttpTransport,
    store: Store,
    metrics: Metrics,
    tracer: Tracer,
    /// Who reads a ledger row: each does so on a thread of its own.
    reading: Semaphore,
}

// === impl Dispatch ===

impl Dispatch {
    /// Dispatches on the runtime that this is called in.
    #[must_use]
    pub fn new(transport: HttpTransport, store: Store, metrics: Metrics, tracer: Tracer) -> Arc<Self> {
        let crew = Arc::new(Crew { transport, store, metrics, tracer, reading: Semaphore::new(READERS) });
        let (tasks, runtime) = (TaskTracker::new(), Handle::current());
        Arc::new(Self { crew, tasks, runtime, timers: Timers::default(), cut: Shutdown::default() })
    }

    /// Wakes lanes when their time has come; ends when everything is cut off.
    pub async fn keep_time(&self) {
        loop {
            tokio::select! {
                biased;
                () = self.cut.stopped() => return,
                cell = self.timers.next() => cell.tick(),
            }
            tokio::task::coop::consume_budget().await; // a lane that is due again and again must not starve the others
        }
    }

    /// Waits for attempts that are out, `at_most` so long, then cuts off what is left. Lanes must have been told
    /// to stop.
    pub async fn stop(&self, at_most: Duration) {
        self.tasks.close();
        if tokio::time::timeout(at_most, self.tasks.wait()).await.is_err() {
            self.cut.stop();
            self.tasks.wait().await;
        }
        self.cut.stop();
    }
}

impl Dispatcher for Dispatch {
    fn run(&self, cell: Arc<Cell>) {
        let runner = run(Arc::clone(&self.crew), cell, self.cut.clone());
        self.tasks.spawn_on(runner, &self.runtime);
    }

    fn wake(&self, cell: &Arc<Cell>, at: Timestamp) {
        self.timers.add(at, cell);
    }
}

/// Makes one attempt after the other until the lane has none to start.
async fn run(crew: Arc<Crew>, cell: Arc<Cell>, cut: Shutdown) {
    while let Some(start) = cell.next() {
        let ended = tokio::select! {
            biased;
            () = cut.stopped() => return, // parked already: its row is durable, its outcome unknown
            () = cell.cut(start.attempt) => continue,
            ended = crew.make(&cell, start.what) => ended,
        };
        let attempt = start.attempt;
        match ended {
            Ended::Answered(outcome, event) => cell.finished(Finished { attempt, outcome, event }),
            Ended::Read(event) => cell.buried(attempt, event),
            Ended::Unreadable => cell.unreadable(attempt),
        }
    }
}

/// How an attempt ended.
enum Ended {
    /// With an outcome; with the event when it came from the ledger.
    Answered(Outcome, Option<Arc<Emitted>>),
    /// The event of a row that is given up.
    Read(Arc<Emitted>),
    /// The row's event cannot be read.
    Unreadable,
}

// === impl Crew ===

impl Crew {
    async fn make(&self, cell: &Cell, what: What) -> Ended {
        match what {
            What::First(event) => Ended::Answered(self.attempt(cell, &[event]).await, None),
            What::Batch(events) => Ended::Answered(self.attempt(cell, &events).await, None),
            What::Retry(key) => {
                self.metrics.retry();
                let Some(event) = self.read(cell, key).await else { return Ended::Unreadable };
                Ended::Answered(self.attempt(cell, std::slice::from_ref(&event)).await, Some(event))
            }
            What::Bury(key) => self.read(cell, key).await.map_or(Ended::Unreadable, Ended::Read),
        }
    }

    async fn read(&self, cell: &Cell, key: LedgerKey) -> Option<Arc<Emitted>> {
        let _turn = self.reading.acquire().await;
        let store = self.store.clone();
        match tokio::task::spawn_blocking(move || store.ledger_event(&key)).await {
            Ok(Ok(Some(event))) => return Some(Arc::new(Emitted::new(event))),
            Ok(Ok(None)) => error!(subscription = %cell.sid, "a ledger row has no event"),
            Ok(Err(error)) => error!(subscription = %cell.sid, %error, "a ledger row cannot be read"),
            Err(error) => error!(subscription = %cell.sid, %error, "reading a ledger row was cut off"),
        }
        None
    }

    async fn attempt(&self, cell: &Cell, events: &[Arc<Emitted>]) -> Outcome {
        let (target, before) = (cell.target(), Instant::now());
        let attempt = self.tracer.attempt(events, &target.subscription, &target.url);
        let (trace, moment) = (attempt.context, Moment { now: clock::now(), trace: attempt.context });
        self.metrics.in_flight_attempts(1);
        let outcome = match events {
            [event] => deliver::attempt(&self.transport, &target, event, moment).await,
            events => deliver::attempt_batch(&self.transport, &target, events, moment).await,
        };
        attempt.ended(&outcome);
        self.metrics.in_flight_attempts(-1);
        self.metrics.attempted(&outcome, before.elapsed());
        cell.tally.count(&outcome);
        if outcome.accepted() {
            let (now, accepted) = (clock::now(), events.iter().map(|event| event.event.origin.timestamp));
            accepted.for_each(|written| self.metrics.delivery_age(now.since(written)));
        } else if let Some(first) = events.first() {
            let (trace_id, span_id) = (trace.map(|trace| display(trace.trace)), trace.map(|trace| display(trace.span)));
            debug!(subscription = %cell.sid, event = %first.event.id, events = events.len(), %outcome, trace_id, span_id,
                "attempt failed");
        }
        outcome
    }
}
