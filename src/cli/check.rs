//! `hookline check`: every mistake in config, mappings and declared subscriptions, at once.

use crate::cli::common::{Common, Exit};
use crate::cli::loaded::{self, Loaded};
use crate::cli::output::{self, Look, Output};
use crate::config::error::ConfigError;
use crate::map::Mappings;
use crate::map::mapping::TopicSelector;
use crate::model::problem::Problem;
use crate::model::subscription::Subscription;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Says what is wrong with the config and its mappings: all mistakes at once
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline check
  hookline check config/mappings/orders.yaml     # mappings alone, without a config
  hookline check config/subscriptions            # declared subscriptions alone: only what is public may be called
  hookline check --json | jq -r '.problems[] | \"\\(.file):\\(.line): \\(.what)\"'

  It ends with 0 when everything is valid, else with 2.")]
pub struct Args {
    /// Config files, and files or folders of mappings or subscriptions [default: the config and all that it names]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Prints JSON: every mistake with its place, for editors and CI
    #[arg(long)]
    pub json: bool,
}

/// Checks it.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let all = match loaded::all(args.paths, &common, &output) {
        Ok(all) => all,
        Err(exit) => return Ok(exit),
    };
    let valid = all.iter().all(Result::is_ok);
    if args.json {
        let problems: Vec<Value> = all.iter().filter_map(|one| one.as_ref().err()).flat_map(problems).collect();
        output.line(serde_json::to_string_pretty(&json!({ "valid": valid, "problems": problems }))?)?;
        return Ok(if valid { Exit::Good } else { Exit::Invalid });
    }
    for one in all {
        if let Ok(one) = loaded::take(one, &output) {
            let (word, name) = (output.paint(Look::Good, "valid"), one.name());
            output.line(format!("{word}: {name}{}", about(&one)))?;
        }
    }
    Ok(if valid { Exit::Good } else { Exit::Invalid })
}

/// Each mistake as JSON.
fn problems(error: &ConfigError) -> Vec<Value> {
    let one = |problem: &Problem| {
        json!({
            "file": &*problem.place.file,
            "line": problem.place.line,
            "column": problem.place.column,
            "path": problem.path,
            "what": problem.what,
            "hint": problem.hint,
        })
    };
    error.problems.0.iter().map(one).collect()
}

/// How much was checked.
fn about(one: &Loaded) -> String {
    let count = |declared: &[Subscription]| output::count(declared.len(), "declared subscription");
    match one {
        Loaded::Config { config, .. } => {
            let mappings = about_rules(&config.mappings, config.files.len());
            match config.declared.as_deref().unwrap_or_default() {
                [] => mappings,
                declared => format!("{mappings}; {}", count(declared)),
            }
        }
        Loaded::Rules(rules) => about_rules(&rules.mappings, rules.files.len()),
        Loaded::Declared(declared) => count(declared),
    }
}

fn about_rules(mappings: &Mappings, files: usize) -> String {
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
