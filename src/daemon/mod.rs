//! Builds the house from its config, runs it, and stops it in order.
//!
//! Up: store, lanes with what they owe, attempts, listeners, then the consumer group. Down, within the grace:
//! readiness goes off, nothing more is admitted, lanes drain, what is left is parked, offsets are committed, the
//! group is left, the store is closed. A store that fails stops the process with a reason: nothing settles
//! without it, so nothing is lost.

pub mod adopt;
pub mod error;

use crate::catchup::Catchup;
use crate::config::Config;
use crate::daemon::error::DaemonError;
use crate::dispatch::Dispatch;
use crate::egress::client::HttpTransport;
use crate::egress::guard::Guard;
use crate::intake::{Intake, IntakeError};
use crate::metrics::Metrics;
use crate::pipeline::Pipeline;
use crate::progress::partitions::Partitions;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::{Board, Health};
use crate::store::Store;
use crate::store::settings::StoreSettings;
use crate::store::space::Space;
use crate::subscriptions::Directory;
use crate::subscriptions::cell::Hands;
use crate::web;
use arc_swap::ArcSwap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tracing::{error, info, warn};

/// How long lanes may drain at most; the rest of the grace is for parking, the last commit and the listeners.
const DRAIN: Duration = Duration::from_secs(10);

/// How often the store's health is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A daemon that runs.
#[derive(Debug)]
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics and health listen.
    pub ops: SocketAddr,
    /// Ends when the daemon has stopped.
    pub join: JoinHandle<Result<(), DaemonError>>,
}

/// What runs.
struct House {
    board: Board,
    directory: Arc<Directory>,
    dispatch: Arc<Dispatch>,
    store: Store,
    shutdown: Shutdown,
    drain: Duration,
}

/// Runs the daemon until `shutdown`.
///
/// # Errors
/// What kept it from starting or going on.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), DaemonError> {
    let running = start(config, shutdown).await?;
    running.join.await.map_err(|error| DaemonError::Broken(error.to_string()))?
}

/// Starts the daemon; it listens when this answers, and joins the group in the background.
///
/// # Errors
/// What kept it from starting.
pub async fn start(config: Config, shutdown: Shutdown) -> Result<Running, DaemonError> {
    let board = Board::default();
    let (metrics, partitions) = (Metrics::new(), Arc::new(Partitions::default()));
    let store = open(config.store, metrics.clone()).await?;
    let hands = Arc::new(Hands::new(store.clone(), Arc::clone(&partitions), metrics.clone()));
    let (guard, transport) = (Guard::new(config.egress.clone()), HttpTransport::new(&config.egress)?);
    let (defaults, loading) = (config.delivery, Arc::clone(&hands));
    let directory = blocking(move || Ok::<_, DaemonError>(Directory::load(loading, defaults)?)).await?;
    let dispatch = Dispatch::new(transport.clone(), store.clone(), metrics.clone());
    hands.dispatch_by(Arc::clone(&dispatch) as _);
    board.update(|report| {
        (report.started, report.generation, report.store) = (clock::now(), 1, Health::Good);
        report.intake_beat = clock::now();
    });
    let pipeline = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
    let pipeline = Arc::new(ArcSwap::from_pointee(pipeline.publishing(config.catalogue, config.validate)));
    let state = web::state::State {
        transport,
        kafka: config.kafka.clone(),
        pipeline: Arc::clone(&pipeline),
        directory: Arc::clone(&directory),
        store: store.clone(),
        board: board.clone(),
        metrics: metrics.clone(),
        guard,
    };
    let listeners = web::bind(&config.api, &config.metrics).await?;
    let (api, ops) = (listeners.api, listeners.ops);
    let catchup = Catchup {
        kafka: config.kafka.clone(),
        pipeline: Arc::clone(&pipeline),
        directory: Arc::clone(&directory),
        board: board.clone(),
        shutdown: shutdown.clone(),
        scans: config.scans,
    };
    let drain = (config.grace / 2).min(DRAIN);
    let intake = Intake {
        pipeline,
        directory: Arc::clone(&directory),
        partitions,
        board: board.clone(),
        shutdown: shutdown.clone(),
        settings: config.limits,
        drain,
    };
    let house = House { board, directory, dispatch, store, shutdown, drain };
    let kafka = config.kafka;
    let loops =
        Loops { intake: thread("intake", move || intake.run(&kafka))?, catchup: thread("catchup", || catchup.run())? };
    let serving = Shutdown::default();
    let mut tasks = JoinSet::new();
    let web = listeners.serve(state, serving.clone());
    tasks.spawn(async move { Ok(web.await?) });
    tasks.spawn(house.keep_time());
    tasks.spawn(house.disable_on_demand(serving.clone()));
    #[allow(clippy::disallowed_methods, reason = "`Running::join` is awaited by who started the daemon")]
    let join = tokio::spawn(house.live(loops, tasks, serving));
    Ok(Running { api, ops, join })
}

/// Opens the store; each of its flushes is counted.
async fn open(settings: StoreSettings, metrics: Metrics) -> Result<Store, DaemonError> {
    let flushed = Box::new(move |took| metrics.store_flush(took));
    blocking(move || Ok::<_, DaemonError>(Store::open(&settings, flushed)?)).await
}

/// The loops that have threads of their own, until they end.
struct Loops {
    intake: oneshot::Receiver<Result<(), IntakeError>>,
    catchup: oneshot::Receiver<()>,
}

// === impl House ===

impl House {
    /// Runs until the stop or until a part cannot go on, then stops everything in order.
    async fn live(
        self,
        mut loops: Loops,
        mut tasks: JoinSet<Result<(), DaemonError>>,
        serving: Shutdown,
    ) -> Result<(), DaemonError> {
        let ended = tokio::select! {
            biased;
            () = self.shutdown.stopped() => Ok(()),
            why = self.store_fails() => Err(why),
            Some(task) = tasks.join_next() => flat(task).and(Err(DaemonError::Broken("a listener ended".into()))),
            done = &mut loops.intake => flat_intake(done).and(Err(DaemonError::Broken("the consumer ended".into()))),
        };
        if let Err(error) = &ended {
            error!(%error, "cannot go on");
        }
        info!("stopping");
        self.stop(loops).await;
        serving.stop();
        while let Some(task) = tasks.join_next().await {
            if let Err(error) = flat(task) {
                warn!(%error, "while stopping");
            }
        }
        info!("stopped");
        ended
    }

    /// Stops in order: nothing more is admitted, lanes drain, the rest is parked and committed, the store closes.
    async fn stop(&self, loops: Loops) {
        self.board.update(|report| report.stopping = true);
        self.shutdown.stop();
        // The consumer drains and parks by itself, twice bounded; a broker that is away may hold it longer.
        if !loops.intake.is_terminated() {
            match tokio::time::timeout(self.drain + Duration::from_secs(8), loops.intake).await {
                Ok(done) => drop(flat_intake(done).inspect_err(|error| warn!(%error, "while stopping"))),
                Err(_) => warn!("the consumer did not leave in time; its last commit may be missing"),
            }
        }
        if tokio::time::timeout(Duration::from_secs(2), loops.catchup).await.is_err() {
            warn!("a scan did not end in time; what it reads is read again");
        }
        self.directory.hands().stop();
        self.dispatch.stop(Duration::from_millis(500)).await;
        let store = self.store.clone();
        if let Err(error) = blocking(move || Ok::<_, DaemonError>(store.close()?)).await {
            error!(%error, "while closing the store");
        }
    }

    /// Waits until the store fails; meanwhile tells the board how it is.
    async fn store_fails(&self) -> DaemonError {
        loop {
            let health = self.store.health();
            let full = self.store.space() == Space::Hard;
            self.board.update(|report| {
                report.store = match (&health, full) {
                    (Some(error), _) => Health::Bad(error.to_string()),
                    (None, true) => Health::Bad("the disk is full: free space is below store.min_free".into()),
                    (None, false) => Health::Good,
                };
            });
            if let Some(error) = health {
                return error.into();
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn keep_time(&self) -> impl Future<Output = Result<(), DaemonError>> + Send + 'static {
        let dispatch = Arc::clone(&self.dispatch);
        async move {
            dispatch.keep_time().await;
            Ok(())
        }
    }

    /// Disables, durably, subscriptions whose lanes want it.
    fn disable_on_demand(&self, serving: Shutdown) -> impl Future<Output = Result<(), DaemonError>> + Send + 'static {
        let directory = Arc::clone(&self.directory);
        async move {
            loop {
                let disabling = tokio::select! {
                    biased;
                    () = serving.stopped() => return Ok(()),
                    disabling = directory.hands().disabling() => disabling,
                };
                for (sid, why) in disabling {
                    warn!(subscription = %sid, ?why, "disabling it");
                    if let Err(error) = directory.disable(sid, why).await {
                        error!(subscription = %sid, %error, "could not be disabled durably; nothing is sent until the next start");
                    }
                }
            }
        }
    }
}

/// Runs a loop on a thread of its own; what it gives comes when it ends.
fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, DaemonError> {
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.into());
    thread.spawn(move || drop(done.send(work()))).map_err(|error| DaemonError::Broken(error.to_string()))?;
    Ok(ended)
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DaemonError> + Send + 'static,
) -> Result<T, DaemonError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| DaemonError::Broken(error.to_string()))?
}

fn flat(task: Result<Result<(), DaemonError>, JoinError>) -> Result<(), DaemonError> {
    task.map_err(|error| DaemonError::Broken(error.to_string()))?
}

fn flat_intake(done: Result<Result<(), IntakeError>, oneshot::error::RecvError>) -> Result<(), DaemonError> {
    Ok(done.map_err(|_| DaemonError::Broken("the consumer's thread broke down".into()))??)
}
