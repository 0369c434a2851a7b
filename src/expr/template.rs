//! A tree of JSON with texts and directives (`$copy`, `$each`, `$if`, `key?`), rendered per record to JSON.

use crate::expr::directives::Directives;
use crate::expr::failure::Failure;
use crate::expr::limits::Budget;
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use crate::expr::shape::Shape;
use serde_json::Value;

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    shape: Shape,
}

// === impl Template ===

impl Template {
    /// Compiles what was `written`, whose expressions may use `names`.
    ///
    /// # Errors
    /// All mistakes, each with its path inside the template.
    pub fn compile(written: &Value, names: &Names) -> Result<Self, Vec<Mistake>> {
        let mut directives = Directives::default();
        let shape = directives.shape(written, names);
        if directives.mistakes.is_empty() { Ok(Self { shape }) } else { Err(directives.mistakes) }
    }

    /// The value; null when all of it is left out.
    ///
    /// # Errors
    /// Why there is none, with the field inside the template.
    pub fn render(&self, scope: &Scope, budget: &mut Budget) -> Result<Value, Failure> {
        self.shape.render(scope, budget).map(Option::unwrap_or_default)
    }
}
