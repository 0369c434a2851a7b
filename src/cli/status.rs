//! `hookline status`: how a running daemon is.

use crate::cli::common::Exit;
use crate::cli::output::{Look, Output};
use crate::cli::remote::{Reach, Remote};
use crate::cli::{shown, table};
use serde_json::Value;

/// Shows how a running daemon is: partitions, lanes, what it holds
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline status
  hookline status --api https://hookline.internal --json

  It ends with 1 when the daemon says that Kafka or its store does not work.")]
pub struct Args {
    /// Which daemon.
    #[command(flatten)]
    pub reach: Reach,
}

/// Shows it.
///
/// # Errors
/// The daemon does not answer, or refuses.
pub async fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    let reach = args.reach;
    let mut status = Remote::of(&reach)?.get(&["status"]).await?;
    let well = status["kafka"]["ok"] == true && status["store"]["ok"] == true;
    let exit = if well { Exit::Good } else { Exit::Bad };
    if reach.json {
        shown::one(&status, (&reach, &output))?;
        return Ok(exit);
    }
    let partitions = match status["partitions"].take() {
        Value::Array(partitions) => partitions,
        _ => Vec::new(),
    };
    if let Some(fields) = status.as_object_mut() {
        fields.shift_remove("partitions");
    }
    for part in ["kafka", "store"] {
        if let Some(why) = status[part]["reason"].as_str() {
            output.line(output.paint(Look::Bad, &format!("{part}: {}", crate::cli::output::harmless(why))))?;
        }
    }
    output.line(table::fields(&status, &output))?;
    let columns = [
        ("TOPIC", "topic"),
        ("PARTITION", "partition"),
        ("POSITION", "position"),
        ("LAG", "lag"),
        ("UNSETTLED", "unsettled"),
        ("PAUSED", "paused"),
    ];
    if !partitions.is_empty() {
        output.line(format!("\n{}", table::table(&partitions, &columns, &output)))?;
    }
    Ok(exit)
}
