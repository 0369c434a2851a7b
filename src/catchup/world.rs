//! Tests: lanes, store and broker are real; intake is a few lines, and endpoints are a book.

use crate::catchup::Catchup;
use crate::decode::decoding::Decoding;
use crate::decode::format::Format;
use crate::egress::guard::Guard;
use crate::egress::settings::EgressSettings;
use crate::kafka::broker::Broker;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::writer::{Draft, Writer};
use crate::lane::settings::DeliverySettings;
use crate::lane::signal::{Finished, Group, PlaceKey, What};
use crate::map::Mappings;
use crate::map::mapping::TopicSelector;
use crate::map::written::Rules;
use crate::metrics::Metrics;
use crate::metrics::gauges::Gauges;
use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
use crate::model::id::Sid;
use crate::model::outcome::{Answer, Outcome, RetryAfter};
use crate::model::problem::Problems;
use crate::model::quarantine::{Filter, Quarantined};
use crate::model::record::{Origin, Record, TopicPartition};
use crate::model::schema::{Language, SchemaId, SchemaText};
use crate::model::time::Timestamp;
use crate::pipeline::Pipeline;
use crate::progress::partition::Admission;
use crate::progress::partitions::Partitions;
use crate::quarantine::Quarantine;
use crate::quarantine::settings::QuarantineSettings;
use crate::registry::desk::Desk;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::Board;
use crate::store::Store;
use crate::store::settings::StoreSettings;
use crate::subscriptions::cell::{Cell, Dispatcher, Hands};
use crate::subscriptions::{Directory, snapshot, written};
use crate::yaml::node::Node;
use crate::yaml::reader;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A house with one topic, `t`, of one partition.
pub(crate) struct World {
    pub(crate) book: Arc<Book>,
    pub(crate) directory: Arc<Directory>,
    /// No registry stands behind it: what is asked for waits.
    pub(crate) desk: Arc<Desk>,
    pub(crate) hands: Arc<Hands>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) kafka: KafkaSettings,
    pub(crate) broker: Broker,
    pipeline: Arc<ArcSwap<Pipeline>>,
    writer: Writer,
    metrics: Metrics,
    pub(crate) board: Board,
    shutdown: Shutdown,
    epoch: u64,
    _folder: TempDir,
}

/// What endpoints took, and whether they answer.
pub(crate) struct Book {
    me: Weak<Book>,
    taken: Mutex<HashMap<Sid, Vec<i64>>>,
    hanging: Mutex<Hanging>,
    changed: Condvar,
    runtime: Handle,
}

/// Whose endpoint takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hanging {
    Nobody,
    One(Sid),
    All,
}

/// The topic's partition.
pub(crate) fn at() -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: 0 }
}

// === impl World ===

impl World {
    pub(crate) async fn new(settings: DeliverySettings) -> Self {
        Self::with(settings, QuarantineSettings::default()).await
    }

    pub(crate) async fn with(settings: DeliverySettings, quarantine: QuarantineSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let store = StoreSettings { path, min_free: 0, ..StoreSettings::default() };
        let store = Store::open(&store, Box::new(|_| {})).unwrap();
        let metrics = Metrics::new();
        let hands = Arc::new(Hands::new(store, Arc::new(Partitions::default()), metrics.clone()));
        let quarantine = Quarantine::open(hands.store.clone(), metrics.clone(), quarantine).unwrap();
        let book = Arc::new_cyclic(|me| Book {
            me: Weak::clone(me),
            taken: Mutex::default(),
            hanging: Mutex::new(Hanging::Nobody),
            changed: Condvar::new(),
            runtime: Handle::current(),
        });
        hands.dispatch_by(Arc::clone(&book) as _);
        let directory = Directory::load(Arc::clone(&hands), settings).unwrap();
        let broker = Broker::start().unwrap();
        broker.topic("t", 1).unwrap();
        let kafka = KafkaSettings { brokers: broker.servers().into(), ..KafkaSettings::default() };
        let writer = Writer::new(&kafka).unwrap();
        let pipeline = Arc::new(ArcSwap::from_pointee(rules("'${payload.n}'", "quarantine")));
        let shutdown = Shutdown::default();
        Self {
            book,
            directory,
            desk: Arc::default(),
            hands,
            quarantine: Arc::new(quarantine),
            kafka,
            broker,
            pipeline,
            writer,
            metrics,
            board: Board::default(),
            shutdown,
            epoch: 0,
            _folder: folder,
        }
    }

    /// Writes so many records `{"n": <offset>}`.
    pub(crate) async fn write(&self, count: i64) {
        for n in 0..count {
            self.write_value(&format!("{{\"n\":{n}}}")).await;
        }
    }

    pub(crate) async fn write_value(&self, value: &str) -> i64 {
        let value = Some(value.to_owned().into());
        let draft = Draft { topic: "t".into(), key: None, headers: Vec::new(), value };
        self.writer.write(&draft).await.unwrap().offset
    }

    /// Intake gets the partition, and stands there.
    pub(crate) fn assign(&mut self, position: i64) {
        self.epoch = self.hands.partitions.open(&at(), position);
        self.directory.open(&at(), self.epoch).unwrap();
    }

    /// The partition is lost.
    pub(crate) fn lose(&mut self) {
        self.hands.partitions.close(&at());
        for entry in self.directory.snapshot().iter() {
            entry.cell.act(|lane, turn| lane.forget(&at(), turn));
        }
    }

    /// Other rules from now on.
    pub(crate) fn rules(&self, data: &str, on_error: &str) {
        self.pipeline.store(Arc::new(rules(data, on_error)));
    }

    /// Rules that read another topic from now on.
    pub(crate) fn rules_elsewhere(&self) {
        let elsewhere = compiled("mappings: [{ name: all, from: other, emit: { type: t.all } }]");
        self.pipeline.store(Arc::new(Pipeline::new(elsewhere, Vec::new(), 1 << 20)));
    }

    /// Records are JSON behind the id of a schema from now on, and no schema is known.
    pub(crate) fn registered(&self) {
        let (format, emit) = (Format::Registered(Language::JsonSchema), "'${payload.n}'");
        let decoding = Decoding { format, ..Decoding::default() };
        let formats = vec![(TopicSelector::parse("t").unwrap(), decoding)];
        self.pipeline.store(Arc::new(Pipeline::new(mappings(emit, "quarantine"), formats, 1 << 20)));
    }

    /// The schema of this id is known from now on.
    pub(crate) fn learn(&self, id: SchemaId) {
        let text = SchemaText { language: Language::JsonSchema, text: "{}".into(), references: Vec::new() };
        self.pipeline.load().schemas().learn(id, &text).unwrap();
    }

    /// Other rules from now on: this `emit`.
    pub(crate) fn rules_of(&self, emit: &str) {
        self.pipeline.store(Arc::new(pipeline(&format!("mappings: [{{ name: all, from: t, emit: {emit} }}]"))));
    }

    /// All quarantined records with their ids.
    pub(crate) fn quarantined(&self) -> Vec<(String, Quarantined)> {
        let ids = self.hands.store.quarantine_ids(&Filter::default(), None, 10).unwrap();
        let row = |id: String| Some((id.clone(), self.hands.store.quarantined_one(&id).unwrap()?));
        ids.into_iter().filter_map(row).collect()
    }

    /// What a record at this offset holds for whom.
    pub(crate) fn groups(&self, offset: i64) -> Vec<snapshot::Group> {
        let passage = self.pipeline.load().pass(&record(offset, "{\"n\":1}"));
        self.directory.snapshot().takers(&passage.events)
    }

    /// A subscription to all, whose place begins there.
    pub(crate) async fn subscribe(&self, begin: i64) -> Sid {
        let body = serde_json::json!({"url": "https://example.com/hooks", "types": ["t.**"]});
        let guard = Guard::new(EgressSettings::default());
        let made = written::create(&Node::from_json(&"test".into(), &body), &guard, clock::now()).unwrap();
        let cursor = (at(), behind(begin, None));
        self.directory.create(made, vec![cursor]).await.unwrap().sid
    }

    pub(crate) fn cell(&self, sid: Sid) -> Arc<Cell> {
        let snapshot = self.directory.snapshot();
        Arc::clone(&snapshot.iter().find(|entry| entry.subscription.sid == sid).unwrap().cell)
    }

    pub(crate) fn replay(&self, sid: Sid, (from, to): (i64, i64)) {
        let row = behind(from, Some(to));
        let place = PlaceKey { at: at(), stream: 7 };
        self.cell(sid).act(|lane, turn| lane.begin(place, (self.epoch, row), turn));
    }

    /// What intake does with a record of its own.
    pub(crate) async fn live(&self, value: &str) {
        let offset = self.write_value(value).await;
        let record = record(offset, value);
        let passage = self.pipeline.load().pass(&record);
        let groups = self.directory.snapshot().takers(&passage.events);
        let pending = u32::try_from(groups.iter().map(|group| group.events.len()).sum::<usize>()).unwrap();
        let (admitted, written) = (clock::now(), record.origin.timestamp);
        let admission = Admission { offset, pending, bytes: 0, admitted, written };
        self.hands.partitions.with(&at(), |progress| progress.admit(admission)).unwrap();
        for group in groups {
            let offered = Group { epoch: self.epoch, offset, events: group.events };
            group.cell.act(|lane, turn| lane.offer(&at(), offered, turn));
        }
        self.answer_joins();
    }

    /// What intake does between two records.
    pub(crate) fn answer_joins(&self) {
        for (cell, at) in self.hands.readers.joins() {
            let position = self.hands.partitions.with(&at, |progress| progress.position()).unwrap();
            cell.act(|lane, turn| lane.join(&at, position, turn));
        }
    }

    /// Catches up in threads until the test ends.
    pub(crate) fn catch_up(&self) -> std::thread::JoinHandle<()> {
        let catchup = Catchup {
            kafka: self.kafka.clone(),
            pipeline: Arc::clone(&self.pipeline),
            directory: Arc::clone(&self.directory),
            desk: Arc::clone(&self.desk),
            quarantine: Arc::clone(&self.quarantine),
            board: self.board.clone(),
            shutdown: self.shutdown.clone(),
            scans: 2,
        };
        std::thread::spawn(move || catchup.run())
    }

    /// Stops everything.
    pub(crate) fn stop(self, running: std::thread::JoinHandle<()>) {
        self.shutdown.stop();
        running.join().unwrap();
        self.hands.store.close().unwrap();
    }

    /// Waits until it is so; answers joins meanwhile, as intake does.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", self.book.taken.lock().unwrap());
            self.answer_joins();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Records that scans have read so far.
    pub(crate) fn records_read(&self) -> u64 {
        let text = self.metrics.scrape(&Gauges::default());
        let line = text.lines().find_map(|line| line.strip_prefix("hookline_catch_up_records_read_total "));
        line.unwrap().parse().unwrap()
    }
}

impl Drop for World {
    /// A test that failed must not wait for endpoints that do not answer.
    fn drop(&mut self) {
        self.book.answer();
        self.shutdown.stop();
    }
}

// === impl Book ===

impl Book {
    /// Endpoints answer from now on, as they do at first.
    pub(crate) fn answer(&self) {
        *self.hanging.lock().unwrap() = Hanging::Nobody;
        self.changed.notify_all();
    }

    /// Endpoints take their time, until they answer again.
    pub(crate) fn hang(&self) {
        *self.hanging.lock().unwrap() = Hanging::All;
    }

    /// This one's endpoint takes its time, until all answer again.
    pub(crate) fn hang_at(&self, sid: Sid) {
        *self.hanging.lock().unwrap() = Hanging::One(sid);
    }

    /// The offsets that an endpoint took, in this order.
    pub(crate) fn of(&self, sid: Sid) -> Vec<i64> {
        self.taken.lock().unwrap().get(&sid).cloned().unwrap_or_default()
    }

    /// The same, sorted.
    pub(crate) fn sorted(&self, sid: Sid) -> Vec<i64> {
        let mut offsets = self.of(sid);
        offsets.sort_unstable();
        offsets
    }

    fn take(&self, sid: Sid, offset: i64) {
        let hangs = |hanging: &mut Hanging| *hanging == Hanging::All || *hanging == Hanging::One(sid);
        drop(self.changed.wait_while(self.hanging.lock().unwrap(), hangs).unwrap());
        self.taken.lock().unwrap().entry(sid).or_default().push(offset);
    }
}

/// One attempt after the other, each accepted.
fn deliver(book: &Book, cell: &Arc<Cell>) {
    while let Some(start) = cell.next() {
        let What::First(event) = start.what else { panic!("nothing fails here: {start:?}") };
        book.take(cell.sid, event.event.origin.offset);
        let answer = Answer { status: 200, retry_after: RetryAfter::Absent, head: bytes::Bytes::new() };
        let outcome = Outcome::Answered(answer);
        cell.finished(Finished { attempt: start.attempt, outcome, event: None });
    }
}

impl Dispatcher for Book {
    fn run(&self, cell: Arc<Cell>) {
        let Some(me) = self.me.upgrade() else { return };
        self.runtime.spawn_blocking(move || deliver(&me, &cell));
    }

    fn wake(&self, cell: &Arc<Cell>, at: Timestamp) {
        let (cell, wait) = (Arc::clone(cell), at.since(clock::now()));
        self.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            tokio::task::spawn_blocking(move || cell.tick()).await.unwrap();
        });
    }
}

fn record(offset: i64, value: &str) -> Record {
    let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: clock::now() };
    Record { origin, key: None, headers: Vec::new(), value: Some(value.to_owned().into()) }
}

fn rules(data: &str, on_error: &str) -> Pipeline {
    Pipeline::new(mappings(data, on_error), Vec::new(), 1 << 20)
}

fn mappings(data: &str, on_error: &str) -> Mappings {
    let emit = format!("emit: {{ type: t.all, data: {data} }}");
    compiled(&format!("mappings:\n  - {{ name: all, from: t, on_error: {on_error}, {emit} }}\n"))
}

fn pipeline(text: &str) -> Pipeline {
    Pipeline::new(compiled(text), Vec::new(), 1 << 20)
}

fn compiled(text: &str) -> Mappings {
    let (mut rules, mut problems) = (Rules::default(), Problems::default());
    rules.add_file(&reader::read(&"m.yaml".into(), text).unwrap(), &mut problems);
    rules.finish(&mut problems)
}

fn behind(offset: i64, to: Option<i64>) -> CursorRow {
    let (mode, since) = (CursorMode::Behind, clock::now());
    let reason = if to.is_some() { BehindReason::Replay } else { BehindReason::Starting };
    CursorRow { mode, offset, near: None, since, reason, to }
}
