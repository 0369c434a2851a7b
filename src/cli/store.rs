//! `hookline store`: what is done to a store while its daemon is stopped.

use crate::cli::common::{Common, Exit};
use crate::cli::loaded;
use crate::cli::logs;
use crate::cli::output::Output;
use crate::daemon::adopt;

/// Works on the store of a daemon that is stopped
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline store adopt --config config/hookline.yaml")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Goes on from the consumer group's offsets with this store, after the store they belong to was lost
    #[command(after_help = "\
Example:
  hookline store adopt --config config/hookline.yaml

  Stop every daemon of the group first. What the lost store held is gone: its subscriptions, its retries, its dead
  letters, and the places of subscribers that were behind.")]
    Adopt,
}

/// Does it.
///
/// # Errors
/// The store is in use, the group has members, or no broker answers.
pub async fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let config = match loaded::load(&common, &output) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    drop(logs::begin(&config.log, &output)?);
    let Command::Adopt = args.command;
    let group = config.kafka.group.clone();
    let adopted = tokio::task::spawn_blocking(move || adopt::adopt(config)).await??;
    let adopt::Adopted { store, partitions } = adopted;
    output.line(format!("the offsets of group {group} belong to store {store} now ({partitions} partitions)"))?;
    Ok(Exit::Good)
}
