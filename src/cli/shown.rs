//! How commands that ask a daemon show what it answered: as JSON, or for people.

use crate::cli::common::Exit;
use crate::cli::output::Output;
use crate::cli::remote::{Items, Reach};
use crate::cli::table::{self, Column};
use serde_json::{Value, json};

/// How much of a list is shown.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Listed {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = limit)]
    pub limit: usize,
}

fn limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| (1..=1_000_000).contains(limit)).ok_or_else(|| "it is 1 to 1000000".into())
}

/// Shows a list.
///
/// # Errors
/// Standard output is closed.
pub fn items(list: Items, columns: &[Column<'_>], (reach, output): (&Reach, &Output)) -> anyhow::Result<Exit> {
    let Items { items, more } = list;
    if reach.json {
        output.line(serde_json::to_string_pretty(&json!({ "items": items, "more": more }))?)?;
        return Ok(Exit::Good);
    }
    output.line(if items.is_empty() { "there is none".into() } else { table::table(&items, columns, output) })?;
    if more {
        output.complain("there are others; --limit shows more");
    }
    Ok(Exit::Good)
}

/// Shows one thing.
///
/// # Errors
/// Standard output is closed.
pub fn one(value: &Value, (reach, output): (&Reach, &Output)) -> anyhow::Result<Exit> {
    output.line(if reach.json { serde_json::to_string_pretty(value)? } else { table::fields(value, output) })?;
    Ok(Exit::Good)
}

/// Shows what was done, in a line: `removed 3, more true`.
///
/// # Errors
/// Standard output is closed.
pub fn done(value: &Value, (reach, output): (&Reach, &Output)) -> anyhow::Result<Exit> {
    if reach.json {
        return one(value, (reach, output));
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let told = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let told = told.map(|(name, value)| format!("{name} {}", text(value)));
    output.line(crate::cli::output::harmless(&told.collect::<Vec<_>>().join(", ")))?;
    Ok(Exit::Good)
}
