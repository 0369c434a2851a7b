//! `hookline store compact`: the room that a store's past takes is given back.

use crate::cli::common::Exit;
use crate::cli::output::Output;
use crate::cli::store::amount;
use crate::cli::store::ticker::Ticker;
use crate::store::settings::StoreSettings;
use crate::store::upkeep;

/// Writes the store anew, so that it takes no more room than its rows
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline store compact --config config/hookline.yaml

  Until the new one is whole and durable, the old one stays the store; a kill at any instant leaves one of both.")]
pub struct Args {}

/// Does it.
///
/// # Errors
/// The store is in use, is not there, cannot be read, or the disk has no room for both.
pub fn run(_: Args, settings: &StoreSettings, output: &Output) -> anyhow::Result<Exit> {
    let mut ticker = Ticker::new("wrote");
    let compacted = upkeep::compact(settings, &mut |amount| ticker.tick(amount))?;
    drop(ticker);
    let (amount, before, after) =
        (amount::shown(compacted.amount), amount::size(compacted.before), amount::size(compacted.after));
    output.line(format!("{}: {amount}, {before} on disk before, {after} now", settings.path.display()))?;
    Ok(Exit::Good)
}
