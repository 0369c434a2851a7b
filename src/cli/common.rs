//! What all commands share: options, exit codes, the config file, and how they stop.

use crate::config::files;
use crate::model::record::Header;
use crate::runtime::shutdown::Shutdown;
use crate::yaml::units;
use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The most bytes that are read as one record: more than Kafka's default of 1 MiB, and more than any topic should hold.
const RECORD: u64 = 64 << 20;

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The config file [default: config/hookline.yaml, then /etc/hookline/hookline.yaml]
    #[arg(long, global = true, env = "HOOKLINE_CONFIG", value_name = "FILE", help_heading = "Common options")]
    pub config: Option<PathBuf>,
    /// Sets one key of the config, a YAML value; wins over the file. Can be given more than once
    #[arg(long = "set", global = true, value_name = "PATH.TO.KEY=VALUE", help_heading = "Common options")]
    pub sets: Vec<String>,
    /// When to use colours: auto, always or never
    #[arg(long, global = true, value_enum, default_value_t, hide_possible_values = true)]
    #[arg(value_name = "WHEN", help_heading = "Common options")]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How a command ends; what it stands for is the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked for.
    Good = 0,
    /// It could not, or the answer is no.
    Bad = 1,
    /// What it was given is not valid.
    Invalid = 2,
}

/// A header of a record as it is written on the command line: `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderArg {
    name: String,
    value: String,
}

// === impl Common ===

impl Common {
    /// The config file: the one that is named, else the first that is there.
    ///
    /// # Errors
    /// None is there.
    pub fn config_file(&self) -> anyhow::Result<PathBuf> {
        let [first, second] = files::candidates();
        let found = || [first, second].into_iter().find(|place| place.is_file()).map(Path::to_path_buf);
        self.config.clone().or_else(found).ok_or_else(|| {
            let (first, second) = (first.display(), second.display());
            anyhow!("there is no config file: neither {first} nor {second}. Name one with --config FILE")
        })
    }
}

// === impl HeaderArg ===

impl std::str::FromStr for HeaderArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.into(), value: value.into() }),
            _ => Err("a header is written name=value".into()),
        }
    }
}

impl From<HeaderArg> for Header {
    fn from(header: HeaderArg) -> Self {
        Self { name: header.name, value: Some(header.value.into()) }
    }
}

/// Reads a record's value from `file`; `-` is standard input.
///
/// # Errors
/// It cannot be read, or is longer than 64 MiB.
pub fn read_value(file: &Path) -> anyhow::Result<Bytes> {
    let mut value = Vec::new();
    let source: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(std::fs::File::open(file).with_context(|| format!("cannot read {}", shown(file)))?),
    };
    source.take(RECORD + 1).read_to_end(&mut value).with_context(|| format!("cannot read {}", shown(file)))?;
    ensure!(value.len() as u64 <= RECORD, "{} is longer than {} MiB", shown(file), RECORD >> 20);
    Ok(value.into())
}

/// A duration as it is written on the command line.
///
/// # Errors
/// It is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "a duration is a whole number with ms, s, m, h or d behind it".into())
}

/// A file as people call it.
#[must_use]
pub fn shown(file: &Path) -> String {
    if file == Path::new("-") { "standard input".into() } else { file.display().to_string() }
}

/// SIGHUP, from now on.
///
/// # Errors
/// The system gives no signals.
pub fn hangup() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot listen for SIGHUP")
}

/// A stop that comes with the first SIGINT (Ctrl-C) or SIGTERM. A second one ends the process at once.
///
/// # Errors
/// The system gives no signals.
pub fn stop_on_signal() -> anyhow::Result<Shutdown> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let shutdown = Shutdown::default();
    let stop = shutdown.clone();
    #[allow(clippy::disallowed_methods, reason = "it lives as long as the process: nobody could await it")]
    tokio::spawn(async move {
        for begun in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if begun {
                std::process::exit(130); // 128 + SIGINT, as shells count
            }
            stop.stop();
        }
    });
    Ok(shutdown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_name_and_a_value_that_may_hold_anything() {
        let header = |text: &str| text.parse::<HeaderArg>().map(Header::from);
        let parsed = header("trace=a=b").unwrap();
        assert_eq!((parsed.name.as_str(), parsed.value.as_deref()), ("trace", Some(&b"a=b"[..])));
        assert!(header("empty=").is_ok());
        assert!(header("nothing").is_err() && header("=x").is_err());
    }

    #[test]
    fn a_record_that_is_not_there_is_named() {
        let error = read_value(Path::new("/nonexistent/record.json")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nonexistent/record.json");
    }

    #[test]
    fn the_config_that_is_named_is_taken_unseen() {
        let named = PathBuf::from("/nonexistent/hookline.yaml");
        let common = Common { config: Some(named.clone()), sets: Vec::new(), color: Color::Auto };
        assert_eq!(common.config_file().unwrap(), named);
    }
}
