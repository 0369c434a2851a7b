//! A compiled template, and how it becomes JSON. `None` is what is left out: `key?` without a value, `$if` without
//! `$else`.

use crate::expr::expression::Expression;
use crate::expr::failure::{Failure, FailureKind};
use crate::expr::limits::{Budget, weigh};
use crate::expr::path::kind;
use crate::expr::reshape::Reshape;
use crate::expr::scope::Scope;
use crate::expr::text::Text;
use serde_json::{Map, Value};

/// One node of a template.
#[derive(Clone, Debug)]
pub enum Shape {
    /// The same for every record.
    Fixed(Value),
    /// `${...}`
    Text(Text),
    /// A list of nodes.
    List(Vec<Shape>),
    /// An object, key by key, over what was there before.
    Object(Base, Vec<Field>),
    /// `$each`
    Each(Box<Each>),
    /// `$if`
    If(Box<If>),
    /// `$use`
    Use(Box<Used>),
}

/// What the keys of an object are written over.
#[derive(Clone, Debug)]
pub enum Base {
    /// Nothing.
    Empty,
    /// `$copy`
    Copy(Copied),
    /// `$merge`: objects, of which the later ones win.
    Merge(Vec<Shape>),
}

/// One key of an object.
#[derive(Clone, Debug)]
pub struct Field {
    /// The key.
    pub key: String,
    /// Whether it is left out when its value is missing or null.
    pub need: Need,
    /// Its value.
    pub shape: Shape,
}

/// Whether a key must have a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// `key`
    Required,
    /// `key?`
    Optional,
}

/// `$copy`, with its `$without` and `$rename`.
#[derive(Clone, Debug)]
pub struct Copied {
    /// The object that is copied.
    pub source: Expression,
    /// What becomes of its keys.
    pub reshape: Reshape,
}

/// `$each`: one value per entry of a list.
#[derive(Clone, Debug)]
pub struct Each {
    /// The list.
    pub source: Expression,
    /// `$as`: the name of the entry; `index` is its position.
    pub name: String,
    /// `$where`
    pub filter: Option<Expression>,
    /// `$emit`
    pub emit: Shape,
}

/// `$if`
#[derive(Clone, Debug)]
pub struct If {
    /// `$if`
    pub condition: Expression,
    /// `$then`
    pub then: Shape,
    /// `$else`; left out without.
    pub otherwise: Option<Shape>,
}

/// `$use`: a fragment, with its own names.
#[derive(Clone, Debug)]
pub struct Used {
    /// The fragment's name.
    pub name: String,
    /// `$with`: names, and what they stand for in it.
    pub with: Vec<(String, Shape)>,
    /// The fragment.
    pub body: Shape,
}

type Rendered = Result<Option<Value>, Failure>;

// === impl Shape ===

impl Shape {
    /// The value for what is in `scope`.
    ///
    /// # Errors
    /// Why there is none, with the field.
    pub fn render(&self, scope: &Scope, budget: &mut Budget) -> Rendered {
        match self {
            Self::Fixed(value) => {
                budget.output(weigh(value))?;
                Ok(Some(value.clone()))
            }
            Self::Text(text) => text.value(scope, budget).map(Some),
            Self::List(shapes) => {
                budget.output(2)?;
                let mut items = Vec::with_capacity(shapes.len());
                for (at, shape) in shapes.iter().enumerate() {
                    budget.output(1)?;
                    items.extend(shape.render(scope, budget).map_err(|failure| failure.within(&format!("[{at}]")))?);
                }
                Ok(Some(Value::Array(items)))
            }
            Self::Object(base, fields) => object(base, fields, scope, budget),
            Self::Each(each) => each.render(scope, budget),
            Self::If(choice) => {
                let holds = choice.condition.test(scope, budget).map_err(|failure| failure.within("$if"))?;
                match (holds, &choice.otherwise) {
                    (true, _) => choice.then.render(scope, budget).map_err(|failure| failure.within("$then")),
                    (false, Some(shape)) => shape.render(scope, budget).map_err(|failure| failure.within("$else")),
                    (false, None) => Ok(None),
                }
            }
            Self::Use(used) => used.render(scope, budget),
        }
    }
}

fn object(base: &Base, fields: &[Field], scope: &Scope, budget: &mut Budget) -> Rendered {
    budget.output(2)?;
    let mut map = Map::with_capacity(fields.len());
    match base {
        Base::Empty => {}
        Base::Copy(copied) => copied.copy(&mut map, scope, budget).map_err(|failure| failure.within("$copy"))?,
        Base::Merge(shapes) => {
            for (at, shape) in shapes.iter().enumerate() {
                merge(shape, &mut map, scope, budget).map_err(|failure| failure.within(&format!("$merge[{at}]")))?;
            }
        }
    }
    for field in fields {
        match (field.shape.render(scope, budget), field.need) {
            (Ok(None), _) | (Ok(Some(Value::Null)), Need::Optional) => {}
            (Ok(Some(value)), _) => {
                budget.output(field.key.len() + 4)?;
                map.insert(field.key.clone(), value);
            }
            (Err(failure), Need::Optional) if failure.missing && failure.kind == FailureKind::Fault => {}
            (Err(failure), _) => return Err(failure.within(&field.key)),
        }
    }
    Ok(Some(Value::Object(map)))
}

/// Lays an object over what is there; null is nothing to lay.
fn merge(shape: &Shape, to: &mut Map<String, Value>, scope: &Scope, budget: &mut Budget) -> Result<(), Failure> {
    match shape.render(scope, budget)? {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(from)) => {
            to.extend(from);
            Ok(())
        }
        Some(other) => Err(Failure::fault(format!("needs an object to merge, this is {}", kind(&other)))),
    }
}

// === impl Used ===

impl Used {
    fn render(&self, scope: &Scope, budget: &mut Budget) -> Rendered {
        budget.step(1)?;
        let mut values = Vec::with_capacity(self.with.len());
        for (name, shape) in &self.with {
            let value = shape.render(scope, budget).map_err(|failure| failure.within(&format!("$with.{name}")))?;
            values.push(value.unwrap_or_default());
        }
        // From the root, so that a name that hides another one outside does not hide it in the fragment.
        let mut inner = scope.root().child();
        self.with.iter().zip(&values).for_each(|((name, _), value)| inner.bind(name, value));
        self.body.render(&inner, budget).map_err(|failure| failure.within(&format!("$use({})", self.name)))
    }
}

// === impl Copied ===

impl Copied {
    fn copy(&self, to: &mut Map<String, Value>, scope: &Scope, budget: &mut Budget) -> Result<(), Failure> {
        let source = self.source.lend(scope, budget)?;
        match &*source {
            Value::Object(from) => {
                budget.output(weigh(&source))?;
                self.reshape.copy(from, to);
                Ok(())
            }
            Value::Null => Err(Failure::missing("null cannot be copied key by key").of(self.source.source())),
            other => {
                let what = format!("needs an object to copy, this is {}", kind(other));
                Err(Failure::fault(what).of(self.source.source()))
            }
        }
    }
}

// === impl Each ===

impl Each {
    fn render(&self, scope: &Scope, budget: &mut Budget) -> Rendered {
        let source = self.source.lend(scope, budget).map_err(|failure| failure.within("$each"))?;
        let entries = match &*source {
            Value::Array(entries) => entries,
            other => {
                let what = format!("needs a list, this is {}", kind(other));
                let failure = if other.is_null() { Failure::missing(what) } else { Failure::fault(what) };
                return Err(failure.of(self.source.source()).within("$each"));
            }
        };
        budget.output(2)?;
        let mut items = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            budget.step(1)?;
            let index = Value::from(at);
            let mut inner = scope.child();
            inner.bind("index", &index);
            inner.bind(&self.name, entry);
            let entry = self.entry(&inner, budget).map_err(|failure| failure.within(&format!("[{at}]")))?;
            if let Some(value) = entry {
                budget.output(1)?;
                items.push(value);
            }
        }
        Ok(Some(Value::Array(items)))
    }

    fn entry(&self, scope: &Scope, budget: &mut Budget) -> Rendered {
        if let Some(filter) = &self.filter
            && !filter.test(scope, budget).map_err(|failure| failure.within("$where"))?
        {
            return Ok(None);
        }
        self.emit.render(scope, budget)
    }
}
