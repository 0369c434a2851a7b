//! `hookline dead-letter`: deliveries that a running daemon has given up.

use crate::cli::common::Exit;
use crate::cli::output::Output;
use crate::cli::remote::{Reach, Remote};
use crate::cli::shown::{self, Listed};
use serde_json::{Value, json};

/// Works on deliveries that a running daemon has given up
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline dead-letter list --subscription sub_01JD0000000000000000000000
  hookline dead-letter retry --reason expired --dry-run
  hookline dead-letter purge --subscription sub_01JD0000000000000000000000")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Lists them, the oldest of each subscription first
    #[command(after_help = "\
Example:
  hookline dead-letter list --reason gone --json")]
    List {
        /// Which.
        #[command(flatten)]
        filter: Filter,
        /// How many at most.
        #[command(flatten)]
        listed: Listed,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
    /// Sends them again, with the ids they had
    #[command(after_help = "\
Example:
  hookline dead-letter retry --subscription sub_01JD0000000000000000000000
  hookline dead-letter retry --all --dry-run

  It ends with 1 when some have to wait: the ledger of their subscription has no room.")]
    Retry {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Only says how many there are
        #[arg(long)]
        dry_run: bool,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
    /// Removes them: nobody gets them any more
    #[command(after_help = "\
Example:
  hookline dead-letter purge --reason retention_lost")]
    Purge {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
}

/// Some of them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filter {
    /// Of this subscription
    #[arg(long, value_name = "ID")]
    pub subscription: Option<String>,
    /// Given up for this reason
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
}

/// One, some or all; none by mistake.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// This one
    #[arg(value_name = "ID", conflicts_with_all = ["subscription", "reason", "all"])]
    #[arg(required_unless_present_any = ["subscription", "reason", "all"])]
    pub id: Option<String>,
    /// Some.
    #[command(flatten)]
    pub filter: Filter,
    /// All of them
    #[arg(long, conflicts_with_all = ["subscription", "reason"])]
    pub all: bool,
}

/// Does it.
///
/// # Errors
/// The daemon does not answer, or refuses.
pub async fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    match args.command {
        Command::List { filter, listed, reach } => {
            let items = Remote::of(&reach)?.list(&["dead-letters"], &filter.query(), listed.limit).await?;
            let columns = [
                ("ID", "id"),
                ("DIED", "died_at"),
                ("SUBSCRIPTION", "subscription"),
                ("REASON", "reason"),
                ("STATUS", "last/status"),
                ("TYPE", "event/type"),
                ("EVENT", "event/id"),
            ];
            shown::items(items, &columns, (&reach, &output))
        }
        Command::Retry { which, dry_run, reach } => {
            let told = retry(&Remote::of(&reach)?, json!({ "filter": which.named(), "dry_run": dry_run })).await?;
            shown::done(&told, (&reach, &output))?;
            Ok(if told["waiting"].as_u64() == Some(0) { Exit::Good } else { Exit::Bad })
        }
        Command::Purge { which, reach } => {
            let told = purge(&Remote::of(&reach)?, &which).await?;
            shown::done(&told, (&reach, &output))
        }
    }
}

/// As many requests as there are thousands of them; those that wait are not asked for again.
async fn retry(remote: &Remote, body: Value) -> anyhow::Result<Value> {
    let (mut matched, mut retried) = (0, 0);
    loop {
        let told = remote.post(&["dead-letters", "retry"], &body).await?;
        let count = |field: &str| told[field].as_u64().unwrap_or_default();
        (matched, retried) = (matched + count("matched"), retried + count("retried"));
        let more = told["more"] == true;
        if !more || body["dry_run"] == true || count("waiting") > 0 || count("retried") == 0 {
            return Ok(json!({ "matched": matched, "retried": retried, "waiting": count("waiting"), "more": more }));
        }
    }
}

async fn purge(remote: &Remote, which: &Which) -> anyhow::Result<Value> {
    if let Some(id) = &which.id {
        remote.delete(&["dead-letters", id], &[]).await?;
        return Ok(json!({ "removed": 1 }));
    }
    if !which.all {
        return remote.remove(&["dead-letters"], &[which.filter.query()]).await;
    }
    // The API removes nothing unless it is said what: all are those of each subscription.
    let all = remote.list(&["subscriptions"], &[], usize::MAX).await?.items;
    let ids = all.iter().filter_map(|one| one["id"].as_str());
    remote.remove(&["dead-letters"], &ids.map(|id| vec![("subscription", id)]).collect::<Vec<_>>()).await
}

// === impl Filter ===

impl Filter {
    fn query(&self) -> Vec<(&'static str, &str)> {
        let fields = [("subscription", &self.subscription), ("reason", &self.reason)];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }
}

// === impl Which ===

impl Which {
    /// As the filter of a retry.
    fn named(&self) -> Value {
        let fields = self.filter.query().into_iter().chain(self.id.as_deref().map(|id| ("id", id)));
        fields.map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }
}
