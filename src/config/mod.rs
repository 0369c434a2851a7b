//! Every room's settings, read once and checked: what a user wrote becomes a [`Config`], or all mistakes at once.
//!
//! The way: file -> tree -> `--set` over it -> references replaced -> section by section -> mapping files. No room
//! imports this one; each has its settings, and here they are put together. Paths of what is read (`mappings`,
//! `egress.ca_file`, `${file:...}`) are relative to the configuration file, `store.path` to the working directory.

mod api;
mod delivery;
mod egress;
pub mod error;
pub mod files;
mod kafka;
mod later;
mod limits;
pub mod log;
mod masked;
mod reading;
mod references;
pub mod rules;
mod sets;
mod store;
mod topics;

use crate::config::error::{ConfigError, Sources};
use crate::config::files::Named;
use crate::config::log::LogSettings;
use crate::config::reading::{Reading, put};
use crate::config::references::Surroundings;
use crate::decode::format::Format;
use crate::egress::settings::EgressSettings;
use crate::intake::settings::IntakeSettings;
use crate::kafka::settings::KafkaSettings;
use crate::lane::settings::DeliverySettings;
use crate::map::Mappings;
use crate::map::mapping::TopicSelector;
use crate::model::problem::Place;
use crate::store::settings::StoreSettings;
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
    /// How the records of topics are decoded; the first that names a topic counts, else JSON.
    pub formats: Vec<(TopicSelector, Format)>,
    /// The mappings, compiled.
    pub mappings: Mappings,
    /// The mapping files, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// Where the store is.
    pub store: StoreSettings,
    /// The defaults of every subscription.
    pub delivery: DeliverySettings,
    /// What may be open at once.
    pub limits: IntakeSettings,
    /// What may be called.
    pub egress: EgressSettings,
    /// The API's listener.
    pub api: ApiSettings,
    /// The listener of metrics and health.
    pub metrics: MetricsSettings,
    /// How the process writes its log.
    pub log: LogSettings,
    /// How long a stop may take.
    pub grace: Duration,
}

// === impl Config ===

impl Config {
    /// Reads the configuration `file`, with `sets` (`path.to.key=value`) over it, and the mapping files it names.
    ///
    /// # Errors
    /// All mistakes in all files.
    #[allow(clippy::disallowed_methods, reason = "the environment is read here, once")]
    pub fn load(file: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        load(file, sets, &|name| std::env::var(name).ok())
    }
}

fn load(file: &Path, sets: &[String], environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let (mut reading, mut sources) = (Reading::new(file), Sources::default());
    let Some(mut tree) = tree(file, &mut reading, &mut sources) else {
        return Err(ConfigError::new(reading.end(), sources));
    };
    sets::apply(&mut tree, sets, &mut reading.problems);
    let folder = reading.folder.clone();
    let surroundings = Surroundings { folder: &folder, environment };
    let resolved = references::resolve(&mut tree, "", &surroundings, &mut reading.problems);
    reading.remember(resolved);
    let config = read(&tree, &mut reading, &mut sources);
    match config {
        Some(config) => reading.end().or(config),
        None => Err(reading.end()),
    }
    .map_err(|problems| ConfigError::new(problems, sources))
}

/// The file as a tree; an empty file is an empty map.
fn tree(file: &Path, reading: &mut Reading, sources: &mut Sources) -> Option<Node> {
    let name: Arc<str> = file.display().to_string().into();
    let text = match files::text(file) {
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
    let formats = topics::read(top.optional("topics"), reading);
    let named = mapping_paths(top.optional("mappings"), &tree.place, reading);
    let store = store::read(top.optional("store"), reading);
    let mut delivery = delivery::read(top.optional("delivery"), reading);
    let (limits, queue) = limits::read(top.optional("limits"), reading);
    put(&mut delivery.queue, queue);
    let egress = egress::read(top.optional("egress"), reading);
    let api = api::read(top.optional("api"), reading);
    let metrics = api::metrics(top.optional("metrics"), api.listen, reading);
    let log = log::read(top.optional("log"), reading);
    let grace = grace(top.optional("shutdown"), reading);
    later::refuse(&mut top, "schema_registry", later::SCHEMA_REGISTRY, reading);
    later::refuse(&mut top, "secrets", "{}", reading);
    later::refuse(&mut top, "tracing", later::TRACING, reading);
    later::refuse(&mut top, "cluster", later::CLUSTER, reading);
    declared(top.optional("subscriptions"), &tree.place, reading);
    top.finish(&mut reading.problems);
    let rules = rules::read(&named, &mut reading.problems, sources);
    let (mappings, files) = (rules.mappings, rules.files);
    Some(Config { kafka, formats, mappings, files, store, delivery, limits, egress, api, metrics, log, grace })
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

/// Declared subscriptions come later: the key may stand at its default as long as that folder holds none.
fn declared(field: Option<Field<'_>>, top: &Place, reading: &mut Reading) {
    let written = field.as_ref().map(|field| field.node.to_json());
    let default =
        written.is_none_or(|value| value == serde_json::json!(["subscriptions"]) || value == serde_json::json!([]));
    let place = field.map_or(top.clone(), |field| field.node.place.clone());
    if !default {
        let hint = "Make subscriptions with POST /v1/subscriptions";
        reading.problems.add(&place, "subscriptions", "is not yet available in this version", hint);
    } else if let Some(file) = files::folder(&reading.folder.join("subscriptions")).ok().and_then(|mut f| f.pop()) {
        let what = format!("declared subscriptions are not yet available in this version: {}", file.display());
        reading.problems.add(&place, "subscriptions", what, "Make them with POST /v1/subscriptions");
    }
}
