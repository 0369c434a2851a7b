//! `hookline subscription`: subscriptions of a running daemon.

use crate::cli::common::{self, Exit};
use crate::cli::output::Output;
use crate::cli::remote::{Reach, Remote};
use crate::cli::shown::{self, Listed};
use crate::yaml::reader;
use anyhow::{anyhow, ensure};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Works on the subscriptions of a running daemon
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline subscription create --url https://example.com/hooks --type 'com.acme.order.**'
  hookline subscription show sub_01JD0000000000000000000000
  hookline subscription list --json")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Lists them
    #[command(after_help = "\
Example:
  hookline subscription list --limit 1000")]
    List {
        /// How many at most.
        #[command(flatten)]
        listed: Listed,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
    /// Shows one, with its health
    #[command(after_help = "\
Example:
  hookline subscription show sub_01JD0000000000000000000000")]
    Show(One),
    /// Makes one; its signing secret is shown this once
    #[command(after_help = "\
Example:
  hookline subscription create --url https://example.com/hooks --type 'com.acme.order.*' --name Billing
  hookline subscription create billing.yaml")]
    Create {
        /// What it says.
        #[command(flatten)]
        written: Written,
        /// Which daemon.
        #[command(flatten)]
        reach: Reach,
    },
    /// Changes one: what is said replaces what was, all else stays
    #[command(after_help = "\
Example:
  hookline subscription update sub_01JD0000000000000000000000 --url https://example.com/new
  echo '{\"filter\": null}' | hookline subscription update sub_01JD0000000000000000000000 -")]
    Update {
        /// Which one.
        #[command(flatten)]
        one: One,
        /// What it says from now on.
        #[command(flatten)]
        written: Written,
    },
    /// Deletes one, with its ledger, its dead letters and its secrets
    #[command(after_help = "\
Example:
  hookline subscription delete sub_01JD0000000000000000000000")]
    Delete(One),
    /// Sends it nothing until it is resumed; what comes meanwhile stays in Kafka
    #[command(after_help = "\
Example:
  hookline subscription pause sub_01JD0000000000000000000000")]
    Pause(One),
    /// Goes on where it was paused; enables one that was disabled
    #[command(after_help = "\
Example:
  hookline subscription resume sub_01JD0000000000000000000000
  hookline subscription resume sub_01JD0000000000000000000000 --from now")]
    Resume {
        /// Which one.
        #[command(flatten)]
        one: One,
        /// Where it goes on: cursor, where it stands; or now, and what lies between is not sent
        #[arg(long, value_name = "PLACE", default_value = "cursor", hide_default_value = true)]
        #[arg(value_parser = ["cursor", "now"], hide_possible_values = true)]
        from: String,
    },
    /// Makes one attempt now, with a made-up event; nothing of it is kept. Ends with 1 when it is not accepted
    #[command(after_help = "\
Example:
  hookline subscription test sub_01JD0000000000000000000000 --type com.acme.order.placed.v1")]
    Test {
        /// Which one.
        #[command(flatten)]
        one: One,
        /// The type of the event [default: the first that it names]
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
    },
    /// Asks its endpoint now whether it wants the events. Ends with 1 when it does not say yes
    #[command(after_help = "\
Example:
  hookline subscription verify sub_01JD0000000000000000000000")]
    Verify(One),
    /// Makes a new signing secret, shown this once; the old ones sign beside it for a while
    #[command(after_help = "\
Example:
  hookline subscription rotate-secret sub_01JD0000000000000000000000 --overlap 2h")]
    RotateSecret {
        /// Which one.
        #[command(flatten)]
        one: One,
        /// How long the old ones go on [default: 24h]
        #[arg(long, value_name = "DURATION")]
        overlap: Option<String>,
    },
}

/// One subscription of a daemon.
#[derive(Clone, Debug, clap::Args)]
pub struct One {
    /// The subscription's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Which daemon.
    #[command(flatten)]
    pub reach: Reach,
}

/// What a subscription is to say.
#[derive(Clone, Debug, clap::Args)]
pub struct Written {
    /// Its fields in JSON or YAML: a file, or - for standard input. Options win over it
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The endpoint
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// A pattern of types it gets. Can be given more than once
    #[arg(long = "type", value_name = "PATTERN")]
    pub types: Vec<String>,
    /// A name for people
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Whose events it gets; cannot change later
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// A CEL expression over `event`
    #[arg(long, value_name = "CEL")]
    pub filter: Option<String>,
    /// The body's format
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// Does it.
///
/// # Errors
/// The daemon does not answer, or refuses.
pub async fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    match args.command {
        Command::List { listed, reach } => {
            let items = Remote::of(&reach)?.list(&["subscriptions"], &[], listed.limit).await?;
            let columns = [
                ("ID", "id"),
                ("STATUS", "status"),
                ("TENANT", "tenant"),
                ("NAME", "name"),
                ("FORMAT", "format"),
                ("URL", "url"),
                ("TYPES", "types"),
            ];
            shown::items(items, &columns, (&reach, &output))
        }
        Command::Show(one) => {
            let shown = Remote::of(&one.reach)?.get(&["subscriptions", &one.id]).await?;
            shown::one(&shown, (&one.reach, &output))
        }
        Command::Create { written, reach } => {
            let made = Remote::of(&reach)?.post(&["subscriptions"], &Value::Object(written.fields()?)).await?;
            shown::one(&made, (&reach, &output))
        }
        Command::Update { one, written } => {
            let fields = written.fields()?;
            ensure!(!fields.is_empty(), "say what is to change: a file, or options; see --help");
            let patch = Value::Object(fields);
            let changed = Remote::of(&one.reach)?.patch(&["subscriptions", &one.id], &patch).await?;
            shown::one(&changed, (&one.reach, &output))
        }
        Command::Delete(One { id, reach }) => {
            Remote::of(&reach)?.delete(&["subscriptions", &id], &[]).await?;
            shown::done(&json!({ "deleted": id }), (&reach, &output))
        }
        Command::Pause(one) => turn(&one, ("pause", json!({})), &output).await,
        Command::Resume { one, from } => turn(&one, ("resume", json!({ "from": from })), &output).await,
        Command::Test { one: One { id, reach }, event_type } => {
            let body = event_type.map_or(json!({}), |event_type| json!({ "type": event_type }));
            let told = Remote::of(&reach)?.post(&["subscriptions", &id, "test"], &body).await?;
            shown::one(&told, (&reach, &output))?;
            Ok(if told["accepted"] == true { Exit::Good } else { Exit::Bad })
        }
        Command::Verify(One { id, reach }) => {
            let now = Remote::of(&reach)?.post(&["subscriptions", &id, "verify"], &json!({})).await?;
            let told = json!({ "id": now["id"], "status": now["status"], "handshake": now["handshake"] });
            shown::one(if reach.json { &now } else { &told }, (&reach, &output))?;
            Ok(if now["handshake"]["consent"] == true { Exit::Good } else { Exit::Bad })
        }
        Command::RotateSecret { one: One { id, reach }, overlap } => {
            let body = overlap.map_or(json!({}), |overlap| json!({ "overlap": overlap }));
            let made = Remote::of(&reach)?.post(&["subscriptions", &id, "secrets"], &body).await?;
            shown::one(&made, (&reach, &output))
        }
    }
}

async fn turn(One { id, reach }: &One, (what, how): (&str, Value), output: &Output) -> anyhow::Result<Exit> {
    let now = Remote::of(reach)?.post(&["subscriptions", id, what], &how).await?;
    let told = json!({ "id": now["id"], "status": now["status"], "status_reason": now["status_reason"] });
    if reach.json { shown::one(&now, (reach, output)) } else { shown::one(&told, (reach, output)) }
}

// === impl Written ===

impl Written {
    /// The fields as the API takes them.
    fn fields(self) -> anyhow::Result<Map<String, Value>> {
        let mut fields = self.file.as_deref().map_or_else(|| Ok(Map::new()), read)?;
        let options = [
            ("url", self.url),
            ("name", self.name),
            ("tenant", self.tenant),
            ("filter", self.filter),
            ("format", self.format),
        ];
        fields.extend(options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))));
        if !self.types.is_empty() {
            fields.insert("types".into(), self.types.into());
        }
        Ok(fields)
    }
}

fn read(file: &Path) -> anyhow::Result<Map<String, Value>> {
    let (name, bytes) = (common::shown(file), common::read_value(file)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| anyhow!("{name} is not UTF-8"))?;
    let tree = reader::read(&name.as_str().into(), text).map_err(|problems| anyhow!("{problems}"))?;
    match tree.to_json() {
        Value::Object(fields) => Ok(fields),
        _ => Err(anyhow!("{name} does not hold the fields of one subscription, but something else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(file: Option<PathBuf>) -> Written {
        let (url, types) = (Some("https://a.example/hooks".to_owned()), vec!["a.*".to_owned(), "b".to_owned()]);
        Written { file, url, types, name: None, tenant: None, filter: None, format: None }
    }

    #[test]
    fn options_win_over_the_file_and_what_the_file_nulls_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("billing.yaml");
        std::fs::write(&file, "url: https://b.example\nname: Billing\nfilter: null\nretry: { max_age: 1d }\n").unwrap();
        let fields = Value::Object(written(Some(file.clone())).fields().unwrap());
        let expected = json!({ "url": "https://a.example/hooks", "name": "Billing", "filter": null,
            "retry": { "max_age": "1d" }, "types": ["a.*", "b"] });
        assert_eq!(fields, expected);
        assert_eq!(
            Value::Object(written(None).fields().unwrap()),
            json!({ "url": "https://a.example/hooks", "types": ["a.*", "b"] })
        );
        std::fs::write(&file, "- a").unwrap();
        assert!(written(Some(file)).fields().unwrap_err().to_string().contains("does not hold the fields"));
    }
}
