//! `hookline quarantine`: records that a running daemon did not understand.

use crate::cli::common::Exit;
use crate::cli::output::Output;
use crate::cli::remote::{Reach, Remote};
use crate::cli::shown::{self, Listed};
use crate::model::quarantine::FaultReason;
use serde_json::{Value, json};

/// Works on records that a running daemon did not understand
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline quarantine list --topic shop.orders
  hookline quarantine retry --mapping order-placed
  hookline quarantine drop --reason decode")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Lists them, by topic, partition and offset
    #[command(after_help = "\
Example:
  hookline quarantine list --reason decode --json")]
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
    /// Shows one, with its bytes
    #[command(after_help = "\
Example:
  hookline quarantine show quar_AAAAAQAAAAAAAAAAAAAAB29yZGVy --json")]
    Show {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
    /// Passes them through the rules in force again; what they become goes to those who were owed it
    #[command(after_help = "\
Example:
  hookline quarantine retry --mapping order-placed
  hookline quarantine retry --all --dry-run

  It ends with 1 when some still fail, or have to wait.")]
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
    /// Lets them go: nobody gets them any more
    #[command(after_help = "\
Example:
  hookline quarantine drop --topic shop.orders --reason decode")]
    Drop {
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
    /// Of this topic
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// That this mapping failed on
    #[arg(long, value_name = "NAME")]
    pub mapping: Option<String>,
    /// For this reason: decode, map, limit or event
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
}

/// One, some or all; none by mistake.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// This one
    #[arg(value_name = "ID", conflicts_with_all = ["topic", "mapping", "reason", "all"])]
    #[arg(required_unless_present_any = ["topic", "mapping", "reason", "all"])]
    pub id: Option<String>,
    /// Some.
    #[command(flatten)]
    pub filter: Filter,
    /// All of them
    #[arg(long, conflicts_with_all = ["topic", "mapping", "reason"])]
    pub all: bool,
}

/// Does it.
///
/// # Errors
/// The daemon does not answer, or refuses.
pub async fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    match args.command {
        Command::List { filter, listed, reach } => {
            let items = Remote::of(&reach)?.list(&["quarantine"], &filter.query(), listed.limit).await?;
            let columns = [
                ("ID", "id"),
                ("TOPIC", "origin/topic"),
                ("PARTITION", "origin/partition"),
                ("OFFSET", "origin/offset"),
                ("REASON", "reason"),
                ("MAPPING", "mapping"),
                ("FOR", "for"),
                ("DETAIL", "detail"),
            ];
            shown::items(items, &columns, (&reach, &output))
        }
        Command::Show { id, reach } => {
            let row = Remote::of(&reach)?.get(&["quarantine", &id]).await?;
            shown::one(&row, (&reach, &output))
        }
        Command::Retry { which, dry_run, reach } => {
            let told = retry(&Remote::of(&reach)?, json!({ "filter": which.named(), "dry_run": dry_run })).await?;
            shown::done(&told, (&reach, &output))?;
            let well = ["failed", "waiting"].iter().all(|field| told[field].as_u64() == Some(0));
            Ok(if well { Exit::Good } else { Exit::Bad })
        }
        Command::Drop { which, reach } => {
            let told = drop_some(&Remote::of(&reach)?, &which).await?;
            shown::done(&told, (&reach, &output))
        }
    }
}

/// As many requests as there are thousands of them, one behind the other.
async fn retry(remote: &Remote, mut body: Value) -> anyhow::Result<Value> {
    const COUNTS: [&str; 4] = ["matched", "retried", "failed", "waiting"];
    let mut sums = [0; COUNTS.len()];
    loop {
        let told = remote.post(&["quarantine", "retry"], &body).await?;
        for (sum, field) in sums.iter_mut().zip(COUNTS) {
            *sum += told[field].as_u64().unwrap_or_default();
        }
        if told["next_cursor"].is_null() {
            return Ok(COUNTS.iter().zip(sums).map(|(field, sum)| ((*field).to_owned(), json!(sum))).collect());
        }
        body["cursor"] = told["next_cursor"].clone();
    }
}

async fn drop_some(remote: &Remote, which: &Which) -> anyhow::Result<Value> {
    if let Some(id) = &which.id {
        remote.delete(&["quarantine", id], &[]).await?;
        return Ok(json!({ "removed": 1 }));
    }
    // The API removes nothing unless it is said what: all are those for each of the reasons.
    let queries = match which.all {
        true => FaultReason::ALL.map(|reason| vec![("reason", reason.as_str())]).into(),
        false => vec![which.filter.query()],
    };
    remote.remove(&["quarantine"], &queries).await
}

// === impl Filter ===

impl Filter {
    fn query(&self) -> Vec<(&'static str, &str)> {
        let fields = [("topic", &self.topic), ("mapping", &self.mapping), ("reason", &self.reason)];
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
