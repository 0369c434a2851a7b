//! What commands work on, as the command line names it: a config, or mapping files or subscription files alone. Mistakes
//! go to standard error, all of them, each with its line.

use crate::cli::common::{Common, Exit};
use crate::cli::output::{self, Output};
use crate::config::Config;
use crate::config::error::ConfigError;
use crate::config::log::LogSettings;
use crate::config::rules::{self, RuleFiles};
use crate::config::{declared, reads};
use crate::dryrun::suite::Test;
use crate::model::subscription::Subscription;
use crate::pipeline::Pipeline;
use crate::store::settings::StoreSettings;
use crate::yaml::node::{Data, Node};
use crate::yaml::reader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keys by which a config file is told from a mapping file; both may have `mappings`.
const CONFIG: [&str; 16] = [
    "kafka",
    "topics",
    "catalogue",
    "store",
    "delivery",
    "limits",
    "egress",
    "api",
    "metrics",
    "verification",
    "log",
    "shutdown",
    "schema_registry",
    "secrets",
    "tracing",
    "cluster",
];

/// What a path stands for.
#[derive(Debug)]
pub enum Loaded {
    /// A config with all that it names.
    Config {
        /// The file, when the command line names it.
        file: Option<PathBuf>,
        /// What it says.
        config: Box<Config>,
    },
    /// Mapping files without a config.
    Rules(Box<RuleFiles>),
    /// Declared subscriptions without a config.
    Declared(Vec<Subscription>),
}

/// What a path holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Config,
    Mappings,
    Subscriptions,
}

/// Loads the config that the command line names.
///
/// # Errors
/// [`Exit::Invalid`]; what is wrong is printed already.
pub fn load(common: &Common, output: &Output) -> Result<Config, Exit> {
    take(Config::load(&config_file(common, output)?, &common.sets), output)
}

/// Loads what commands need that work on a store: the rest of the config may be wrong.
///
/// # Errors
/// As [`load`].
pub fn store(common: &Common, output: &Output) -> Result<(StoreSettings, LogSettings), Exit> {
    take(Config::load_store(&config_file(common, output)?, &common.sets), output)
}

/// Loads what `paths` stand for, each config for itself, all mapping files and all subscription files together; without a
/// path the config.
///
/// # Errors
/// No path is given, and there is no config; that is printed already.
pub fn all(paths: Vec<PathBuf>, common: &Common, output: &Output) -> Result<Vec<Result<Loaded, ConfigError>>, Exit> {
    let load = |file: &Path, name: Option<PathBuf>| {
        Config::load(file, &common.sets).map(|config| Loaded::Config { file: name, config: Box::new(config) })
    };
    if paths.is_empty() {
        return Ok(vec![load(&config_file(common, output)?, None)]);
    }
    let (mut all, mut mappings, mut subscriptions) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        match kind(&path) {
            Kind::Config => all.push(load(&path, Some(path.clone()))),
            Kind::Mappings => mappings.push(path),
            Kind::Subscriptions => subscriptions.push(path),
        }
    }
    if !mappings.is_empty() {
        all.push(rules::load(&mappings).map(|rules| Loaded::Rules(Box::new(rules))));
    }
    if !subscriptions.is_empty() {
        all.push(declared::load(&subscriptions).map(Loaded::Declared));
    }
    Ok(all)
}

/// What was loaded, unless it is not valid.
///
/// # Errors
/// As [`load`].
pub fn take<T>(loaded: Result<T, ConfigError>, output: &Output) -> Result<T, Exit> {
    loaded.map_err(|error| {
        output.complain(output::harmless(error.report().trim_end()));
        output.fail(&anyhow::anyhow!("not valid: {}", output::count(error.problems.0.len(), "mistake")));
        Exit::Invalid
    })
}

fn config_file(common: &Common, output: &Output) -> Result<PathBuf, Exit> {
    common.config_file().map_err(|error| {
        output.fail(&error);
        Exit::Invalid
    })
}

/// What stands in a file, or in the first of a folder. What cannot be read is told when it is read as mappings.
fn kind(path: &Path) -> Kind {
    let first = reads::folder(path).ok().and_then(|files| files.into_iter().next());
    let text = std::fs::read_to_string(first.as_deref().unwrap_or(path)).unwrap_or_default();
    let Ok(Node { data: Data::Map(entries), .. }) = reader::read(&Arc::from(""), &text) else { return Kind::Mappings };
    let is = |node: &Node, kind: fn(&Data) -> bool| match &node.data {
        Data::List(nodes) => !nodes.is_empty() && nodes.iter().all(|node| kind(&node.data)),
        _ => false,
    };
    let names = |node: &Node| is(node, |data| matches!(data, Data::String(_)));
    for entry in &entries {
        match entry.key.as_str() {
            key if CONFIG.contains(&key) => return Kind::Config,
            "mappings" | "subscriptions" if names(&entry.value) => return Kind::Config,
            "subscriptions" if is(&entry.value, |data| matches!(data, Data::Map(_))) => return Kind::Subscriptions,
            _ => {}
        }
    }
    Kind::Mappings
}

// === impl Loaded ===

impl Loaded {
    /// The file that the command line names, with a colon behind.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Config { file: Some(file), .. } => format!("{}: ", file.display()),
            Self::Config { file: None, .. } | Self::Rules(_) | Self::Declared(_) => String::new(),
        }
    }

    /// Its rules, bound together, and the tests beside them; `None`: it holds no rules.
    #[must_use]
    pub fn suite(self) -> Option<(Pipeline, Vec<Test>)> {
        match self {
            Self::Config { config, .. } => {
                let pipeline = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
                Some((pipeline.publishing(config.catalogue, config.validate), config.tests))
            }
            Self::Rules(rules) => Some(rules.suite()),
            Self::Declared(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_what_stands_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file.yaml");
        for (kind, texts) in [
            (
                Kind::Config,
                &[
                    "kafka: { brokers: a }",
                    "mappings: [mappings]",
                    "mappings: []\napi: {}",
                    "catalogue: {}",
                    "subscriptions: [a]",
                ][..],
            ),
            (
                Kind::Mappings,
                &["mappings: [{name: a}]", "tables: {}", "mapings: []", "events: {}", "a: [", "", "subscriptions: []"],
            ),
            (Kind::Subscriptions, &["subscriptions: [{id: a}]"]),
        ] {
            for text in texts {
                std::fs::write(&file, text).unwrap();
                assert_eq!((super::kind(&file), super::kind(folder.path())), (kind, kind), "{text}");
            }
        }
        assert_eq!(super::kind(&folder.path().join("absent.yaml")), Kind::Mappings);
    }

    #[test]
    fn every_section_of_a_config_tells_it_from_other_files() {
        let example = reader::read(&Arc::from(""), include_str!("../../config/hookline.example.yaml")).unwrap();
        let Data::Map(entries) = example.data else { panic!("a config is a map") };
        let sections = entries.iter().map(|entry| entry.key.as_str()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sections, CONFIG.into_iter().chain(["mappings", "subscriptions"]).collect());
    }
}
