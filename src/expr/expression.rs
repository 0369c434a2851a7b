//! One CEL expression: compiled once at load, run per record within its budget.

use crate::expr::failure::Failure;
use crate::expr::limits::Budget;
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use serde_json::Value;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    source: String,
}

// === impl Expression ===

impl Expression {
    /// Compiles `source`, which may use `names`.
    ///
    /// # Errors
    /// The first mistake: syntax, an unknown name or function, a bound.
    pub fn compile(source: &str, _names: &Names) -> Result<Self, Mistake> {
        Ok(Self { source: source.to_string() })
    }

    /// The value, as JSON.
    ///
    /// # Errors
    /// Why there is none.
    pub fn eval(&self, _scope: &Scope, _budget: &mut Budget) -> Result<Value, Failure> {
        Err(Failure::fault("not built yet").of(&self.source))
    }

    /// The value of a condition.
    ///
    /// # Errors
    /// Why there is none; a value that is not a boolean is a failure.
    pub fn test(&self, _scope: &Scope, _budget: &mut Budget) -> Result<bool, Failure> {
        Err(Failure::fault("not built yet").of(&self.source))
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}
