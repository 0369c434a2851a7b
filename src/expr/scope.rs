//! Which names an expression may use (at load), and what they stand for (per record). Values are lent, not copied.

use crate::expr::mistake::did_you_mean;
use crate::expr::secrets::Secrets;
use serde_json::Value;

/// The names an expression may use, and the secrets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    names: Vec<String>,
    secrets: Secrets,
}

/// What the names stand for, for one record. A child sees its parent's names and may hide them.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a> {
    parent: Option<&'a Scope<'a>>,
    bound: Vec<(&'a str, &'a Value)>,
}

// === impl Names ===

impl Names {
    /// These names and no others.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), secrets: Secrets::default() }
    }

    /// The same names, and these secrets.
    #[must_use]
    pub fn knowing(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// The secrets that an expression may use.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// These names and one more.
    #[must_use]
    pub fn with(&self, name: impl Into<String>) -> Self {
        let mut more = self.clone();
        more.names.push(name.into());
        more
    }

    /// Whether `name` may be used.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// All names, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What to tell someone who wrote `unknown`: the name they may have meant, or all there are.
    #[must_use]
    pub fn hint(&self, unknown: &str) -> String {
        did_you_mean(unknown, self.iter()).unwrap_or_else(|| {
            if self.names.is_empty() {
                return "no names can be used here".to_string();
            }
            format!("known here: {}", self.names.join(", "))
        })
    }
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// A scope without names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `name` stand for `value`; a name bound before is bound anew.
    pub fn bind(&mut self, name: &'a str, value: &'a Value) {
        match self.bound.iter_mut().find(|(bound, _)| *bound == name) {
            Some(slot) => slot.1 = value,
            None => self.bound.push((name, value)),
        }
    }

    /// A scope that sees these names, and may hide them: for the entries of a list, for `let`.
    #[must_use]
    pub fn child(&self) -> Scope<'_> {
        Scope { parent: Some(self), bound: Vec::new() }
    }

    /// The scope that all others of this record come from.
    #[must_use]
    pub fn root(&self) -> &Scope<'a> {
        let mut scope = self;
        while let Some(parent) = scope.parent {
            scope = parent;
        }
        scope
    }

    /// What `name` stands for.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let own = self.bound.iter().find(|(bound, _)| *bound == name).map(|(_, value)| *value);
        own.or_else(|| self.parent.and_then(|parent| parent.get(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_child_sees_its_parent_and_hides_it_without_changing_it() {
        let (one, two, three) = (json!(1), json!(2), json!(3));
        let mut scope = Scope::new();
        scope.bind("a", &one);
        scope.bind("b", &two);
        let mut child = scope.child();
        child.bind("a", &three);
        assert_eq!((child.get("a"), child.get("b"), child.get("c")), (Some(&three), Some(&two), None));
        assert_eq!(scope.get("a"), Some(&one));
    }

    #[test]
    fn from_the_root_nothing_that_was_bound_later_is_seen() {
        let (one, two) = (json!(1), json!(2));
        let mut scope = Scope::new();
        scope.bind("a", &one);
        let mut child = scope.child();
        child.bind("a", &two);
        let mut grandchild = child.child();
        grandchild.bind("b", &two);
        assert_eq!((grandchild.root().get("a"), grandchild.root().get("b")), (Some(&one), None));
    }

    #[test]
    fn a_name_can_be_bound_anew() {
        let (one, two) = (json!(1), json!(2));
        let mut scope = Scope::new();
        scope.bind("a", &one);
        scope.bind("a", &two);
        assert_eq!(scope.get("a"), Some(&two));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_or_with_all() {
        let names = Names::new(["payload", "key"]).with("total");
        assert_eq!(names.hint("totl"), "did you mean `total`?");
        assert_eq!(names.hint("customer"), "known here: payload, key, total");
    }
}
