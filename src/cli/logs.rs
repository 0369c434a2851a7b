//! The process's log: one line per event on standard error, for people or as JSON.

use crate::cli::output::Output;
use crate::config::log::{LogFormat, LogSettings};
use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

/// Begins to write the log; once per process.
///
/// # Errors
/// It was begun before.
pub fn begin(settings: &LogSettings, output: &Output) -> anyhow::Result<()> {
    // What other crates tell at `info` is about themselves.
    let filter = EnvFilter::new(format!("warn,hookline={}", settings.level));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match settings.format {
        LogFormat::Text => log.with_ansi(output.complains_in_color()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| anyhow!("the log cannot begin: {error}"))
}
