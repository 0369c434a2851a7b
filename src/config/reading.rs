//! What the readers of all sections share: the mistakes so far, and which values came from references.
//!
//! A value that a reference brought is text. Where a number or a boolean is asked for, it is read as one; where text
//! is asked for, it stays as it is, whatever it looks like.

use crate::config::masked::Literal;
use crate::config::reads::Files;
use crate::config::references::{self, Resolved, Surroundings};
use crate::model::problem::Problems;
use crate::model::secret::Secret;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Node};
use crate::yaml::reader;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What a variable of the environment holds.
pub(crate) type Environment = fn(&str) -> Option<String>;

/// A configuration that is being read.
pub(crate) struct Reading {
    /// What is wrong so far.
    pub(crate) problems: Problems,
    /// Where the configuration file stands.
    pub(crate) folder: PathBuf,
    /// Reads files.
    pub(crate) files: Files,
    environment: Environment,
    resolved: Vec<Resolved>,
    literals: Vec<Literal>,
}

// === impl Reading ===

impl Reading {
    /// Begins to read the configuration `file`.
    pub(crate) fn new(file: &Path, environment: Environment) -> Self {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let (problems, files) = (Problems::default(), Files::default());
        Self { problems, folder, files, environment, resolved: Vec::new(), literals: Vec::new() }
    }

    /// Replaces all references below `node`, whose path is `path`.
    pub(crate) fn refer(&mut self, node: &mut Node, path: &str) {
        let surroundings = Surroundings { folder: &self.folder, environment: &self.environment, files: &self.files };
        self.resolved.extend(references::resolve(node, path, &surroundings, &mut self.problems));
    }

    /// Remembers secrets that are written out: no problem may repeat one.
    pub(crate) fn remember(&mut self, literals: Vec<Literal>) {
        self.literals.extend(literals);
    }

    /// The mistakes, with nothing in them that is secret.
    pub(crate) fn end(&mut self) -> Problems {
        let mut problems = std::mem::take(&mut self.problems);
        for problem in &mut problems.0 {
            self.resolved.iter().for_each(|resolved| resolved.conceal(problem));
            self.literals.iter().for_each(|literal| literal.conceal(problem));
        }
        problems
    }

    /// Opens a section; `None` when it is not written or is no map.
    pub(crate) fn section<'n>(&mut self, field: Option<Field<'n>>) -> Option<Fields<'n>> {
        Fields::of(&field?, &mut self.problems)
    }

    /// A whole number within `range`.
    pub(crate) fn integer(&mut self, field: &Field<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.typed(field.node);
        Field::new(&node, field.path.clone()).integer(range, &mut self.problems)
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        let node = self.typed(field.node);
        Field::new(&node, field.path.clone()).boolean(&mut self.problems)
    }

    /// A text that is not told, also not when it is no text.
    pub(crate) fn secret(&mut self, field: &Field<'_>) -> Option<Secret> {
        if let Data::String(text) = &field.node.data {
            return Some(Secret::new(text.as_str()));
        }
        let what = format!("must be a string, not {}", field.node.kind());
        field.problem(&mut self.problems, what, "Quote it, or write ${env:NAME} or ${file:PATH}");
        None
    }

    /// `node` with everything that references brought and that looks like a number or boolean read as one.
    pub(crate) fn typed(&self, node: &Node) -> Node {
        let place = node.place.clone();
        let data = match &node.data {
            Data::String(text) if self.resolved.iter().any(|resolved| resolved.place == node.place) => {
                match reader::read(&node.place.file, text).map(|read| read.data) {
                    Ok(data @ (Data::Number(_) | Data::Bool(_))) => data,
                    _ => node.data.clone(),
                }
            }
            Data::List(nodes) => Data::List(nodes.iter().map(|node| self.typed(node)).collect()),
            Data::Map(entries) => {
                let mut entries = entries.clone();
                entries.iter_mut().for_each(|entry| entry.value = self.typed(&entry.value));
                Data::Map(entries)
            }
            other => other.clone(),
        };
        Node { place, data }
    }
}

/// Puts `value` where a default stands, when there is one.
pub(crate) fn put<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}
