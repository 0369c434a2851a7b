//! Text with `${...}`: alone it keeps the value's type, inside longer text the value is rendered, `$${` is a literal `${`.

use crate::expr::failure::Failure;
use crate::expr::limits::Budget;
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use serde_json::Value;

/// A compiled text.
#[derive(Clone, Debug)]
pub struct Text {
    source: String,
}

// === impl Text ===

impl Text {
    /// Compiles `source`, whose expressions may use `names`.
    ///
    /// # Errors
    /// The first mistake.
    pub fn compile(source: &str, _names: &Names) -> Result<Self, Mistake> {
        Ok(Self { source: source.to_string() })
    }

    /// The value.
    ///
    /// # Errors
    /// Why there is none.
    pub fn value(&self, _scope: &Scope, _budget: &mut Budget) -> Result<Value, Failure> {
        Err(Failure::fault("not built yet").of(&self.source))
    }

    /// The text as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}
