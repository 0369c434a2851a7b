//! `hookline replay`: what Kafka still holds, sent again by a running daemon.

use crate::cli::common::Exit;
use crate::cli::output::Output;
use crate::cli::remote::{Items, Reach, Remote};
use crate::cli::shown;
use serde_json::{Value, json};

/// Sends again what Kafka still holds, by a running daemon
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline replay create sub_01JD0000000000000000000000 --from 2026-01-01T00:00:00Z --dry-run
  hookline replay list sub_01JD0000000000000000000000")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Begins one
    #[command(after_help = "\
Example:
  hookline replay create sub_01JD0000000000000000000000 --from earliest --type 'com.acme.order.*'")]
    Create {
        /// The subscription's id
        #[arg(value_name = "SUBSCRIPTION")]
        subscription: String,
        /// Where it begins: `earliest`, or a time as in RFC 3339
        #[arg(long, value_name = "TIME")]
        from: String,
        /// Where it ends [default: the end of the log as it is now]
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// A pattern of types that are meant. Can be given more than once [default: all]
        #[arg(long = "type", value_name = "PATTERN")]
        types: Vec<String>,
        /// Only counts what would be sent
        #[arg(long)]
        dry_run: bool,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
    /// Lists those of a subscription, with how far they are
    #[command(after_help = "\
Example:
  hookline replay list sub_01JD0000000000000000000000 --json")]
    List {
        /// The subscription's id
        #[arg(value_name = "SUBSCRIPTION")]
        subscription: String,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
    /// Calls one off; what was sent was sent
    #[command(after_help = "\
Example:
  hookline replay cancel sub_01JD0000000000000000000000 rpl_01JD0000000000000000000000")]
    Cancel {
        /// The subscription's id
        #[arg(value_name = "SUBSCRIPTION")]
        subscription: String,
        /// The replay's id
        #[arg(value_name = "REPLAY")]
        replay: String,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
}

/// Does it.
///
/// # Errors
/// The daemon does not answer, or refuses.
pub async fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    match args.command {
        Command::Create { subscription, from, to, types, dry_run, reach } => {
            let types = Some(types).filter(|types| !types.is_empty());
            let body = json!({ "from": from, "to": to, "types": types, "dry_run": dry_run });
            let made = Remote::of(&reach)?.post(&["subscriptions", &subscription, "replays"], &body).await?;
            shown::one(&made, (&reach, &output))
        }
        Command::List { subscription, reach } => {
            let mut page = Remote::of(&reach)?.get(&["subscriptions", &subscription, "replays"]).await?;
            let items = match page["items"].take() {
                Value::Array(items) => items,
                _ => Vec::new(),
            };
            let columns = [
                ("ID", "id"),
                ("STATE", "state"),
                ("DELIVERED", "delivered"),
                ("TOTAL", "total"),
                ("FROM", "from"),
                ("TO", "to"),
                ("TYPES", "types"),
            ];
            shown::items(Items { items, more: false }, &columns, (&reach, &output))
        }
        Command::Cancel { subscription, replay, reach } => {
            let path = ["subscriptions", &subscription, "replays", &replay];
            Remote::of(&reach)?.delete(&path, &[]).await?;
            shown::done(&json!({ "cancelled": replay }), (&reach, &output))
        }
    }
}
