//! `hookline run`: the daemon.

use crate::cli::common::{self, Common, Exit};
use crate::cli::loaded;
use crate::cli::logs;
use crate::cli::output::Output;
use crate::daemon;
use crate::daemon::reload::Origin;
use crate::runtime::fault;

/// Runs the daemon until Ctrl-C or SIGTERM
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline run --config config/hookline.yaml --set log.format=json

  It ends with 0 after a clean stop, with 1 when it cannot go on, with 2 when its config is not valid.
  A second Ctrl-C does not wait for the clean stop. SIGHUP loads the configuration again; so does a change of its
  files. One that is not valid is told, and the one before stays in force.")]
pub struct Args {}

/// Runs it.
///
/// # Errors
/// It cannot start, or cannot go on.
pub async fn run(_args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let hangup = Some(common::hangup()?); // first of all: a signal that nobody listens for would end the process
    let config = match loaded::load(&common, &output) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let log = logs::begin(&config.log, &output)?;
    fault::arm();
    let shutdown = common::stop_on_signal()?;
    let origin = Origin { file: common.config_file()?, sets: common.sets, log, hangup };
    daemon::run(config, origin, shutdown).await?;
    Ok(Exit::Good)
}
