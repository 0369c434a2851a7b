//! What a user wrote becomes expressions, texts and templates; mistakes become problems at their places.

use crate::expr::expression::Expression;
use crate::expr::fragments::Fragments;
use crate::expr::mistake::{Mistake, join};
use crate::expr::scope::Names;
use crate::expr::template::Template;
use crate::expr::text::Text;
use crate::map::library::Library;
use crate::map::mapping::Attribute;
use crate::model::problem::{Problem, Problems};
use crate::yaml::fields::Field;
use serde_json::Value;

/// What an expression that stands in a mapping may name, and where mistakes go.
pub(crate) struct Compiler<'p> {
    /// Names that are the same for the whole record.
    record: Names,
    /// Those, and what differs between the items of `each`; the same where there is no `each`.
    item: Names,
    shared: &'p Shared,
    /// All mistakes.
    pub(crate) problems: &'p mut Problems,
}

/// What all mappings share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The fragments, and with them the names that every mapping may use.
    pub(crate) fragments: Fragments,
    /// Where they stand.
    pub(crate) library: Library,
}

/// How often an expression runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Once a record.
    Record,
    /// Once for each item.
    Item,
}

// === impl Compiler ===

impl<'p> Compiler<'p> {
    /// The names of every mapping; `each` adds `item` and `index`.
    pub(crate) fn new(each: Option<&Field<'_>>, shared: &'p Shared, problems: &'p mut Problems) -> Self {
        let record = shared.fragments.names().clone();
        let item = if each.is_some() { record.with("item").with("index") } else { record.clone() };
        Self { record, item, shared, problems }
    }

    /// Lets what follows use `name` where `reach` allows.
    pub(crate) fn name(&mut self, name: &str, reach: Reach) {
        if reach == Reach::Record {
            self.record = self.record.with(name);
        }
        self.item = self.item.with(name);
    }

    /// An expression that runs once a record.
    pub(crate) fn once(&mut self, field: &Field<'_>) -> Option<Expression> {
        let source = self.source(field)?;
        let compiled = Expression::compile(source, &self.record);
        self.told(field, compiled)
    }

    /// An expression that runs once a record if it can, else once for each item.
    pub(crate) fn either(&mut self, field: &Field<'_>) -> Option<(Expression, Reach)> {
        let source = self.source(field)?;
        if let Ok(expression) = Expression::compile(source, &self.record) {
            return Some((expression, Reach::Record));
        }
        let compiled = Expression::compile(source, &self.item);
        Some((self.told(field, compiled)?, Reach::Item))
    }

    /// A text with `${...}` in it.
    pub(crate) fn text(&mut self, field: &Field<'_>) -> Option<Text> {
        let source = field.text(self.problems)?;
        let compiled = Text::compile(source, &self.item);
        self.told(field, compiled)
    }

    /// A text whose value is checked: here when it is written out, else at run time.
    pub(crate) fn checked<T>(
        &mut self,
        field: &Field<'_>,
        check: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<Text> {
        let source = field.text(self.problems)?;
        if !source.contains("${")
            && let Err(what) = check(Value::String(source.to_owned()))
        {
            field.problem(self.problems, what, "");
            return None;
        }
        self.text(field)
    }

    /// A required attribute.
    pub(crate) fn attribute(
        &mut self,
        field: &Field<'_>,
        check: fn(Value) -> Result<String, String>,
    ) -> Option<Attribute> {
        let text = self.checked(field, check)?;
        let fixed = !text.source().contains("${");
        Some(if fixed { Attribute::Fixed(text.source().into()) } else { Attribute::Computed(text) })
    }

    /// A template.
    pub(crate) fn template(&mut self, field: &Field<'_>) -> Option<Template> {
        match Template::compile(&field.node.to_json(), &self.item, &self.shared.fragments) {
            Ok(template) => Some(template),
            Err(mistakes) => {
                mistakes.into_iter().for_each(|mistake| self.tell(field, mistake));
                None
            }
        }
    }

    /// The source of a lone expression: not a text, so `${` has no place in it.
    fn source<'n>(&mut self, field: &Field<'n>) -> Option<&'n str> {
        let source = field.text(self.problems)?;
        if source.trim_start().starts_with("${") {
            let hint = "Leave out `${` and `}`";
            field.problem(self.problems, "is an expression already", hint);
            return None;
        }
        Some(source)
    }

    fn told<T>(&mut self, field: &Field<'_>, compiled: Result<T, Mistake>) -> Option<T> {
        match compiled {
            Ok(compiled) => Some(compiled),
            Err(mistake) => {
                self.tell(field, mistake);
                None
            }
        }
    }

    fn tell(&mut self, field: &Field<'_>, mistake: Mistake) {
        let fragment = mistake.fragment.as_deref().and_then(|name| self.shared.library.get(name));
        let (top, path) = fragment.map_or((field.node, &field.path), |fragment| (&fragment.node, &fragment.path));
        let (node, path) = (top.nearest(&mistake.path), join(path, &mistake.path));
        let what = match mistake.at {
            Some(at) => format!("{} (at character {})", mistake.what, at + 1),
            None => mistake.what.clone(),
        };
        let problem = Problem { place: node.place.clone(), path, what, hint: sentence(&mistake.hint) };
        // A mistake in a fragment is told once, however often the fragment is used.
        if fragment.is_none() || !self.problems.0.contains(&problem) {
            self.problems.0.push(problem);
        }
    }
}

/// A hint as the second sentence of a problem.
fn sentence(hint: &str) -> String {
    let mut chars = hint.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
