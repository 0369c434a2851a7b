//! `hookline check`: every mistake in config and mappings, at once.

use crate::cli::common::{Common, Exit};
use crate::cli::loaded;
use crate::cli::output::{self, Look, Output};
use crate::config::Config;
use crate::config::rules;
use crate::map::Mappings;
use crate::map::mapping::TopicSelector;
use crate::yaml::node::{Data, Node};
use crate::yaml::reader;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keys by which a config file is told from a mapping file; both may have `mappings`.
const CONFIG: [&str; 14] = [
    "kafka",
    "topics",
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

/// Says what is wrong with the config and its mappings: all mistakes at once
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline check
  hookline check config/mappings/orders.yaml       mappings alone, without a config

  It ends with 0 when everything is valid, else with 2.")]
pub struct Args {
    /// Config files, mapping files or folders of mappings [default: the config and all that it names]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Checks it.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let (configs, mappings): (Vec<PathBuf>, Vec<PathBuf>) = args.paths.into_iter().partition(|path| is_config(path));
    let mut valid = Vec::new();
    if configs.is_empty() && mappings.is_empty() {
        match loaded::load(&common, &output) {
            Ok(config) => valid.push(about_config(&config)),
            Err(exit) => return Ok(exit),
        }
    }
    let mut exit = Exit::Good;
    for file in configs {
        match loaded::take(Config::load(&file, &common.sets), &output) {
            Ok(config) => valid.push(format!("{}: {}", file.display(), about_config(&config))),
            Err(invalid) => exit = invalid,
        }
    }
    if !mappings.is_empty() {
        match loaded::take(rules::load(&mappings), &output) {
            Ok(rules) => valid.push(about(&rules.mappings, rules.files.len())),
            Err(invalid) => exit = invalid,
        }
    }
    let word = output.paint(Look::Good, "valid");
    valid.iter().try_for_each(|about| output.line(format!("{word}: {about}")))?;
    Ok(exit)
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

fn about_config(config: &Config) -> String {
    about(&config.mappings, config.files.len())
}

/// How much was checked.
fn about(mappings: &Mappings, files: usize) -> String {
    let mut topics: BTreeSet<&str> = BTreeSet::new();
    for selector in mappings.topics() {
        topics.insert(match selector {
            TopicSelector::Name(name) => name,
            TopicSelector::Pattern(_) => "topics by pattern",
        });
    }
    let (count, files) = (output::count(mappings.names().count(), "mapping"), output::count(files, "file"));
    match topics.is_empty() {
        true => format!("{count} in {files}"),
        false => format!("{count} in {files}, reading {}", topics.into_iter().collect::<Vec<_>>().join(", ")),
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
