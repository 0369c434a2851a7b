//! `log:` how much is said, and in which form.

use crate::config::later;
use crate::config::reading::{Reading, put};
use crate::yaml::fields::Field;
use tracing::Level;

/// How the process writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important events that are written.
    pub level: Level,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

const FORMAT: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

const LEVEL: &[(&str, Level)] = &[
    ("error", Level::ERROR),
    ("warn", Level::WARN),
    ("info", Level::INFO),
    ("debug", Level::DEBUG),
    ("trace", Level::TRACE),
];

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> LogSettings {
    let mut settings = LogSettings::default();
    let Some(mut fields) = reading.section(field) else { return settings };
    if let Some(field) = fields.optional("format") {
        put(&mut settings.format, field.one_of(FORMAT, &mut reading.problems));
    }
    if let Some(field) = fields.optional("level") {
        put(&mut settings.level, field.one_of(LEVEL, &mut reading.problems));
    }
    later::refuse(&mut fields, "deliveries", later::DELIVERY_LOG, reading);
    fields.finish(&mut reading.problems);
    settings
}

// === impl LogSettings ===

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: Level::INFO }
    }
}
