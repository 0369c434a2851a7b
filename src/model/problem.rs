//! One mistake in what a user wrote: where, what, and what to do; and a list of them.

use std::{fmt, sync::Arc};

/// Where something stands in a file or a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the user named it, or a word for what has no file (`--set`, `request`).
    pub file: Arc<str>,
    /// Line, from 1; 0 where there are no lines (a JSON document, a flag).
    pub line: usize,
    /// Column, from 1, in characters; 0 where there are no lines.
    pub column: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The path inside the document (`mappings[0].emit.type`), or empty for the whole.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty when `what` says it all.
    pub hint: String,
}

/// Mistakes, all that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

// === impl Place ===

impl Place {
    /// A place without lines.
    #[must_use]
    pub fn whole(file: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}:{}", self.file, self.line, self.column) }
    }
}

// === impl Problem ===

impl fmt::Display for Problem {
    /// One line: `file:line:column: path: what. hint`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(f, ". {}", self.hint)?;
        }
        Ok(())
    }
}

// === impl Problems ===

impl Problems {
    /// Adds one mistake.
    pub fn add(&mut self, place: &Place, path: impl Into<String>, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Problem { place: place.clone(), path: path.into(), what: what.into(), hint: hint.into() });
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over all of `other`.
    pub fn extend(&mut self, other: Problems) {
        self.0.extend(other.0);
    }

    /// `value` when there is no mistake.
    ///
    /// # Errors
    /// All mistakes in the order of their places, when there is one.
    pub fn or<T>(mut self, value: T) -> Result<T, Problems> {
        if self.is_empty() {
            return Ok(value);
        }
        self.0.sort();
        Err(self)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
