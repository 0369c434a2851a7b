//! `hookline store check`: what a store holds, and what is wrong with it.

use crate::cli::common::Exit;
use crate::cli::output::{Look, Output};
use crate::cli::store::amount;
use crate::cli::store::ticker::Ticker;
use crate::store::audit::{self, Report, Weight};
use crate::store::error::hex;
use crate::store::settings::StoreSettings;
use serde_json::{Value, json};

/// Reads every row, and says what does not fit
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline store check --config config/hookline.yaml
  hookline store check --json

  It ends with 0 when nothing is wrong, else with 1. It changes no row.")]
pub struct Args {
    /// Prints one JSON document instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Does it.
///
/// # Errors
/// The store is in use, is not there, or cannot be opened.
pub fn run(args: Args, settings: &StoreSettings, output: &Output) -> anyhow::Result<Exit> {
    let mut ticker = Ticker::new("read");
    let report = audit::audit(settings, &mut |amount| ticker.tick(amount))?;
    drop(ticker);
    match args.json {
        true => output.line(serde_json::to_string_pretty(&document(&report))?)?,
        false => table(&report, output)?,
    }
    Ok(if report.wrong == 0 { Exit::Good } else { Exit::Bad })
}

fn document(report: &Report) -> Value {
    let rows =
        report.kinds.iter().map(|(kind, amount)| json!({ "kind": kind, "rows": amount.rows, "bytes": amount.bytes }));
    let findings =
        report.findings.iter().map(|finding| json!({ "weight": weight(finding.weight), "what": finding.what }));
    json!({
        "store": hex(&report.store),
        "rows": rows.collect::<Value>(),
        "findings": findings.collect::<Value>(),
        "wrong": report.wrong,
        "leftovers": report.leftovers,
    })
}

fn table(report: &Report, output: &Output) -> std::io::Result<()> {
    output.line(format!("store {}", hex(&report.store)))?;
    for (kind, amount) in &report.kinds {
        let (rows, bytes) = (amount::grouped(amount.rows), amount::size(amount.bytes));
        output.line(format!("  {kind:<20} {rows:>12} rows {bytes:>14}"))?;
    }
    for finding in &report.findings {
        let look = match finding.weight {
            Weight::Leftover => Look::Dim,
            Weight::Wrong => Look::Bad,
        };
        output.line(format!("{}: {}", output.paint(look, weight(finding.weight)), finding.what))?;
    }
    let more = report.wrong + report.leftovers - report.findings.len() as u64;
    if more > 0 {
        output.line(format!("... and {more} more"))?;
    }
    match report.wrong {
        0 => output.line(format!("{}: nothing is wrong", output.paint(Look::Good, "good"))),
        1.. => output.line(format!(
            "{}: {} findings; `hookline store import --replace FILE` puts a backup in the place of this store",
            output.paint(Look::Bad, "bad"),
            report.wrong
        )),
    }
}

fn weight(weight: Weight) -> &'static str {
    match weight {
        Weight::Leftover => "leftover",
        Weight::Wrong => "wrong",
    }
}
