//! Why an expression or a template gave no value for a record: field, expression as written, reason in words.

use crate::expr::mistake::join;
use crate::model::quarantine::shortened;

/// What went wrong while an expression ran; the template adds where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The path inside the template (`customer.email`); empty for a lone expression or text.
    pub field: String,
    /// The expression that failed, as written.
    pub expression: Option<String>,
    /// What went wrong, in words; bounded, whatever of the record it repeats.
    pub what: String,
    /// Whose doing.
    pub kind: FailureKind,
    /// Whether a path led nowhere: a key that is not there, an index past the end. `key?` then leaves its key out.
    pub missing: bool,
}

/// The closed list of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The record is not what the expression expects: a missing path, a wrong type.
    Fault,
    /// A limit was exceeded: steps or output bytes.
    Limit,
}

// === impl Failure ===

impl Failure {
    /// The record is not what was expected.
    #[must_use]
    pub fn fault(what: impl Into<String>) -> Self {
        let what = shortened(what.into());
        Self { field: String::new(), expression: None, what, kind: FailureKind::Fault, missing: false }
    }

    /// A path that leads nowhere.
    #[must_use]
    pub fn missing(what: impl Into<String>) -> Self {
        Self { missing: true, ..Self::fault(what) }
    }

    /// A limit was exceeded.
    #[must_use]
    pub fn limit(what: impl Into<String>) -> Self {
        Self { kind: FailureKind::Limit, ..Self::fault(what) }
    }

    /// The same failure, of this expression, unless a part of it is named already.
    #[must_use]
    pub fn of(mut self, source: &str) -> Self {
        self.expression.get_or_insert_with(|| source.to_string());
        self
    }

    /// The same failure, one step further down: `key` is put before the field.
    #[must_use]
    pub fn within(mut self, key: &str) -> Self {
        self.field = join(key, &self.field);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.what)?;
        self.expression.as_ref().map_or(Ok(()), |source| write!(f, " (in `{source}`)"))
    }
}

impl std::error::Error for Failure {}
