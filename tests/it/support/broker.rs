//! A real Apache Kafka 4.1 (KRaft, one node), run from its published jars.
//!
//! [`Broker::shared`] is started by the first who asks and serves the whole run: each test takes its own topics and
//! group. A test that kills the broker starts its own. Ready after 3 to 5 s; about 370 MB of memory. The jars are put
//! into `target/kafka/libs` by `make kafka`. Also here: making topics, producing much quickly, and reading what a group
//! has committed.

use super::{minder, ports, wait};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// One broker: its address, its files, its process.
pub(crate) struct Broker {
    port: u16,
    controller: u16,
    home: PathBuf,
    process: Option<Child>,
}

/// A record to be produced.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) partition: i32,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
}

/// Counts what the broker did not take.
#[derive(Default)]
struct Refused(AtomicU64);

// === impl Broker ===

impl Broker {
    /// The broker of the whole run.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A broker of one's own, ready.
    pub(crate) fn start() -> Self {
        let mut broker = Self::not_yet();
        broker.launch();
        broker
    }

    /// A broker whose address is known, and which does not run yet.
    pub(crate) fn not_yet() -> Self {
        let home = tempfile::Builder::new().prefix("hookline-kafka-").tempdir().unwrap().keep();
        minder::folder(&home);
        Self { port: ports::free(), controller: ports::free(), home, process: None }
    }

    /// `host:port`, as clients take it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Runs it, on the files that are there since the last time. Returns when it is ready.
    pub(crate) fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs");
        if !self.home.join("server.properties").exists() {
            self.format();
        }
        let (path, log) = (self.home.join("log"), File::create(self.home.join("log")).unwrap());
        let heap = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        let mut child = self
            .java(&heap, "kafka.Kafka")
            .arg("server.properties")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("java is there");
        minder::mind(child.id());
        wait::until_so("Apache Kafka to be ready", PATIENCE, || {
            let said = fs::read_to_string(&path).unwrap_or_default();
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "Apache Kafka ended with {}:\n{}", ended.unwrap(), tail(&said));
            said.contains("Kafka Server started")
        });
        self.process = Some(child);
    }

    /// Kills it (-9). Its files stay: `launch` goes on with them.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            let (_, _) = (child.kill(), child.wait());
            minder::ended(child.id());
        }
    }

    /// Where a file of its is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Makes a topic whose name no one else has; returns its name.
    pub(crate) fn topic(&self, stem: &str, partitions: i32) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{stem}.{}.{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.make_topic(&name, partitions);
        name
    }

    /// Makes a topic, and waits until it can be written.
    pub(crate) fn make_topic(&self, name: &str, partitions: i32) {
        let admin: AdminClient<DefaultClientContext> = client(&self.address()).create().unwrap();
        let wanted = [NewTopic::new(name, partitions, TopicReplication::Fixed(1))];
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let made = runtime.block_on(admin.create_topics(&wanted, &options)).unwrap();
        assert!(made.iter().all(Result::is_ok), "topic {name} was not made: {made:?}");
        wait::until_so("leaders of a new topic", PATIENCE, || {
            let Ok(seen) = admin.inner().fetch_metadata(Some(name), PATIENCE) else { return false };
            let found = seen.topics().first().map_or(&[][..], |topic| topic.partitions());
            found.len() == usize::try_from(partitions).unwrap() && found.iter().all(|p| p.leader() >= 0)
        });
    }

    /// Removes all records of `topic` below this offset, on each of its partitions, as retention does.
    pub(crate) fn forget(&self, topic: &str, partitions: i32, below: i64) {
        let admin: AdminClient<DefaultClientContext> = client(&self.address()).create().unwrap();
        let mut offsets = TopicPartitionList::new();
        for partition in 0..partitions {
            offsets.add_partition_offset(topic, partition, Offset::Offset(below)).unwrap();
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.delete_records(&offsets, &options)).unwrap();
    }

    /// Produces all of `samples` in their order; returns when the broker has taken every one.
    pub(crate) fn produce(&self, topic: &str, samples: impl IntoIterator<Item = Sample>) {
        produce(&self.address(), topic, samples);
    }

    /// What `group` has committed for each partition of `topic`; `None`: nothing yet.
    pub(crate) fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
        committed(&self.address(), group, topic, partitions)
    }

    /// The offset after the last record of each partition of `topic`.
    pub(crate) fn ends(&self, topic: &str, partitions: i32) -> Vec<Option<i64>> {
        ends(&self.address(), topic, partitions)
    }

    fn java(&self, options: &[&str], class: &str) -> Command {
        let mut java = Command::new("java");
        java.args(options).arg("-cp").arg(libs().join("*")).arg(class);
        java.current_dir(&self.home).stdin(Stdio::null());
        java
    }

    fn format(&self) {
        fs::write(self.home.join("server.properties"), properties(self.port, self.controller)).unwrap();
        let cluster = ["format", "-t", "aG9va2xpbmUtdGVzdHMtMQ", "-c", "server.properties"];
        let done = self.java(&[], "kafka.tools.StorageTool").args(cluster).output().expect("java is there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        drop(fs::remove_dir_all(&self.home));
    }
}

// === impl Refused ===

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Produces all of `samples` in their order at the broker of this address, of whatever kind.
pub(crate) fn produce(address: &str, topic: &str, samples: impl IntoIterator<Item = Sample>) {
    let samples = samples.into_iter().map(|sample| (sample, OwnedHeaders::new()));
    produce_within(address, (topic, "5"), samples);
}

/// As [`produce`], without waiting for more that could go along: for samples that come one by one.
pub(crate) fn produce_each_at_once(address: &str, topic: &str, samples: impl IntoIterator<Item = Sample>) {
    let samples = samples.into_iter().map(|sample| (sample, OwnedHeaders::new()));
    produce_within(address, (topic, "0"), samples);
}

/// As [`produce`], with headers.
pub(crate) fn produce_with(address: &str, topic: &str, samples: impl IntoIterator<Item = (Sample, OwnedHeaders)>) {
    produce_within(address, (topic, "5"), samples);
}

fn produce_within(
    address: &str,
    (topic, linger): (&str, &str),
    samples: impl IntoIterator<Item = (Sample, OwnedHeaders)>,
) {
    let mut client = client(address);
    client.set("linger.ms", linger).set("acks", "all").set("enable.idempotence", "true");
    let producer: BaseProducer<Refused> = client.create_with_context(Refused::default()).unwrap();
    for (sample, headers) in samples {
        let record = BaseRecord::to(topic).partition(sample.partition).key(&sample.key).payload(&sample.value);
        let record = record.headers(headers);
        let mut next = Some(record);
        while let Some(record) = next.take() {
            match producer.send(record) {
                Ok(()) => {}
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    producer.poll(Duration::from_millis(50));
                    next = Some(back);
                }
                Err((error, _)) => panic!("{topic}: {error}"),
            }
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.context().0.load(Ordering::Relaxed), 0, "records that the broker did not take");
}

/// Headers, in their order.
pub(crate) fn headers<'h>(all: impl IntoIterator<Item = (&'h str, &'h [u8])>) -> OwnedHeaders {
    let insert = |headers: OwnedHeaders, (key, value)| headers.insert(Header { key, value: Some(value) });
    all.into_iter().fold(OwnedHeaders::new(), insert)
}

/// What `group` has committed for each partition of `topic`; `None`: nothing yet.
pub(crate) fn committed(address: &str, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = client(address).set("group.id", group).create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, partitions - 1);
    let answer = consumer.committed_offsets(asked, PATIENCE).unwrap();
    let offset = |p| match answer.find_partition(topic, p).unwrap().offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    (0..partitions).map(offset).collect()
}

/// The offset after the last record of each partition of `topic`.
pub(crate) fn ends(address: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    let consumer: BaseConsumer = client(address).set("group.id", "ends").create().unwrap();
    (0..partitions).map(|p| Some(consumer.fetch_watermarks(topic, p, PATIENCE).unwrap().1)).collect()
}

/// Waits until `group` has committed all there is of `topic`.
#[track_caller]
pub(crate) fn until_all_committed(address: &str, group: &str, topic: &str, partitions: i32) {
    let ends = ends(address, topic, partitions);
    // Where nothing was written, nothing needs to be committed.
    let done = |(committed, end): (&Option<i64>, &Option<i64>)| committed == end || *end == Some(0);
    let mut last = Vec::new();
    let begun = std::time::Instant::now();
    while !last.iter().zip(&ends).all(done) || last.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{group} committed {last:?} of {ends:?}");
        std::thread::sleep(Duration::from_millis(100));
        last = committed(address, group, topic, partitions);
    }
}

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

/// Where the jars are: beside the profile's folder in the target folder.
fn libs() -> PathBuf {
    let libs = Path::new(env!("CARGO_BIN_EXE_hookline")).ancestors().nth(2).unwrap().join("kafka/libs");
    assert!(libs.is_dir(), "no Apache Kafka in {}: run `make kafka` once", libs.display());
    libs
}

/// A broker and its controller in one; without these values one node waits for others that never come.
fn properties(port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=data
log.cleaner.backoff.ms=500
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"
    )
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
