//! `hookline store`: what is done to a store while its daemon is stopped. A command of its own file each.

pub mod adopt;
mod amount;
pub mod check;
pub mod compact;
pub mod export;
pub mod import;
mod ticker;

use crate::cli::common::{Common, Exit};
use crate::cli::loaded;
use crate::cli::logs;
use crate::cli::output::Output;
use crate::runtime::fault;
use crate::store::settings::StoreSettings;

/// Works on the store of a daemon that is stopped
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline store check --config config/hookline.yaml
  hookline store export backup.hookline

  Each of them refuses while a daemon has the store. Of the config they read `store` and `log` alone, but for `adopt`.")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Reads every row, and says what does not fit
    Check(check::Args),
    /// Writes all of the store to one file, for a backup or another machine
    Export(export::Args),
    /// Makes the store of what `export` wrote
    Import(import::Args),
    /// Writes the store anew, so that it takes no more room than its rows
    Compact(compact::Args),
    /// Goes on from the consumer group's offsets with this store, after the store they belong to was lost
    Adopt(adopt::Args),
}

/// Does it.
///
/// # Errors
/// The store is in use, or it cannot be done; each command says more.
pub async fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let (store, log) = match loaded::store(&common, &output) {
        Ok(loaded) => loaded,
        Err(exit) => return Ok(exit),
    };
    drop(logs::begin(&log, &output)?);
    fault::arm();
    tokio::task::spawn_blocking(move || act(args.command, &store, (&common, &output))).await?
}

fn act(command: Command, store: &StoreSettings, (common, output): (&Common, &Output)) -> anyhow::Result<Exit> {
    match command {
        Command::Check(args) => check::run(args, store, output),
        Command::Export(args) => export::run(args, store, output),
        Command::Import(args) => import::run(args, store, output),
        Command::Compact(args) => compact::run(args, store, output),
        Command::Adopt(args) => match loaded::load(common, output) {
            Ok(config) => adopt::run(args, config, output),
            Err(exit) => Ok(exit),
        },
    }
}
