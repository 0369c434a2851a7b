//! `hookline check`: every mistake in config, mappings and declared subscriptions, at once.

use crate::cli::common::{Common, Exit};
use crate::cli::loaded;
use crate::cli::output::{self, Look, Output};
use crate::config::Config;
use crate::config::{declared, reads, rules};
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
  hookline check config/subscriptions              declared subscriptions alone: only what is public may be called

  It ends with 0 when everything is valid, else with 2.")]
pub struct Args {
    /// Config files, and files or folders of mappings or subscriptions [default: the config and all that it names]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Checks it.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let (mut configs, mut mappings, mut subscriptions) = (Vec::new(), Vec::new(), Vec::new());
    for path in args.paths {
        let kind = match kind(&path) {
            Kind::Config => &mut configs,
            Kind::Mappings => &mut mappings,
            Kind::Subscriptions => &mut subscriptions,
        };
        kind.push(path);
    }
    let mut valid = Vec::new();
    if configs.is_empty() && mappings.is_empty() && subscriptions.is_empty() {
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
    if !subscriptions.is_empty() {
        match loaded::take(declared::load(&subscriptions), &output) {
            Ok(declared) => valid.push(output::count(declared.len(), "declared subscription")),
            Err(invalid) => exit = invalid,
        }
    }
    let word = output.paint(Look::Good, "valid");
    valid.iter().try_for_each(|about| output.line(format!("{word}: {about}")))?;
    Ok(exit)
}

/// What a path holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Config,
    Mappings,
    Subscriptions,
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

fn about_config(config: &Config) -> String {
    let mappings = about(&config.mappings, config.files.len());
    match config.declared.as_ref().map_or(0, Vec::len) {
        0 => mappings,
        declared => format!("{mappings}; {}", output::count(declared, "declared subscription")),
    }
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
    fn a_file_is_known_by_what_stands_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file.yaml");
        for (kind, texts) in [
            (
                Kind::Config,
                &["kafka: { brokers: a }", "mappings: [mappings]", "mappings: []\napi: {}", "subscriptions: [a]"][..],
            ),
            (Kind::Mappings, &["mappings: [{name: a}]", "tables: {}", "mapings: []", "a: [", "", "subscriptions: []"]),
            (Kind::Subscriptions, &["subscriptions: [{id: a}]"]),
        ] {
            for text in texts {
                std::fs::write(&file, text).unwrap();
                assert_eq!((super::kind(&file), super::kind(folder.path())), (kind, kind), "{text}");
            }
        }
        assert_eq!(super::kind(&folder.path().join("absent.yaml")), Kind::Mappings);
    }
}
