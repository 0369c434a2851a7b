//! Loop 1: Kafka to lanes, on one thread of its own.
//!
//! Polls the group, passes each record through the rules, offers what it becomes to the lanes, and commits what
//! is settled. Back-pressure is a pause with a reason; polling goes on through it. What cannot be taken yet is
//! held, in order, one partition apart from the other; nothing is dropped.

mod begin;
mod commit;
mod health;
pub mod identity;
mod joins;
mod keeper;
mod partition;
mod places;
pub mod settings;
mod sources;

use crate::intake::commit::Commits;
use crate::intake::health::AWAY;
use crate::intake::keeper::{Keeper, Known};
use crate::intake::partition::{Admit, Stopped};
use crate::intake::places::Places;
use crate::intake::settings::IntakeSettings;
use crate::intake::sources::{Looked, Sources};
use crate::kafka::group::{Group, GroupError};
use crate::kafka::polled::Polled;
use crate::kafka::settings::KafkaSettings;
use crate::model::record::{Record, TopicPartition};
use crate::pipeline::Pipeline;
use crate::progress::gate::{Gate, Reason, Resume};
use crate::progress::partitions::Partitions;
use crate::quarantine::Quarantine;
use crate::registry::desk::Desk;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::{Board, Health};
use crate::store::space::Space;
use crate::subscriptions::Directory;
use crate::subscriptions::bounds::{self, Ledgers};
use crate::traces::tracer::Tracer;
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// How often pauses are looked at again.
const TICK: Duration = Duration::from_millis(100);
/// How often offsets are committed and the board is written.
const BEAT: Duration = Duration::from_secs(1);

/// What intake works with.
pub struct Intake {
    /// The rules in force; swapped whole.
    pub pipeline: Arc<ArcSwap<Pipeline>>,
    /// Who gets what.
    pub directory: Arc<Directory>,
    /// Where schemas are asked for.
    pub desk: Arc<Desk>,
    /// How far each partition is.
    pub partitions: Arc<Partitions>,
    /// Where it reports.
    pub board: Board,
    /// When it stops.
    pub shutdown: Shutdown,
    /// Its bounds.
    pub settings: IntakeSettings,
    /// Where records go that are not understood.
    pub quarantine: Arc<Quarantine>,
    /// Who follows records.
    pub tracer: Tracer,
    /// How long a drain may take when partitions go.
    pub drain: Duration,
}

/// Intake could not go on.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The consumer could not be made or subscribed.
    #[error("the kafka consumer cannot start")]
    Start(#[from] GroupError),
    /// Another process is this member of the group now.
    #[error(
        "another process has joined the group as {0}: it runs on a copy of this store (an imported one, say), or has the \
         same `group.instance.id`. Only one of them may run: stop one, and start the one that stays again"
    )]
    Fenced(String),
}

/// The loop's own state.
struct Loop {
    group: Group,
    admit: Admit,
    commits: Commits,
    gate: Gate,
    /// Records of partitions that are stopped at one of theirs, or that no mapping reads any more, in order.
    held: HashMap<TopicPartition, VecDeque<Record>>,
    paused: BTreeMap<TopicPartition, Reason>,
    ledgers: Ledgers,
    sources: Sources,
    places: Places,
    connected: Instant,
    complained: Option<Instant>,
    /// Why nothing is read, if so: the group's commits are another store's.
    refused: Option<String>,
    parts: Intake,
}

// === impl Intake ===

impl Intake {
    /// Runs until the stop, on the calling thread. At the end everything that was admitted is settled or parked,
    /// what may be committed is committed, and the group is left.
    ///
    /// # Errors
    /// The consumer could not be made: what the properties say is refused by librdkafka. Or another process took this
    /// member's place in the group.
    pub fn run(self, kafka: &KafkaSettings) -> Result<(), IntakeError> {
        let commits = Commits::new(self.directory.hands().store.clone(), Arc::clone(&self.partitions), &kafka.group);
        let keeper = Arc::new(Keeper {
            partitions: Arc::clone(&self.partitions),
            directory: Arc::clone(&self.directory),
            commits: commits.clone(),
            drain: self.drain,
            start: kafka.start,
            known: Mutex::new(Known::default()),
        });
        let group = Group::new(kafka, &commits.instance(), Arc::clone(&keeper) as _)?;
        let gate = Gate { bytes: self.settings.bytes_in_flight, records: self.settings.open_records_per_partition };
        let admit = Admit {
            pipeline: Arc::clone(&self.pipeline),
            directory: Arc::clone(&self.directory),
            partitions: Arc::clone(&self.partitions),
            desk: Arc::clone(&self.desk),
            quarantine: Arc::clone(&self.quarantine),
            tracer: self.tracer.clone(),
            complained: AtomicI64::default(),
        };
        let now = Instant::now();
        let mut running = Loop {
            group,
            admit,
            commits,
            gate,
            held: HashMap::new(),
            paused: BTreeMap::new(),
            ledgers: Ledgers::default(),
            sources: Sources::new(Arc::clone(&keeper)),
            places: Places::new(keeper),
            connected: now,
            complained: None,
            refused: None,
            parts: self,
        };
        running.go_round()?;
        running.group.leave();
        Ok(())
    }
}

// === impl Loop ===

impl Loop {
    /// Until the stop. A member that was fenced has nothing to give back or to commit: it is the other's.
    fn go_round(&mut self) -> Result<(), IntakeError> {
        let (mut ticked, mut beaten) = (Instant::now(), None::<Instant>);
        while !self.parts.shutdown.stopping() {
            match self.group.poll(TICK) {
                Some(Polled::Fenced) => return Err(IntakeError::Fenced(self.commits.instance())),
                Some(polled) => self.take(polled),
                None => {}
            }
            joins::answer(&self.parts.directory, &self.commits);
            if ticked.elapsed() >= TICK {
                self.retry_held();
                self.look_at_pauses(ticked.elapsed());
                ticked = Instant::now();
            }
            if beaten.is_none_or(|beaten| beaten.elapsed() >= BEAT) {
                self.look_around();
                self.commits.send(&self.group);
                self.report();
                beaten = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn take(&mut self, polled: Polled) {
        match polled {
            Polled::Record(record) => self.record(record),
            Polled::Assigned(placed) => self.places.open(&self.group, &placed),
            Polled::Refused(partitions, other) => self.refuse(&partitions, &other),
            Polled::Revoked(partitions) => {
                for at in partitions {
                    self.held.remove(&at);
                    self.paused.remove(&at);
                    self.commits.end(&at);
                }
            }
            Polled::Committed(commits) => {
                self.commits.acknowledged(&commits);
                joins::committed(&self.parts.directory, &commits);
            }
            Polled::NotCommitted(why) => self.complain(&format!("the last commit failed and is sent again: {why}")),
            Polled::OutOfRange => self.places.doubt(),
            Polled::Trouble(what) => self.complain(&what),
            Polled::Fenced => {} // the loop has ended
        }
    }

    /// Reads nothing from now on. A member that stayed would keep its partitions from the one that they belong to.
    fn refuse(&mut self, partitions: &[TopicPartition], other: &str) {
        if self.refused.is_none() {
            let why = self.commits.refusal(other);
            error!(partitions = partitions.len(), "{why}");
            self.refused = Some(why);
            self.group.withdraw();
        }
    }

    fn record(&mut self, record: Record) {
        let at = record.origin.topic_partition();
        self.connected = Instant::now();
        if !self.parts.partitions.is_open(&at) {
            return; // it has no place yet, and is read from there on when it has one
        }
        if let Some(held) = self.held.get_mut(&at) {
            held.push_back(record);
            return;
        }
        let open_bytes = self.parts.partitions.bytes();
        let shut = match self.admit.record(record) {
            Err(stopped) => {
                let Stopped { record, reason, why } = *stopped;
                if let Some(why) = why {
                    error!(topic = %at.topic, partition = at.partition, offset = record.origin.offset,
                        "the partition waits at this record: {why}");
                }
                self.held.entry(at.clone()).or_default().push_back(record);
                Some(reason)
            }
            Ok(()) => self.parts.partitions.with(&at, |progress| self.gate.shut(progress, open_bytes)).flatten(),
        };
        if let Some(reason) = shut {
            self.pause(at, reason);
        }
    }

    fn pause(&mut self, at: TopicPartition, reason: Reason) {
        if !self.paused.contains_key(&at)
            && let Err(error) = self.group.pause(std::slice::from_ref(&at))
        {
            warn!(topic = %at.topic, partition = at.partition, %error, "pause");
        }
        self.paused.insert(at, reason);
    }

    /// Takes again what was held, in order, as far as the rules in force let it pass.
    fn retry_held(&mut self) {
        for (at, held) in &mut self.held {
            while let Some(first) = held.pop_front() {
                if self.parts.shutdown.stopping() || !self.parts.partitions.is_open(at) {
                    held.push_front(first);
                    break;
                }
                if let Err(stopped) = self.admit.record(first) {
                    self.paused.insert(at.clone(), stopped.reason);
                    held.push_front(stopped.record);
                    break;
                }
            }
        }
        self.held.retain(|_, held| !held.is_empty());
    }

    /// What all lanes hold together is bounded: the one that holds most gives way (P6).
    fn bound_lanes(&mut self, open_bytes: u64) {
        let snapshot = self.parts.directory.snapshot();
        let cells = || snapshot.iter().map(|entry| &entry.cell);
        if open_bytes >= self.gate.bytes - self.gate.bytes / 4 {
            bounds::shed(cells());
        }
        self.ledgers.look(self.parts.directory.hands().ledger_rows(), cells);
    }

    /// Pauses and resumes as budgets, ledgers and the store say.
    fn look_at_pauses(&mut self, since: Duration) {
        if self.parts.directory.hands().store.space() == Space::Hard {
            for at in self.parts.partitions.assigned() {
                self.pause(at, Reason::Store);
            }
        }
        let reasons: BTreeSet<Reason> = self.paused.values().copied().collect();
        for reason in &reasons {
            self.parts.directory.hands().metrics.backpressure(reason.as_str(), since);
        }
        let store_full = self.parts.directory.hands().store.space() == Space::Hard;
        let open_bytes = self.parts.partitions.bytes();
        self.bound_lanes(open_bytes);
        let may = |at: &TopicPartition| {
            let resume = self.parts.partitions.with(at, |progress| self.gate.may_resume(progress, open_bytes));
            !store_full && !self.held.contains_key(at) && resume == Some(Resume::Yes)
        };
        let free = self.paused.keys().filter(|at| may(at)).cloned().collect::<Vec<_>>();
        if free.is_empty() {
            return;
        }
        if let Err(error) = self.group.resume(&free) {
            warn!(%error, "resume");
        }
        for at in &free {
            self.paused.remove(at);
        }
    }

    /// Looks which topics there are, and whether they are still the same; sees to what has no place.
    fn look_around(&mut self) {
        if self.refused.is_some() {
            return;
        }
        let pipeline = self.parts.pipeline.load_full();
        match self.sources.look(&self.group, &pipeline) {
            Ok(Looked::NotYet) => {}
            Ok(Looked::Now) => {
                if let Err(error) = self.places.examine(&self.group, self.sources.topics()) {
                    self.complain(&format!("the cluster does not say what its topics are: {error}"));
                }
                if let Err(error) = self.places.owe(&self.group, &pipeline) {
                    self.complain(&format!("what is owed of topics that are not read cannot be seen to: {error}"));
                }
            }
            Err(error) => self.complain(&format!("cannot list the cluster's topics: {error}")),
        }
        if let Err(error) = self.places.check(&self.group) {
            self.complain(&format!("cannot look up what the log holds: {error}"));
        }
        self.place();
    }

    /// Partitions without a place get one. What was read of them before, and waits, is read again from there.
    fn place(&mut self) {
        for at in self.places.place(&self.group) {
            self.held.remove(&at);
            self.paused.remove(&at);
        }
    }

    /// Logs trouble that librdkafka goes on to mend, at most once in ten seconds.
    fn complain(&mut self, what: &str) {
        if self.complained.is_none_or(|last| last.elapsed() > AWAY) {
            warn!("kafka: {what}");
            self.complained = Some(Instant::now());
        }
    }

    /// Writes the board: partitions, health, the reason of a pause.
    fn report(&mut self) {
        let seen = self.group.seen();
        if seen.connected == Some(true) {
            self.connected = Instant::now();
        }
        let mut partitions = BTreeMap::new();
        for at in self.parts.partitions.assigned() {
            let end = seen.ends.get(&(at.topic.to_string(), at.partition)).copied();
            let (paused, jump) = (self.paused.get(&at).copied(), self.places.jump(&at));
            let report = self.parts.partitions.with(&at, |progress| health::report(progress, end, (paused, jump)));
            partitions.extend(report.map(|report| (at, report)));
        }
        let health = match &self.refused {
            Some(why) => Health::Bad(why.clone()),
            None => health::health(seen.connected, partitions.len(), self.connected.elapsed()),
        };
        let backpressure = self.paused.values().max().map(|reason| reason.as_str());
        self.parts.board.update(|report| {
            report.kafka = health;
            report.registry = self.parts.desk.health();
            report.partitions = partitions;
            report.intake_beat = clock::now();
            report.backpressure = backpressure;
        });
    }
}
