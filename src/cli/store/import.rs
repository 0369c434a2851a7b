//! `hookline store import`: a store of what `export` wrote, and what that means for what happened since.

use crate::cli::common::{Exit, shown as named};
use crate::cli::output::Output;
use crate::cli::store::amount;
use crate::cli::store::ticker::Ticker;
use crate::store::error::hex;
use crate::store::settings::StoreSettings;
use crate::store::upkeep::{self, Imported, Replace};
use anyhow::Context;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Makes the store of what `export` wrote
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline store import /backup/hookline-2026-01-01.archive
  hookline store import --replace backup.archive     whatever is in the store's folder is kept aside, in that folder

  The store keeps the id of the one that was exported, whose commits Kafka has: only one of the two may run. Nothing is
  changed until all of the archive is read and found whole.")]
pub struct Args {
    /// What to read; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Also when there is a store that is not empty, or that is damaged
    #[arg(long)]
    pub replace: bool,
}

/// Does it.
///
/// # Errors
/// The folder is in use, has a store that is not empty, or the archive is not sound.
pub fn run(args: Args, settings: &StoreSettings, output: &Output) -> anyhow::Result<Exit> {
    let from: Box<dyn Read> = match args.file == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(&args.file).with_context(|| format!("cannot read {}", named(&args.file)))?),
    };
    let replace = if args.replace { Replace::All } else { Replace::Nothing };
    let mut ticker = Ticker::new("took");
    let imported = upkeep::import(settings, BufReader::new(from), replace, &mut |amount| ticker.tick(amount))?;
    drop(ticker);
    tell(&imported, settings, output)?;
    Ok(Exit::Good)
}

fn tell(imported: &Imported, settings: &StoreSettings, output: &Output) -> io::Result<()> {
    let Imported { store, made, amount, aside } = imported;
    let (amount, path) = (amount::shown(*amount), settings.path.display());
    output.line(format!("{path} holds {amount} now: store {}, as it was at {made}", hex(store)))?;
    if let Some(aside) = aside {
        output.line(format!("what was there is kept in {}: remove it when nobody needs it", aside.display()))?;
    }
    output.line(format!(
        "\
What the daemon did after {made} is not in it:
- what was delivered since may be delivered again, with the same webhook-id;
- what failed, went behind or was given up since, and subscriptions that were made since, are not known. Kafka's commits
  are further on. To send everything since then again, make a replay with \"from\": \"{made}\" for each
  subscription (POST /v1/subscriptions/<id>/replays), as long as Kafka has it.
The old store, if there is one still, must not run any more: both have the same id."
    ))
}
