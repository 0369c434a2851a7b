//! All mistakes of a configuration, with the lines they stand in.

use crate::config::reads::Reads;
use crate::model::problem::Problems;
use crate::yaml::report;
use std::collections::BTreeMap;
use std::path::Path;

/// The configuration cannot be used. `Display` tells every mistake in a line of its own; no secret is in any.
#[derive(Debug, thiserror::Error)]
#[error("{problems}")]
pub struct ConfigError {
    /// All mistakes, in the order of their places.
    pub problems: Problems,
    /// What was read all the same.
    pub reads: Reads,
    sources: Sources,
}

/// The texts that were read, by the name that places give the file; secrets in them are masked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(BTreeMap<String, String>);

// === impl ConfigError ===

impl ConfigError {
    pub(crate) fn new(problems: Problems, sources: Sources, reads: Reads) -> Self {
        Self { problems, reads, sources }
    }

    /// Every mistake with the line it stands in and a caret below, for a terminal.
    #[must_use]
    pub fn report(&self) -> String {
        report::report(&self.problems, &|file| self.sources.0.get(file).cloned())
    }
}

// === impl Sources ===

impl Sources {
    /// Keeps the text of a file.
    pub(crate) fn add(&mut self, file: &Path, text: String) {
        self.0.insert(file.display().to_string(), text);
    }
}
