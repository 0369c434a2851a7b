//! `hookline store adopt`: the group's offsets become this store's.

use crate::cli::common::Exit;
use crate::cli::output::Output;
use crate::config::Config;
use crate::daemon::adopt;

/// Goes on from the consumer group's offsets with this store, after the store they belong to was lost
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline store adopt --config config/hookline.yaml

  Stop every daemon of the group first. What the lost store held is gone: its subscriptions, its retries, its dead
  letters, and the places of subscribers that were behind.")]
pub struct Args {}

/// Does it.
///
/// # Errors
/// The store is in use, the group has members, or no broker answers.
pub fn run(_: Args, config: Config, output: &Output) -> anyhow::Result<Exit> {
    let group = config.kafka.group.clone();
    let adopt::Adopted { store, partitions } = adopt::adopt(config)?;
    output.line(format!("the offsets of group {group} belong to store {store} now ({partitions} partitions)"))?;
    Ok(Exit::Good)
}
