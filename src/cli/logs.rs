//! The process's log: one line per event on standard error, for people or as JSON.

use crate::cli::output::Output;
use crate::config::log::{LogFormat, LogSettings};
use anyhow::anyhow;
use tracing::Level;
use tracing_subscriber::EnvFilter;

/// Says how much is logged from now on.
pub type Loudness = Box<dyn Fn(Level) + Send + Sync>;

/// Begins to write the log; once per process. Gives what changes how much it says.
///
/// # Errors
/// It was begun before.
pub fn begin(settings: &LogSettings, output: &Output) -> anyhow::Result<Loudness> {
    let log = tracing_subscriber::fmt().with_env_filter(filter(settings.level)).with_writer(std::io::stderr);
    let (begun, loudness): (_, Loudness) = match settings.format {
        LogFormat::Text => {
            let log = log.with_ansi(output.complains_in_color()).with_filter_reloading();
            let handle = log.reload_handle();
            (log.try_init(), Box::new(move |level| drop(handle.reload(filter(level)))))
        }
        LogFormat::Json => {
            let log = log.json().flatten_event(true).with_filter_reloading();
            let handle = log.reload_handle();
            (log.try_init(), Box::new(move |level| drop(handle.reload(filter(level)))))
        }
    };
    begun.map(|()| loudness).map_err(|error| anyhow!("the log cannot begin: {error}"))
}

/// What other crates tell at `info` is about themselves.
fn filter(level: Level) -> EnvFilter {
    EnvFilter::new(format!("warn,hookline={level}"))
}
