//! `hookline store export`: all of a store in one file, whole or not at all.

use crate::cli::common::Exit;
use crate::cli::output::Output;
use crate::cli::store::amount;
use crate::cli::store::ticker::Ticker;
use crate::store::settings::StoreSettings;
use crate::store::upkeep::{self, Amount};
use anyhow::{Context, ensure};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes all of the store to one file, for a backup or another machine
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline store export /backup/hookline-2026-01-01.archive
  hookline store export - | zstd > backup.zst

  The secrets of subscriptions are in it as they are in the store: sealed when `store.encryption_keys` is set, else
  readable. Keep it as you keep the store, and its keys elsewhere.")]
pub struct Args {
    /// Where to write it; `-` is standard output. A file that is there is replaced when the new one is whole
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Does it.
///
/// # Errors
/// The store is in use, is not there, or cannot be read; the file cannot be written.
pub fn run(args: Args, settings: &StoreSettings, output: &Output) -> anyhow::Result<Exit> {
    let (amount, place) = match args.file == Path::new("-") {
        true => {
            ensure!(!io::stdout().is_terminal(), "an archive is not for terminals: name a FILE, or write it to a pipe");
            (write(settings, io::stdout().lock())?, "standard output".into())
        }
        false => (to_file(settings, &args.file)?, args.file.display().to_string()),
    };
    // Standard output may be the archive itself.
    output.complain(format!("wrote {} to {}", amount::shown(amount), place));
    Ok(Exit::Good)
}

/// Under a name of its own until it is whole and durable.
fn to_file(settings: &StoreSettings, file: &Path) -> anyhow::Result<Amount> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let io = |path: &Path| format!("cannot write {}", path.display());
    // Secrets may be in it, and readable.
    let mut options = OpenOptions::new();
    let out = options.write(true).create(true).truncate(true).mode(0o600).open(&part).with_context(|| io(&part))?;
    let written = write(settings, BufWriter::new(&out)).and_then(|amount| {
        out.sync_all().with_context(|| io(&part))?;
        fs::rename(&part, file).with_context(|| io(file))?;
        let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| io(folder))?;
        Ok(amount)
    });
    if written.is_err() {
        drop(fs::remove_file(&part));
    }
    written
}

fn write(settings: &StoreSettings, out: impl io::Write) -> anyhow::Result<Amount> {
    let mut ticker = Ticker::new("wrote");
    let amount = upkeep::export(settings, out, &mut |amount| ticker.tick(amount))?;
    Ok(amount)
}
