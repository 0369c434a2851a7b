//! What commands work on, as the command line names it: a config, or mapping files alone. Mistakes go to standard error,
//! all of them, each with its line.

use crate::cli::common::{Common, Exit};
use crate::cli::output::{self, Output};
use crate::config::Config;
use crate::config::error::ConfigError;
use crate::config::rules::{self, RuleFiles};
use crate::dryrun::suite::Test;
use crate::map::Mappings;
use crate::pipeline::Pipeline;
use crate::yaml::node::{Data, Node};
use crate::yaml::reader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keys by which a config file is told from a mapping file; both may have `mappings`.
const CONFIG: [&str; 15] = [
    "kafka",
    "topics",
    "catalogue",
    "store",
    "delivery",
    "limits",
    "egress",
    "api",
    "metrics",
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
}

/// Loads the config that the command line names.
///
/// # Errors
/// [`Exit::Invalid`]; what is wrong is printed already.
pub fn load(common: &Common, output: &Output) -> Result<Config, Exit> {
    take(Config::load(&config_file(common, output)?, &common.sets), output)
}

/// Loads what `paths` stand for, each config for itself and all mapping files together; without a path the config.
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
    let (configs, mappings): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| is_config(path));
    let mut all: Vec<_> = configs.into_iter().map(|file| load(&file, Some(file.clone()))).collect();
    if !mappings.is_empty() {
        all.push(rules::load(&mappings).map(|rules| Loaded::Rules(Box::new(rules))));
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

/// Whether a file is a config, not a mapping file. What cannot be read is told when it is read as one of them.
fn is_config(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let Ok(Node { data: Data::Map(entries), .. }) = reader::read(&Arc::from(""), &text) else { return false };
    let texts = |node: &Node| match &node.data {
        Data::List(nodes) => !nodes.is_empty() && nodes.iter().all(|node| matches!(node.data, Data::String(_))),
        _ => false,
    };
    entries.iter().any(|entry| CONFIG.contains(&entry.key.as_str()) || (entry.key == "mappings" && texts(&entry.value)))
}

// === impl Loaded ===

impl Loaded {
    /// The file that the command line names, with a colon behind.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Config { file: Some(file), .. } => format!("{}: ", file.display()),
            Self::Config { file: None, .. } | Self::Rules(_) => String::new(),
        }
    }

    /// Its mappings.
    #[must_use]
    pub fn mappings(&self) -> &Mappings {
        match self {
            Self::Config { config, .. } => &config.mappings,
            Self::Rules(rules) => &rules.mappings,
        }
    }

    /// How many mapping files it was read from.
    #[must_use]
    pub fn files(&self) -> usize {
        match self {
            Self::Config { config, .. } => config.files.len(),
            Self::Rules(rules) => rules.files.len(),
        }
    }

    /// Its rules, bound together, and the tests beside them.
    #[must_use]
    pub fn suite(self) -> (Pipeline, Vec<Test>) {
        match self {
            Self::Config { config, .. } => {
                let pipeline = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
                (pipeline.publishing(config.catalogue, config.validate), config.tests)
            }
            Self::Rules(rules) => rules.suite(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_told_from_a_mapping_file() {
        let folder = tempfile::tempdir().unwrap();
        let is = |text: &str| {
            let file = folder.path().join("file.yaml");
            std::fs::write(&file, text).unwrap();
            is_config(&file)
        };
        assert!(is("kafka: { brokers: a }") && is("mappings: [mappings]") && is("mappings: []\napi: {}"));
        assert!(!is("mappings: [{name: a}]") && !is("tables: {}") && !is("mapings: []") && !is("a: [") && !is(""));
        assert!(!is_config(folder.path()) && !is_config(&folder.path().join("absent.yaml")));
    }
}
