//! A tree of JSON with texts and directives (`$copy`, `$each`, `$if`, `key?`), rendered per record to JSON.

use crate::expr::failure::Failure;
use crate::expr::limits::Budget;
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use serde_json::Value;

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    written: Value,
}

// === impl Template ===

impl Template {
    /// Compiles what was `written`, whose expressions may use `names`.
    ///
    /// # Errors
    /// All mistakes, each with its path inside the template.
    pub fn compile(written: &Value, _names: &Names) -> Result<Self, Vec<Mistake>> {
        Ok(Self { written: written.clone() })
    }

    /// The value.
    ///
    /// # Errors
    /// Why there is none, with the field inside the template.
    pub fn render(&self, _scope: &Scope, _budget: &mut Budget) -> Result<Value, Failure> {
        Err(Failure::fault("not built yet"))
    }
}
