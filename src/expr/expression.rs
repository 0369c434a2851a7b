//! One CEL expression: compiled once at load, run per record within its budget.

use crate::expr::compile::compile;
use crate::expr::eval::Run;
use crate::expr::failure::Failure;
use crate::expr::limits::{Budget, weigh};
use crate::expr::mistake::Mistake;
use crate::expr::node::Node;
use crate::expr::path::Path;
use crate::expr::scope::{Names, Scope};
use crate::expr::value::Cel;
use serde_json::Value;
use std::borrow::Cow;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    source: Box<str>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Followed in the JSON itself: exact.
    Path(Path),
    Cel(Box<Node>),
}

// === impl Expression ===

impl Expression {
    /// Compiles `source`, which may use `names`.
    ///
    /// # Errors
    /// The first mistake: syntax, an unknown name or function, a bound.
    pub fn compile(source: &str, names: &Names) -> Result<Self, Mistake> {
        let form = match Path::parse(source, names) {
            Some(path) => Form::Path(path),
            None => Form::Cel(Box::new(compile(source, names)?)),
        };
        Ok(Self { source: source.trim().into(), form })
    }

    /// The value, as JSON; its size counts as output. What a plain path leads to is copied exactly.
    ///
    /// # Errors
    /// Why there is none.
    pub fn eval(&self, scope: &Scope, budget: &mut Budget) -> Result<Value, Failure> {
        self.lend(scope, budget).and_then(|value| {
            if let Cow::Borrowed(lent) = &value {
                budget.output(weigh(lent)).map_err(|failure| failure.of(&self.source))?;
            }
            Ok(value.into_owned())
        })
    }

    /// The value, as JSON; what a plain path leads to is lent, not copied, and does not count as output.
    ///
    /// # Errors
    /// Why there is none.
    pub fn lend<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<Cow<'a, Value>, Failure> {
        let value = match &self.form {
            Form::Path(path) => budget.step(1).and_then(|()| path.find(scope)).map(Cow::Borrowed),
            Form::Cel(node) => {
                Run::new(scope, budget).eval(node).and_then(|value| value.to_json(budget)).map(Cow::Owned)
            }
        };
        value.map_err(|failure| failure.of(&self.source))
    }

    /// The value as CEL sees it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn run<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<Cel<'a>, Failure> {
        let value = match &self.form {
            Form::Path(path) => budget.step(1).and_then(|()| path.find(scope)).map(Cel::lend),
            Form::Cel(node) => Run::new(scope, budget).eval(node),
        };
        value.map_err(|failure| failure.of(&self.source))
    }

    /// The value of a condition.
    ///
    /// # Errors
    /// Why there is none; a value that is not a boolean is a failure.
    pub fn test(&self, scope: &Scope, budget: &mut Budget) -> Result<bool, Failure> {
        self.run(scope, budget)?.truth().map_err(|failure| failure.of(&self.source))
    }

    /// The path it is, when it is a plain one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.form {
            Form::Path(path) => Some(path),
            Form::Cel(_) => None,
        }
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}
