//! `hookline run`: the daemon.

use crate::cli::common::{self, Common, Exit};
use crate::cli::loaded;
use crate::cli::logs;
use crate::cli::output::Output;
use crate::daemon;
use crate::runtime::fault;

/// Runs the daemon until Ctrl-C or SIGTERM
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline run --config config/hookline.yaml --set log.format=json

  It ends with 0 after a clean stop, with 1 when it cannot go on, with 2 when its config is not valid.
  A second Ctrl-C does not wait for the clean stop.")]
pub struct Args {}

/// Runs it.
///
/// # Errors
/// It cannot start, or cannot go on.
pub async fn run(_args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let config = match loaded::load(&common, &output) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    logs::begin(&config.log, &output)?;
    fault::arm();
    let shutdown = common::stop_on_signal()?;
    daemon::run(config, shutdown).await?;
    Ok(Exit::Good)
}
