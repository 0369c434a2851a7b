//! Builds the house from its config, runs it, and stops it in order.
//!
//! Up: store, lanes with what they owe, attempts, listeners, then the consumer group. Down, within the grace:
//! readiness goes off, nothing more is admitted, lanes drain, what is left is parked, offsets are committed, the
//! group is left, the store is closed. A store that fails stops the process with a reason: nothing settles
//! without it, so nothing is lost.

pub mod adopt;
mod affected;
mod declare;
pub mod error;
pub mod reload;
mod shared;
mod watch;

use crate::config::Config;
use crate::daemon::declare::Declaring;
use crate::daemon::error::DaemonError;
use crate::daemon::reload::{Origin, Reloader};
use crate::daemon::shared::Shared;
use crate::decode::schemas::{self, Schemas};
use crate::dispatch::Dispatch;
use crate::dispatch::handshakes::Handshakes;
use crate::egress::client::HttpTransport;
use crate::egress::guard::Guard;
use crate::intake::IntakeError;
use crate::metrics::Metrics;
use crate::model::schema::SchemaText;
use crate::pipeline::Pipeline;
use crate::progress::partitions::Partitions;
use crate::quarantine::Quarantine;
use crate::quarantine::settings::QuarantineSettings;
use crate::registry::client::Registry;
use crate::registry::desk::Desk;
use crate::registry::settings::RegistrySettings;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::{Board, Health};
use crate::store::Store;
use crate::store::settings::StoreSettings;
use crate::store::space::Space;
use crate::subscriptions::Directory;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::declared::Wanted;
use crate::traces;
use crate::traces::exporter::Exporter;
use crate::web::reload::Reloads;
use crate::web::state::State;
use crate::web::{self, Listeners};
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

/// How often a full disk is looked at while operational events wait for room.
const ROOM: Duration = Duration::from_secs(1);

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
    exporter: Option<Exporter>,
}

/// Runs the daemon until `shutdown`.
///
/// # Errors
/// What kept it from starting or going on.
pub async fn run(config: Config, origin: Origin, shutdown: Shutdown) -> Result<(), DaemonError> {
    let running = start(config, origin, shutdown).await?;
    running.join.await.map_err(|error| DaemonError::Broken(error.to_string()))?
}

/// Starts the daemon; it listens when this answers, and joins the group in the background.
///
/// # Errors
/// What kept it from starting.
pub async fn start(config: Config, origin: Origin, shutdown: Shutdown) -> Result<Running, DaemonError> {
    let (board, metrics, partitions) = (Board::default(), Metrics::new(), Arc::new(Partitions::default()));
    let (fixed, reads) = (config.fixed(), config.reads);
    let store = open(config.store, metrics.clone()).await?;
    let hands = Arc::new(Hands::new(store.clone(), Arc::clone(&partitions), metrics.clone()));
    let quarantine = quarantine((store.clone(), metrics.clone()), config.quarantine).await?;
    let (guard, transport) = (Guard::new(config.egress.clone()), HttpTransport::new(&config.egress)?);
    let (defaults, loading) = (config.delivery.clone(), Arc::clone(&hands));
    let directory = blocking(move || Ok::<_, DaemonError>(Directory::load(loading, defaults)?)).await?;
    let (tracer, exporter) = traces::begin(config.traces.as_ref(), &config.kafka.group, &metrics)?;
    let dispatch = Dispatch::new(transport.clone(), store.clone(), metrics, tracer.clone());
    hands.dispatch_by(Arc::clone(&dispatch) as _);
    begin(&board);
    let listeners = web::bind(&config.api, &config.metrics).await?;
    let (schemas, desk) = registry(config.registry.as_ref())?;
    let rules = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
    let rules = Arc::new(rules.sharing(Arc::clone(&schemas)).publishing(config.catalogue, config.validate));
    let (kafka, wanted) = (config.kafka, Wanted { declared: config.declared, defaults: config.delivery });
    let declaring = Declaring { directory: &directory, kafka: &kafka, file: &origin.file };
    declaring.begin(&wanted, &rules, &shutdown).await?;
    let pipeline = Arc::new(ArcSwap::new(rules));
    let (introduction, per_subscription) = (config.verification, config.metrics.per_subscription);
    let shared = Shared {
        kafka,
        pipeline,
        directory,
        desk,
        quarantine,
        partitions,
        tracer,
        board,
        introduction,
        per_subscription,
        shutdown,
    };
    let (reloads, asked) = Reloads::new();
    let (state, reloader) = (shared.state((guard, transport), reloads), shared.reloader(origin, asked, (fixed, reads)));
    let drain = (config.grace / 2).min(DRAIN);
    let (intake, catchup) = (shared.intake(config.limits, drain), shared.catchup(config.scans));
    let Shared { kafka, directory, desk, board, shutdown, .. } = shared;
    let house = House { board, directory, dispatch, store, shutdown, drain, exporter };
    let loops =
        Loops { intake: thread("intake", move || intake.run(&kafka))?, catchup: thread("catchup", || catchup.run())? };
    Ok(house.begin(loops, (listeners, state), (reloader, desk, schemas)))
}

/// The process runs from here on.
fn begin(board: &Board) {
    board.update(|report| {
        (report.started, report.generation, report.store) = (clock::now(), 1, Health::Good);
        report.intake_beat = clock::now();
    });
}

/// The schemas that are known, and where others are asked for.
fn registry(settings: Option<&RegistrySettings>) -> Result<(Arc<Schemas>, Arc<Desk>), DaemonError> {
    let registry = settings.map(Registry::new).transpose()?;
    let schemas = Schemas::new(settings.map_or(schemas::CACHE, |settings| settings.cache));
    Ok((Arc::new(schemas), Arc::new(Desk::new(registry))))
}

/// Looks up what is asked for, for the rules of all generations.
async fn look_schemas_up(desk: Arc<Desk>, schemas: Arc<Schemas>, serving: Shutdown) -> Result<(), DaemonError> {
    desk.serve(serving, Arc::new(move |id, text: &SchemaText| schemas.learn(id, text))).await;
    Ok(())
}

/// Sends traces until everything else has stopped, then what is left of them.
async fn export(exporter: Exporter, serving: Shutdown) -> Result<(), DaemonError> {
    exporter.run(serving).await;
    Ok(())
}

/// Asks endpoints whether they want events.
async fn ask_endpoints(handshakes: Handshakes<HttpTransport>, shutdown: Shutdown) -> Result<(), DaemonError> {
    handshakes.run(shutdown).await;
    Ok(())
}

/// Opens the store; each of its flushes is counted.
async fn open(settings: StoreSettings, metrics: Metrics) -> Result<Store, DaemonError> {
    let flushed = Box::new(move |took| metrics.store_flush(took));
    blocking(move || Ok::<_, DaemonError>(Store::open(&settings, flushed)?)).await
}

/// Weighs the quarantine.
async fn quarantine(
    (store, metrics): (Store, Metrics),
    settings: QuarantineSettings,
) -> Result<Arc<Quarantine>, DaemonError> {
    blocking(move || Ok::<_, DaemonError>(Arc::new(Quarantine::open(store, metrics, settings)?))).await
}

/// The loops that have threads of their own, until they end.
struct Loops {
    intake: oneshot::Receiver<Result<(), IntakeError>>,
    catchup: oneshot::Receiver<()>,
}

// === impl House ===

impl House {
    /// Lets requests in, and runs.
    fn begin(
        mut self,
        loops: Loops,
        (listeners, state): (Listeners, State),
        (reloader, desk, schemas): (Reloader, Arc<Desk>, Arc<Schemas>),
    ) -> Running {
        let (api, ops, serving) = (listeners.api, listeners.ops, Shutdown::default());
        let mut tasks = JoinSet::new();
        let handshakes = Handshakes {
            directory: Arc::clone(&self.directory),
            transport: state.transport.clone(),
            introduction: state.introduction.clone(),
        };
        tasks.spawn(ask_endpoints(handshakes, self.shutdown.clone()));
        let web = listeners.serve(state, serving.clone());
        tasks.spawn(async move { Ok(web.await?) });
        tasks.spawn(self.keep_time());
        tasks.spawn(look_schemas_up(desk, schemas, serving.clone()));
        tasks.spawn(self.disable_on_demand(serving.clone()));
        tasks.spawn(self.announce(serving.clone()));
        tasks.spawn(self.reload(reloader));
        if let Some(exporter) = self.exporter.take() {
            tasks.spawn(export(exporter, serving.clone()));
        }
        #[allow(clippy::disallowed_methods, reason = "`Running::join` is awaited by who started the daemon")]
        let join = tokio::spawn(self.live(loops, tasks, serving));
        Running { api, ops, join }
    }

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

    /// Takes over other configurations, until the stop.
    fn reload(&self, reloader: Reloader) -> impl Future<Output = Result<(), DaemonError>> + Send + 'static {
        let shutdown = self.shutdown.clone();
        async move {
            reloader.run(shutdown).await;
            Ok(())
        }
    }

    /// Tells operational events to those who ask for them.
    fn announce(&self, serving: Shutdown) -> impl Future<Output = Result<(), DaemonError>> + Send + 'static {
        let directory = Arc::clone(&self.directory);
        async move {
            loop {
                let events = tokio::select! {
                    biased;
                    () = serving.stopped() => return Ok(()),
                    events = directory.hands().outbox.next() => events,
                };
                // On a full disk the write would wait, and everybody who changes something behind it.
                while directory.hands().store.space() == Space::Hard {
                    tokio::select! {
                        biased;
                        () = serving.stopped() => return Ok(()),
                        () = tokio::time::sleep(ROOM) => {}
                    }
                }
                if let Err(error) = directory.announce(&events).await {
                    warn!(events = events.len(), %error, "operational events are told at the next start");
                }
            }
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
                    disabling = directory.hands().disabling.take() => disabling,
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
