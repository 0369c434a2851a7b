//! Every room's settings, read once and checked: what a user wrote becomes a [`Config`], or all mistakes at once.
//!
//! The way: file -> tree -> `--set` over it -> references replaced -> section by section -> mapping files. No room
//! imports this one; each has its settings, and here they are put together. Paths of what is read (`mappings`,
//! `schema_file`, `ca_file`, `${file:...}`) are relative to the configuration file, `store.path` to the working directory.

mod api;
mod catalogue;
pub mod declared;
mod delivery;
mod egress;
pub mod error;
pub mod files;
pub mod fixed;
mod given;
mod kafka;
mod later;
mod limits;
pub mod log;
mod masked;
mod reading;
pub mod reads;
mod references;
mod registry;
pub mod rules;
mod secrets;
mod sets;
mod store;
mod topics;
mod traces;
mod verification;

use crate::catalogue::published::Catalogue;
use crate::catalogue::settings::Validate;
use crate::config::error::{ConfigError, Sources};
use crate::config::files::Named;
use crate::config::fixed::Fixed;
use crate::config::limits::Limits;
use crate::config::log::LogSettings;
use crate::config::reading::{Environment, Reading, put};
use crate::config::reads::Reads;
use crate::decode::decoding::Decoding;
use crate::deliver::handshake::Introduction;
use crate::dryrun::suite::Test;
use crate::egress::guard::Guard;
use crate::egress::settings::EgressSettings;
use crate::intake::settings::IntakeSettings;
use crate::kafka::settings::KafkaSettings;
use crate::lane::settings::DeliverySettings;
use crate::map::Mappings;
use crate::map::mapping::TopicSelector;
use crate::model::problem::Place;
use crate::model::subscription::Subscription;
use crate::quarantine::settings::QuarantineSettings;
use crate::registry::settings::RegistrySettings;
use crate::store::settings::StoreSettings;
use crate::traces::settings::TracesSettings;
use crate::web::settings::{ApiSettings, MetricsSettings};
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Node};
use crate::yaml::reader;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long a stop may take when nothing is said: below the 30 s after which Kubernetes kills.
const GRACE: Duration = Duration::from_secs(25);
/// How long a stop may be allowed to take.
const GRACE_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Everything that a daemon goes by. Immutable; `Debug` shows no secret.
#[derive(Debug)]
pub struct Config {
    /// Which Kafka, which group.
    pub kafka: KafkaSettings,
    /// Where schemas are looked up, if anywhere.
    pub registry: Option<RegistrySettings>,
    /// How the records of topics are decoded; the first that names a topic counts, else JSON.
    pub formats: Vec<(TopicSelector, Decoding)>,
    /// The mappings, compiled.
    pub mappings: Mappings,
    /// The published event types.
    pub catalogue: Catalogue,
    /// How many of the events that leave are held against the catalogue.
    pub validate: Validate,
    /// The tests beside the mappings.
    pub tests: Vec<Test>,
    /// The mapping files, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// The declared subscriptions; `None`: no file says which there are.
    pub declared: Option<Vec<Subscription>>,
    /// Where the store is.
    pub store: StoreSettings,
    /// The defaults of every subscription.
    pub delivery: DeliverySettings,
    /// What may be open at once.
    pub limits: IntakeSettings,
    /// What records may take that were not understood (`limits.quarantine`).
    pub quarantine: QuarantineSettings,
    /// How many scans read the past at the same time (`limits.catch_up_scans`).
    pub scans: usize,
    /// What may be called.
    pub egress: EgressSettings,
    /// The API's listener.
    pub api: ApiSettings,
    /// The listener of metrics and health.
    pub metrics: MetricsSettings,
    /// Who we are towards endpoints that are asked whether they want events.
    pub verification: Introduction,
    /// How the process writes its log.
    pub log: LogSettings,
    /// Where traces are sent, if anywhere.
    pub traces: Option<TracesSettings>,
    /// How long a stop may take.
    pub grace: Duration,
    /// Everything that was read for it.
    pub reads: Reads,
}

// === impl Config ===

impl Config {
    /// Reads the configuration `file`, with `sets` (`path.to.key=value`) over it, and the mapping files it names.
    ///
    /// # Errors
    /// All mistakes in all files.
    pub fn load(file: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        load(file, (sets, &[]), environment, read)
    }

    /// Reads its sections `store` and `log` alone: a store can be saved whatever is wrong with the rest.
    ///
    /// # Errors
    /// All mistakes in these.
    pub fn load_store(file: &Path, sets: &[String]) -> Result<(StoreSettings, LogSettings), ConfigError> {
        load(file, (sets, &["store", "log"]), environment, store_and_log)
    }

    /// What of it cannot change while the process runs. Whoever adds a section decides here which it is.
    #[must_use]
    pub fn fixed(&self) -> Fixed {
        let Self {
            kafka,
            store,
            limits,
            quarantine,
            scans,
            egress,
            registry,
            api,
            metrics,
            verification,
            log,
            traces,
            grace,
            reads,
            formats: _,
            mappings: _,
            catalogue: _,
            validate: _,
            tests: _,
            files: _,
            declared: _,
            delivery: _,
        } = self;
        Fixed {
            kafka: kafka.clone(),
            store: store.clone(),
            limits: limits.clone(),
            quarantine: *quarantine,
            scans: *scans,
            egress: egress.clone(),
            registry: registry.clone(),
            certificates: egress.ca_file.as_deref().and_then(|file| reads.digest(file)),
            api: api.clone(),
            metrics: metrics.clone(),
            verification: verification.clone(),
            format: log.format,
            traces: traces.clone(),
            grace: *grace,
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the environment is read here")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads the file, or only some sections of it.
fn load<T>(
    file: &Path,
    (sets, only): (&[String], &[&str]),
    variables: Environment,
    read: impl FnOnce(&Node, &mut Reading, &mut Sources) -> Option<T>,
) -> Result<T, ConfigError> {
    let (mut reading, mut sources) = (Reading::new(file, variables), Sources::default());
    let config = tree(file, &mut reading, &mut sources).and_then(|mut tree| {
        sets::apply(&mut tree, sets, &mut reading.problems);
        if let (Data::Map(entries), false) = (&mut tree.data, only.is_empty()) {
            entries.retain(|entry| only.contains(&entry.key.as_str()));
        }
        reading.remember(masked::secrets(&tree));
        reading.refer(&mut tree, "");
        read(&tree, &mut reading, &mut sources)
    });
    match (config, reading.end()) {
        (Some(config), problems) => problems.or(config),
        (None, problems) => Err(problems),
    }
    .map_err(|problems| ConfigError::new(problems, sources, reading.files.end()))
}

/// The file as a tree; an empty file is an empty map.
fn tree(file: &Path, reading: &mut Reading, sources: &mut Sources) -> Option<Node> {
    let name: Arc<str> = file.display().to_string().into();
    let text = match reading.files.text(file) {
        Ok(text) => text,
        Err(error) => {
            let hint = "Name the file with --config FILE or HOOKLINE_CONFIG";
            reading.problems.add(&Place::whole(name), "", format!("cannot be read: {error}"), hint);
            return None;
        }
    };
    let tree = reader::read(&name, &text);
    sources.add(file, masked::masked(&text, tree.as_ref().ok()));
    match tree {
        Ok(Node { place, data: Data::Null }) => Some(Node { place, data: Data::Map(Vec::new()) }),
        Ok(tree) => Some(tree),
        Err(problems) => {
            reading.problems.extend(problems);
            None
        }
    }
}

/// Reads all sections; `None` when the whole is no map.
fn read(tree: &Node, reading: &mut Reading, sources: &mut Sources) -> Option<Config> {
    let mut top = Fields::of(&Field::new(tree, ""), &mut reading.problems)?;
    let kafka = kafka::read(top.optional("kafka"), reading);
    let registry = registry::read(top.optional("schema_registry"), reading);
    let formats = topics::read(top.optional("topics"), registry.as_ref(), reading);
    let named = mapping_paths(top.optional("mappings"), &tree.place, reading);
    let store = store::read(top.optional("store"), reading);
    let mut delivery = delivery::read(top.optional("delivery"), reading);
    let Limits { intake: limits, queue, scans, quarantine } = limits::read(top.optional("limits"), reading);
    put(&mut delivery.queue, queue);
    let egress = egress::read(top.optional("egress"), reading);
    let api = api::read(top.optional("api"), reading);
    let metrics = api::metrics(top.optional("metrics"), api.listen, reading);
    let verification = verification::read(top.optional("verification"), reading);
    let log = log::read(top.optional("log"), reading);
    let traces = traces::read(top.optional("tracing"), reading);
    let grace = grace(top.optional("shutdown"), reading);
    let published = catalogue::read(top.optional("catalogue"), reading);
    let secrets = secrets::read(top.optional("secrets"), reading);
    later::refuse(&mut top, "cluster", later::CLUSTER, reading);
    let (subscriptions, none) = declared::named(top.optional("subscriptions"), &tree.place, reading);
    top.finish(&mut reading.problems);
    let rules = rules::read(&named, secrets, &reading.files, (&mut reading.problems, sources));
    let declared = declared::read(&subscriptions, &Guard::new(egress.clone()), reading, sources).or(none);
    Some(Config {
        kafka,
        registry,
        formats,
        mappings: rules.mappings,
        catalogue: rules.catalogue.headed(published.about),
        validate: published.validate,
        tests: rules.tests,
        files: rules.files,
        declared,
        store,
        delivery,
        limits,
        quarantine,
        scans,
        egress,
        api,
        metrics,
        verification,
        log,
        traces,
        grace,
        reads: reading.files.end(),
    })
}

fn store_and_log(tree: &Node, reading: &mut Reading, _: &mut Sources) -> Option<(StoreSettings, LogSettings)> {
    let mut top = Fields::of(&Field::new(tree, ""), &mut reading.problems)?;
    Some((store::read(top.optional("store"), reading), log::read(top.optional("log"), reading)))
}

/// The files and folders of `mappings`, relative to the configuration; `mappings` beside it when nothing is said.
fn mapping_paths(field: Option<Field<'_>>, top: &Place, reading: &mut Reading) -> Vec<Named> {
    let Some(field) = field else {
        let path = reading.folder.join("mappings");
        return vec![Named { path, place: top.clone(), key: "mappings".to_owned() }];
    };
    let mut named = Vec::new();
    for field in field.list(&mut reading.problems).unwrap_or_default() {
        if let Some(path) = field.text(&mut reading.problems) {
            let path = reading.folder.join(path);
            named.push(Named { path, place: field.node.place.clone(), key: field.path });
        }
    }
    named
}

fn grace(field: Option<Field<'_>>, reading: &mut Reading) -> Duration {
    let mut grace = GRACE;
    let Some(mut fields) = reading.section(field) else { return grace };
    if let Some(field) = fields.optional("grace") {
        put(&mut grace, field.duration(GRACE_RANGE, &mut reading.problems));
    }
    fields.finish(&mut reading.problems);
    grace
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::settings::About;
    use crate::config::log::LogFormat;
    use crate::decode::format::Format;
    use crate::egress::settings::{Entry, MinTls, Ports};
    use crate::kafka::settings::Start;
    use crate::lane::settings::BreakerSettings;
    use crate::model::schema::Language;
    use crate::model::subscription::OnBlocked;
    use crate::registry::settings::Credentials;
    use crate::traces::settings::{SAMPLE, SERVICE};
    use crate::web::settings::Scope;
    use std::collections::BTreeSet;
    use std::fs;

    const KEY: &str = "aG9va2xpbmUncyBrZXkgb2YgMzIgYnl0ZXMsIGRvbmU=";

    fn env(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("18080".to_owned()),
            "TEN" => Some("10".to_owned()),
            "HALF" => Some("0.5".to_owned()),
            "YES" => Some("true".to_owned()),
            "PASSWORD" => Some("12345".to_owned()),
            "SECRET" => Some("hunter2-hunter2-hunter2".to_owned()),
            _ => None,
        }
    }

    fn loaded_with(text: &str, sets: &[&str]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookline.yaml");
        fs::create_dir(folder.path().join("mappings")).unwrap();
        fs::write(folder.path().join("password.txt"), "from a file\n").unwrap();
        fs::write(folder.path().join("a.proto"), "package shop; message Order {}").unwrap();
        fs::write(folder.path().join("a.avsc"), "\"string\"").unwrap();
        fs::write(&file, text).unwrap();
        let sets = sets.iter().map(|set| (*set).to_owned()).collect::<Vec<_>>();
        load(&file, (&sets, &[]), env, read)
    }

    #[track_caller]
    fn loaded(text: &str) -> Config {
        loaded_with(text, &[]).map_err(|error| error.report()).unwrap()
    }

    /// What is told, without the folder of the file.
    #[track_caller]
    fn told(text: &str, sets: &[&str]) -> Vec<String> {
        let error = loaded_with(text, sets).expect_err(text);
        let line = |problem: &crate::model::problem::Problem| {
            let told = problem.to_string();
            told.split_once("hookline.yaml:").map_or(told.clone(), |(_, rest)| rest.to_owned())
        };
        error.problems.0.iter().map(line).collect()
    }

    #[test]
    fn a_store_is_found_whatever_is_wrong_with_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookline.yaml");
        let rest = "kafka: { brokers: '${env:ABSENT}', groop: x }\nmappings: [gone]\nodd: 1\n";
        fs::write(&file, format!("{rest}store: {{ path: there, cache: 64MiB }}\nlog: {{ level: warn }}")).unwrap();
        let (store, _) = load(&file, (&[], &["store", "log"]), env, store_and_log).unwrap();
        assert_eq!((store.path, store.cache), ("there".into(), 64 << 20));
        fs::write(&file, format!("{rest}store: {{ paht: there }}")).unwrap();
        let refused = load(&file, (&[], &["store", "log"]), env, store_and_log).unwrap_err();
        assert_eq!(refused.problems.0.len(), 1, "{}", refused.report());
    }

    #[test]
    fn nothing_written_is_every_default() {
        for text in ["", "# only a remark\n", "kafka:\nstore: ~\n"] {
            let config = loaded(text);
            assert_eq!(config.kafka, KafkaSettings::default());
            assert_eq!(config.store, StoreSettings::default());
            assert_eq!(config.grace, GRACE);
        }
    }

    #[test]
    fn the_example_documents_every_key_with_the_default_of_the_code() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hookline.example.yaml");
        let config = Config::load(&file, &[]).map_err(|error| error.report()).unwrap();
        assert_eq!(config.kafka, KafkaSettings::default());
        assert_eq!(config.store, StoreSettings::default());
        assert_eq!(config.delivery, DeliverySettings::default());
        assert_eq!((config.limits, config.scans), (IntakeSettings::default(), 2));
        assert_eq!(config.quarantine, QuarantineSettings::default());
        assert_eq!(config.egress, EgressSettings::default());
        assert_eq!(config.api, ApiSettings::default());
        assert_eq!(config.metrics, MetricsSettings::default());
        assert_eq!(config.verification, Introduction::default());
        assert_eq!(config.log, LogSettings::default());
        assert_eq!(config.grace, GRACE);
        assert_eq!((&config.catalogue.about, config.validate), (&About::default(), Validate::Off));
        assert!(config.formats.is_empty() && config.files.len() == 1 && config.registry.is_none());
        assert!(config.traces.is_none());
        let traced = Config::load(&file, &["tracing.otlp=http://x".into()]).unwrap().traces.unwrap();
        assert_eq!((traced.sample, traced.service.as_str(), traced.ca_file), (SAMPLE, SERVICE, None));
        let with_registry = Config::load(&file, &["schema_registry.url=http://x".into()]).unwrap().registry.unwrap();
        assert_eq!(with_registry.cache, crate::decode::schemas::CACHE);
        let text = fs::read_to_string(&file).unwrap();
        let written = keys(&reader::read(&"example".into(), &text).unwrap(), "");
        let known = "kafka.brokers kafka.group kafka.start kafka.properties schema_registry.url schema_registry.username \
            schema_registry.password schema_registry.token schema_registry.ca_file schema_registry.cache topics mappings \
            catalogue.title catalogue.version catalogue.description catalogue.validate \
            subscriptions secrets store.path store.cache store.min_free store.encryption_keys delivery.timeout \
            delivery.concurrency delivery.settle_within delivery.on_blocked delivery.ledger_budget delivery.dead_letter_budget \
            delivery.retry.schedule delivery.retry.max_age delivery.retry.jitter delivery.breaker.consecutive \
            delivery.breaker.ratio delivery.breaker.window delivery.breaker.min_calls delivery.breaker.probe.min \
            delivery.breaker.probe.max delivery.disable_after limits.bytes_in_flight limits.open_records_per_partition \
            limits.event_bytes limits.catch_up_scans limits.lane_queue limits.quarantine egress.allow_http egress.ports egress.allow \
            egress.deny egress.nat64 egress.proxy egress.ca_file egress.min_tls api.listen api.tokens api.console \
            metrics.listen metrics.per_subscription verification.origin verification.callback log.format log.level log.deliveries.keep log.deliveries.max \
            tracing.otlp tracing.headers tracing.ca_file tracing.service_name tracing.sample shutdown.grace cluster.replicate cluster.topic_prefix \
            cluster.replication_factor";
        assert_eq!(written, known.split_whitespace().map(str::to_owned).collect());
    }

    fn keys(node: &Node, path: &str) -> BTreeSet<String> {
        match &node.data {
            Data::Map(entries) if !entries.is_empty() => {
                let path = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                entries.iter().flat_map(|entry| keys(&entry.value, &path(&entry.key))).collect()
            }
            _ => BTreeSet::from([path.to_owned()]),
        }
    }

    #[test]
    fn the_minimal_configuration_runs_the_sample_shop() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/hookline.yaml");
        let config = load(&file, (&[], &[]), env, read).map_err(|error| error.report()).unwrap();
        assert_eq!(config.kafka, KafkaSettings::default());
        assert!(config.mappings.matches_topic("shop.orders") && config.mappings.matches_topic("shop.payments"));
    }

    #[test]
    fn every_key_reaches_its_setting() {
        let config = loaded(&format!(
            "\
kafka: {{ brokers: 'a:1,b:2', group: g, start: earliest, properties: {{ session.timeout.ms: 40000, socket.keepalive.enable: true }} }}
schema_registry: {{ url: 'http://a:8081, https://b/c', username: me, password: '${{env:SECRET}}', cache: 20 }}
topics: {{ '/logs.*/': {{ format: text }}, logs.raw: {{ format: bytes }}, a: {{ format: avro }}, b: {{ format: protobuf, schema_file: a.proto, message: shop.Order }}, c: {{ format: avro, schema_file: a.avsc }} }}
store: {{ path: /var/x, cache: 1MiB, min_free: 5MB, encryption_keys: ['{KEY}'] }}
delivery: {{ timeout: 1s, concurrency: 1000, settle_within: 60s, ledger_budget: 1GiB, dead_letter_budget: 2MiB, on_blocked: dead_letter, disable_after: 0, breaker: {{ consecutive: 3, ratio: 0.25, window: 5m, min_calls: 1, probe: {{ min: 2s, max: 1m }} }}, retry: {{ schedule: [200ms], max_age: 1h, jitter: 0 }} }}
limits: {{ bytes_in_flight: 1MiB, open_records_per_partition: 1, event_bytes: 1KiB, lane_queue: 5, catch_up_scans: 7, quarantine: 3MiB }}
egress: {{ allow_http: true, ports: [443, 8443], allow: [10.0.0.0/8, Hooks.local], deny: [1.1.1.1], nat64: true, min_tls: '1.3' }}
api: {{ listen: '0.0.0.0:80', tokens: [{{ name: ops, token: 0123456789abcdef, scope: 'tenant:m-1' }}] }}
metrics: {{ listen: '[::1]:9', per_subscription: true }}
verification: {{ origin: events.example.com, callback: 'https://hooks.example.com/base' }}
log: {{ format: json, level: debug }}
shutdown: {{ grace: 10m }}
"
        ));
        assert_eq!((config.kafka.brokers.as_str(), config.kafka.start), ("a:1,b:2", Start::Earliest));
        let properties: Vec<_> = config.kafka.properties.iter().map(|(k, v)| (k.as_str(), v.expose())).collect();
        assert_eq!(properties, [("session.timeout.ms", "40000"), ("socket.keepalive.enable", "true")]);
        let registry = config.registry.as_ref().unwrap();
        let urls: Vec<_> = registry.urls.iter().map(url::Url::as_str).collect();
        assert_eq!((urls, registry.cache), (vec!["http://a:8081/", "https://b/c"], 20));
        let password = crate::model::secret::Secret::new("hunter2-hunter2-hunter2");
        assert_eq!(registry.credentials, Some(Credentials::Basic { username: "me".into(), password }));
        let format =
            |topic: &str| &config.formats.iter().find(|(selector, _)| selector.matches(topic)).unwrap().1.format;
        assert!(matches!((format("logs.raw"), format("logs.x")), (Format::Bytes, Format::Text)));
        assert!(matches!(format("a"), Format::Registered(Language::Avro)));
        for (topic, language) in [("b", Language::Protobuf), ("c", Language::Avro)] {
            assert!(matches!(format(topic), Format::Given(schema) if schema.language() == language), "{topic}");
        }
        assert_eq!((config.store.path.as_path(), config.store.cache), (Path::new("/var/x"), 1 << 20));
        assert_eq!((config.store.min_free, config.store.encryption_keys[0].expose()), (5_000_000, KEY));
        assert_eq!((config.delivery.timeout, config.delivery.concurrency), (Duration::from_secs(1), 1000));
        assert_eq!((config.delivery.queue, config.delivery.ledger_budget), (5, 1 << 30));
        assert_eq!((config.delivery.dead_letter_budget, config.quarantine.bytes), (2 << 20, 3 << 20));
        assert_eq!((config.delivery.on_blocked, config.delivery.disable_after), (OnBlocked::DeadLetter, None));
        let seconds = Duration::from_secs;
        let (probe_min, probe_max) = (seconds(2), seconds(60));
        let (consecutive, ratio, window, min_calls) = (3, 0.25, seconds(300), 1);
        let breaker = BreakerSettings { consecutive, ratio, window, min_calls, probe_min, probe_max };
        assert_eq!((config.delivery.breaker, config.scans), (breaker, 7));
        assert_eq!(config.delivery.retry.schedule, [Duration::from_millis(200)]);
        assert_eq!((config.limits.bytes_in_flight, config.limits.event_bytes), (1 << 20, 1 << 10));
        assert_eq!(config.limits.open_records_per_partition, 1);
        assert_eq!(config.egress.ports, Ports::List(vec![443, 8443]));
        assert_eq!(config.egress.allow[1], Entry::Host("hooks.local".into()));
        assert!(config.egress.allow_http && config.egress.nat64 && config.egress.min_tls == MinTls::Tls13);
        assert_eq!(config.api.tokens[0].scope, Scope::Tenant("m-1".into()));
        assert_eq!((config.metrics.listen.to_string().as_str(), config.metrics.per_subscription), ("[::1]:9", true));
        let Introduction { origin, callback } = &config.verification;
        assert_eq!((&**origin, callback.as_ref().unwrap().path()), ("events.example.com", "/base"));
        assert_eq!((config.log.format, config.log.level), (LogFormat::Json, tracing::Level::DEBUG));
        assert_eq!(config.grace, Duration::from_secs(600));
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "one flat table")]
    fn every_bad_value_has_its_message() {
        for (text, expected) in [
            ("[]", "1:1: must be a map, not a list"),
            ("kafka: 5", "1:8: kafka: must be a map, not `5`"),
            ("kafka: { brokers: 'a b:1' }", "1:19: kafka.brokers: `a b:1` is not a broker. Write host:port"),
            ("kafka: { brokers: '' }", "1:19: kafka.brokers: a broker is empty"),
            ("kafka: { group: '' }", "1:17: kafka.group: is not the name of a group"),
            ("kafka: { start: newest }", "1:17: kafka.start: `newest` is none of `earliest`, `latest`"),
            ("kafka: { properties: { a: [1] } }", "1:27: kafka.properties.a: must be text, not a list"),
            ("kafka: { properties: { group.id: x } }", "1:34: kafka.properties.group.id: is set by `kafka.group`"),
            ("topics: { a b: {} }", "1:11: topics.a b: "),
            (
                "topics: { a: { format: xml } }",
                "1:24: topics.a.format: `xml` is none of `json`, `text`, `bytes`, `avro`",
            ),
            (
                "topics: { a: { format: debezium, inner: avro } }",
                "1:41: topics.a.inner: avro needs a schema, and there is no schema registry. Set schema_registry.url, or",
            ),
            (
                "topics: { a: { format: avro } }",
                "1:24: topics.a.format: avro needs a schema, and there is no schema registry. Set schema_registry.url, or",
            ),
            ("topics: { a: { schema_file: x } }", "1:29: topics.a.schema_file: is not for this: json has no schema"),
            (
                "topics: { a: { format: text, message: x } }",
                "1:39: topics.a.message: is not for this: text has no schema",
            ),
            ("topics: { a: { format: avro, schema_file: none.avsc } }", "1:43: topics.a.schema_file: "),
            ("topics: { a: { format: avro, schema_file: hookline.yaml } }", "1:43: topics.a.schema_file: "),
            (
                "topics: { a: { format: protobuf, schema_file: a.proto } }",
                "1:47: topics.a.schema_file: does not say which of its messages the records are",
            ),
            (
                "topics: { a: { format: protobuf, schema_file: a.proto, message: shop.Ordre } }",
                "1:65: topics.a.message: there is no message `shop.Ordre` in ",
            ),
            (
                "topics: { a: { format: protobuf, schema_file: password.txt, message: shop.Order } }",
                "1:47: topics.a.schema_file: ",
            ),
            ("schema_registry: 5", "1:18: schema_registry: must be a map, not `5`"),
            ("schema_registry: { url: 'ftp://x' }", "1:25: schema_registry.url: is no address of a registry"),
            (
                "schema_registry: { url: 'http://u:p@x' }",
                "1:25: schema_registry.url: must hold no user and no password",
            ),
            ("schema_registry: { url: 'http://x?a=b' }", "1:25: schema_registry.url: must end with its path"),
            ("schema_registry: { url: 'http://x', username: a }", "1:47: schema_registry.username: has no `password`"),
            ("schema_registry: { url: 'http://x', password: a }", "1:47: schema_registry.password: has no `username`"),
            (
                "schema_registry: { url: 'http://x', username: a, password: b, token: c }",
                "1:70: schema_registry.token: there are a token and a user",
            ),
            (
                "schema_registry: { url: 'http://x', username: 'a:b', password: b }",
                "1:47: schema_registry.username: is no user",
            ),
            (
                "schema_registry: { url: 'http://x', token: 'a b' }",
                "1:44: schema_registry.token: must have visible ASCII",
            ),
            ("schema_registry: { username: a, password: b }", "1:18: schema_registry: is nowhere without `url`"),
            ("schema_registry: { url: 'http://x', cache: 1 }", "1:44: schema_registry.cache: 1 is out of range"),
            (
                "schema_registry: { url: 'http://x', ca_file: none.pem }",
                "1:46: schema_registry.ca_file: cannot read the certificates in ",
            ),
            ("tracing: { otlp: 'x:4318' }", "1:18: tracing.otlp: is no address of a collector"),
            ("tracing: { otlp: 'http://u:p@x' }", "1:18: tracing.otlp: must hold no user and no password"),
            ("tracing: { otlp: 'http://x?a=b' }", "1:18: tracing.otlp: must end with its path"),
            ("tracing: { otlp: 'http://x:4317' }", "1:18: tracing.otlp: is the port for gRPC"),
            ("tracing: { otlp: 'http://x', sample: 2 }", "1:38: tracing.sample: 2 is out of range. It may be 0 to 1"),
            ("tracing: { otlp: 'http://x', headers: { a b: c } }", "1:46: tracing.headers.a b: is not the name of"),
            ("tracing: { otlp: 'http://x', headers: { Host: c } }", "1:47: tracing.headers.Host: is set by hookline"),
            ("tracing: { otlp: 'http://x', headers: { a: 5 } }", "1:44: tracing.headers.a: must be a string"),
            ("tracing: { otlp: 'http://x', headers: { a: b, A: c } }", "1:50: tracing.headers.A: is there twice"),
            ("tracing: { otlp: 'http://x', headers: { a: \"b\\nc\" } }", "1:44: tracing.headers.a: must have visible"),
            ("tracing: { otlp: 'http://x', service_name: '' }", "1:44: tracing.service_name: is no name of a service"),
            ("tracing: { headers: { a: b } }", "1:10: tracing: is nowhere without `otlp`"),
            (
                "tracing: { otlp: 'http://x', ca_file: none.pem }",
                "1:39: tracing.ca_file: cannot read the certificates in ",
            ),
            ("mappings: x", "1:11: mappings: must be a list, not `x`"),
            ("mappings: [none]", "1:12: mappings[0]: there is no file or folder "),
            ("store: { path: '' }", "1:16: store.path: must not be empty"),
            ("store: { cache: 1KiB }", "1:17: store.cache: 1KiB is out of range. It may be 1MiB to 64GiB"),
            ("store: { encryption_keys: [x] }", "1:28: store.encryption_keys[0]: must be base64 of 32 bytes"),
            ("delivery: { timeout: 61s }", "1:22: delivery.timeout: 61s is out of range. It may be 1s to 1m"),
            ("delivery: { timeout: 15 }", "1:22: delivery.timeout: must be a duration like 15s, not `15`"),
            ("delivery: { concurrency: 0 }", "1:26: delivery.concurrency: 0 is out of range. It may be 1 to 1000"),
            ("delivery: { concurrency: '5' }", "1:26: delivery.concurrency: must be a whole number, not `5`"),
            ("delivery: { retry: { jitter: 2 } }", "1:30: delivery.retry.jitter: 2 is out of range"),
            ("limits: { event_bytes: 65MiB }", "1:24: limits.event_bytes: 65MiB is out of range"),
            ("limits: { bytes_in_flight: 1MiB, event_bytes: 2MiB }", "1:9: limits: event_bytes is larger than"),
            ("delivery: { on_blocked: drop }", "1:25: delivery.on_blocked: `drop` is none of `wait`, `dead_letter`"),
            ("delivery: { breaker: 5 }", "1:22: delivery.breaker: must be a map, not `5`"),
            ("delivery: { breaker: { ratio: 2 } }", "1:31: delivery.breaker.ratio: 2 is out of range"),
            ("delivery: { breaker: { window: 6m } }", "1:32: delivery.breaker.window: 6m is out of range"),
            ("delivery: { breaker: { probe: { min: 6m } } }", "1:31: delivery.breaker.probe: min is longer than max"),
            ("delivery: { breaker: { calls: 6 } }", "1:24: delivery.breaker.calls: is not a known key"),
            ("delivery: { disable_after: 91d }", "1:28: delivery.disable_after: 91d is out of range"),
            ("limits: { catch_up_scans: 0 }", "1:27: limits.catch_up_scans: 0 is out of range. It may be 1 to 64"),
            ("limits: { lane_queue: 0 }", "1:23: limits.lane_queue: 0 is out of range"),
            ("limits: { quarantine: 1KiB }", "1:23: limits.quarantine: 1KiB is out of range. It may be 1MiB to 1TiB"),
            ("delivery: { dead_letter_budget: 1 }", "1:33: delivery.dead_letter_budget: "),
            ("egress: { allow_http: yes }", "1:23: egress.allow_http: must be a boolean, not `yes`"),
            ("egress: { ports: [] }", "1:18: egress.ports: nothing could be called"),
            ("egress: { ports: [0] }", "1:19: egress.ports[0]: 0 is out of range. It may be 1 to 65535"),
            ("egress: { ports: all }", "1:18: egress.ports: must be `any` or a list of ports"),
            ("egress: { allow: ['*.a.com'] }", "1:19: egress.allow[0]: `*.a.com` is neither a network nor a host"),
            ("egress: { min_tls: 1.2 }", "1:20: egress.min_tls: must be one of `1.2`, `1.3`, not `1.2`"),
            ("egress: { ca_file: none.pem }", "1:20: egress.ca_file: cannot read the certificates in "),
            ("api: { listen: localhost }", "1:16: api.listen: must be an address with a port, not `localhost`"),
            ("api: { listen: '0.0.0.0:80' }", "1:16: api.listen: without tokens the API listens on loopback only"),
            ("api: { tokens: [{ name: a, token: 0123456789abcdef }] }", "1:17: api.tokens[0].scope: is missing"),
            (
                "api: { tokens: [{ name: a, token: short, scope: read }] }",
                "1:35: api.tokens[0].token: must have 16 to 512",
            ),
            (
                "api: { tokens: [{ name: a, token: 0123456789abcdef, scope: x }] }",
                "1:60: api.tokens[0].scope: `x` is not a scope. It is admin, read, or tenant:<id>",
            ),
            ("metrics: { listen: '127.0.0.1:8080' }", "1:20: metrics.listen: 127.0.0.1:8080 is where the API listens"),
            (
                "verification: { origin: 'a..b' }",
                "1:25: verification.origin: `a..b` is no DNS name. Write a name for the whole system: events.example.com",
            ),
            (
                "verification: { callback: 'http://a.example' }",
                "1:27: verification.callback: is no https address that ends with its path. Write where subscribers reach the \
                 API: https://hookline.example.com, without `?`, `#` and user",
            ),
            ("log: { format: xml }", "1:16: log.format: `xml` is none of `text`, `json`"),
            ("log: { level: loud }", "1:15: log.level: `loud` is none of `error`, `warn`, `info`, `debug`, `trace`"),
            ("shutdown: { grace: 0 }", "1:20: shutdown.grace: 0 is out of range. It may be 1s to 10m"),
            ("shutdwon: {}", "1:1: shutdwon: is not a known key. Did you mean `shutdown`?"),
            ("a: 1\na: 2", "2:1: the key `a` is given twice"),
            ("kafka: [", "2:1: this is not YAML"),
        ] {
            let told = told(text, &[]);
            assert!(told.iter().any(|told| told.starts_with(expected)), "{text}: {told:#?}");
            assert!(told.len() <= 2, "{text}: {told:#?}");
        }
    }

    #[test]
    fn two_tokens_have_two_names_and_two_secrets() {
        let token = "{ name: a, token: 0123456789abcdef, scope: read }";
        let told = told(&format!("api: {{ tokens: [{token}, {token}] }}"), &[]);
        assert!(told[0].contains("the name `a` is used twice") && told[1].contains("is also that of `a`"), "{told:?}");
    }

    #[test]
    fn traces_go_to_the_address_of_a_collector_or_to_the_whole_path_and_secrets_stay_secret() {
        for (written, sent) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("https://x/otlp/", "https://x/otlp/v1/traces"),
            ("https://x/otlp/v1/traces", "https://x/otlp/v1/traces"),
        ] {
            let text = format!(
                "tracing: {{ otlp: '{written}', sample: '${{env:HALF}}', headers: {{ X-Key: '${{env:SECRET}}' }} }}"
            );
            let traces = loaded(&text).traces.unwrap();
            assert_eq!((traces.url.as_str(), traces.sample, traces.service.as_str()), (sent, 0.5, "hookline"));
            assert_eq!(
                (traces.headers[0].0.as_str(), traces.headers[0].1.expose()),
                ("x-key", "hunter2-hunter2-hunter2")
            );
            assert!(!format!("{traces:?}").contains("hunter2"));
        }
    }

    #[test]
    fn keys_of_later_versions_may_stand_at_their_default_and_are_refused_otherwise() {
        for (text, path) in [
            ("egress: { proxy: 'http://x' }", "egress.proxy"),
            ("api: { console: false }", "api.console"),
            ("log: { deliveries: { keep: 8d } }", "log.deliveries.keep"),
            ("cluster: { replicate: true }", "cluster.replicate"),
        ] {
            let told = told(text, &[]);
            assert_eq!(told.len(), 1, "{text}: {told:?}");
            assert!(told[0].contains(&format!(" {path}: is not yet available in this version")), "{text}: {told:?}");
        }
        loaded("log: { deliveries: { keep: 168h } }\ncluster: {}");
        assert!(told("cluster: { replicat: true }", &[])[0].contains("Did you mean `replicate`?"));
    }

    #[test]
    fn references_are_read_as_what_the_key_asks_for() {
        let config = loaded(
            "\
api: { listen: '127.0.0.1:${env:PORT}' }
delivery: { concurrency: '${env:TEN}', retry: { jitter: '${env:NONE:-0.5}' } }
egress: { allow_http: '${env:YES}', ports: ['${env:PORT}'] }
kafka: { properties: { sasl.password: '${env:PASSWORD}', sasl.username: '${file:password.txt}' }, group: a$$b }
",
        );
        assert_eq!((config.api.listen.port(), config.delivery.concurrency), (18080, 10));
        assert!(config.egress.allow_http && config.egress.ports == Ports::List(vec![18080]));
        assert_eq!(config.delivery.retry.jitter, 0.5);
        assert_eq!(config.kafka.properties["sasl.password"].expose(), "12345");
        assert_eq!(config.kafka.properties["sasl.username"].expose(), "from a file");
        assert_eq!(config.kafka.group, "a$b");
        let told = told("kafka: { group: '${env:NO_SUCH}' }\nstore: { path: '${file:none}' }", &[]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("1:17: kafka.group: the environment variable NO_SUCH is not set"));
    }

    #[test]
    fn a_set_value_wins_and_its_mistakes_are_told_as_such() {
        let sets = ["kafka.group=x", "delivery.retry.schedule=[1s, 2s]", "topics.a.b.format=text", "log.level=warn"];
        let config = loaded_with("kafka: { group: g }\nlog: { level: loud }", &sets).map_err(|e| e.report()).unwrap();
        assert_eq!((config.kafka.group.as_str(), config.log.level), ("x", tracing::Level::WARN));
        assert_eq!(config.delivery.retry.schedule.len(), 2);
        assert!(config.formats[0].0.matches("a.b"));
        let told = told("", &["delivery.timeout=soon", "delivery.timout=1s", "x", "subscriptions=[a]"]);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(told[0], "--set: there is no `=`. Write --set path.to.key=value");
        assert!(told[1].starts_with("--set: delivery.timeout: must be a duration like 15s, not `soon`"), "{told:?}");
        assert!(told[2].starts_with("--set: delivery.timout: is not a known key. Did you mean `timeout`?"), "{told:?}");
    }

    #[test]
    fn no_secret_is_in_a_report_or_in_debug() {
        let text = "\
api: { tokens: [{ name: a, token: hunter2, scope: read }, { name: b, token: \"${env:SECRET}\", scope: reader }] }
store: { encryption_keys: [aHVudGVyMg==], cache: \"${env:SECRET}\" }
kafka: { properties: { sasl.password: hunter2, ssl.key.pem: hunter2, no.such: hunter2, secret: [hunter2] } }
log: { level: \"${env:SECRET}\" }
schema_registry: { password: hunter2 }
secrets: { a: hunter2 }
";
        let error = loaded_with(text, &["api.tokens.x=hunter2"]).unwrap_err();
        let report = error.report();
        assert!(error.problems.0.len() >= 6, "{report}");
        assert!(!report.contains("hunter2") && !report.contains("aHVudGVyMg"), "{report}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(report.contains("log.level: `${env:SECRET}` is none of"), "{report}");
        let misplaced = "api: { tokens: hunter2 }\nstore: { encryption_keys: hunter2 }\nkafka: { properties: hunter2 }";
        let error = loaded_with(misplaced, &["secrets=hunter2"]).unwrap_err();
        assert!(error.problems.0.len() == 4 && !error.report().contains("hunter2"), "{}", error.report());
        let config = loaded("api: { tokens: [{ name: a, token: hunter2-hunter2-hunter2, scope: read }] }");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_reaches_the_mapping_that_names_it_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookline.yaml");
        fs::create_dir(folder.path().join("mappings")).unwrap();
        let mapping = "mappings: [{ name: a, from: t, emit: { type: x, data: '${hmac(\"x\", \"partner\")}' } }]";
        fs::write(folder.path().join("mappings/m.yaml"), mapping).unwrap();
        let with = |secrets: &str| {
            fs::write(&file, secrets).unwrap();
            load(&file, (&[], &[]), env, read).map_err(|error| error.to_string())
        };
        let config = with("secrets: { partner: hunter2 }").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(with("secrets: { other: hunter2 }").unwrap_err().contains("unknown secret `partner`"));
        assert!(with("secrets: { partner: '' }").unwrap_err().contains("secrets.partner: is empty"));
        assert!(with("secrets: { 'a b': x, partner: y }").unwrap_err().contains("secrets.a b: is not a name"));
        assert!(with("secrets: { partner: 5 }").unwrap_err().contains("must be a string, not a number"));
    }

    #[test]
    fn the_file_of_a_table_is_looked_at_again_as_the_mappings_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, table) = (folder.path().join("hookline.yaml"), folder.path().join("mappings/country.csv"));
        fs::create_dir(folder.path().join("mappings")).unwrap();
        fs::write(&file, "").unwrap();
        fs::write(folder.path().join("mappings/m.yaml"), "tables: { country: { $file: country.csv } }").unwrap();
        fs::write(&table, "code,name\nNO,Norway\n").unwrap();
        let reads = load(&file, (&[], &[]), env, read).map_err(|error| error.report()).unwrap().reads;
        assert_eq!(reads.again(), reads);
        fs::write(&table, "code,name\nNO,Norge\n").unwrap();
        assert_ne!(reads.again(), reads);
    }

    #[test]
    fn seven_mistakes_are_told_at_once_each_with_its_line() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/seven-mistakes");
        let error = load(&folder.join("hookline.yaml"), (&[], &[]), env, read).unwrap_err();
        let report = error.report().replace(&format!("{}/", folder.display()), "");
        assert_eq!(error.problems.0.len(), 7, "{report}");
        for expected in [
            "hookline.yaml:4:3: kafka.gruop: is not a known key. Did you mean `group`?\n",
            "  4 |   gruop: hookline                 # 1: no such key\n    |   ^\n",
            "hookline.yaml:7:21: store.encryption_keys[0]: must be base64 of 32 bytes, not of 7",
            "hookline.yaml:9:12: delivery.timeout: must be a duration like 15s, not `15`. It may be 1s to 1m\n",
            "hookline.yaml:11:11: api.listen: without tokens the API listens on loopback only",
            "mappings/orders.yaml:2:11: mappings[0].name: `order placed` is not a name for a mapping",
            "mappings/orders.yaml:4:",
            "mappings/orders.yaml:7:7: mappings[0].emit.subjct: is not a known key. Did you mean `subject`?\n",
        ] {
            assert!(report.contains(expected), "{expected}\n{report}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_told_with_what_to_do() {
        let told = load(Path::new("/no/such/hookline.yaml"), (&[], &[]), env, read).unwrap_err().report();
        assert!(told.starts_with("/no/such/hookline.yaml: cannot be read: "), "{told}");
        assert!(told.contains("--config FILE"), "{told}");
    }
}
