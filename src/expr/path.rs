//! A plain path (`payload.a[0].b`, `tables.country[payload.cc]`): followed in the JSON itself, without CEL, so that what
//! it leads to is copied exactly, number text and all. It allocates nothing but the words of a failure.

use crate::expr::failure::Failure;
use crate::expr::mistake::join;
use crate::expr::scope::{Names, Scope};
use serde_json::Value;

/// A compiled path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    root: Box<str>,
    steps: Vec<Step>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `.name` or `["name"]`
    Key(Box<str>),
    /// `[0]`
    Index(usize),
    /// `[path]`: the key or index is itself in the record
    At(Path),
}

/// How deep paths stand in each other's brackets.
const MAX_NESTING: usize = 4;

// === impl Path ===

impl Path {
    /// The name alone.
    #[must_use]
    pub fn root(name: &str) -> Self {
        Self { root: name.into(), steps: Vec::new() }
    }

    /// The path with one more step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The path `source` is, when it is nothing else and begins with one of `names`.
    #[must_use]
    pub fn parse(source: &str, names: &Names) -> Option<Self> {
        let (path, rest) = read(source.trim(), names, MAX_NESTING)?;
        rest.is_empty().then_some(path)
    }

    /// What the path leads to.
    ///
    /// # Errors
    /// Nothing is there (`missing`), or something on the way is no object or list.
    pub fn find<'a>(&self, scope: &Scope<'a>) -> Result<&'a Value, Failure> {
        let mut value =
            scope.get(&self.root).ok_or_else(|| Failure::missing(format!("`{}` has no value here", self.root)))?;
        for (taken, step) in self.steps.iter().enumerate() {
            let next = match (value, step) {
                (Value::Object(map), Step::Key(key)) => map.get(&**key),
                (Value::Array(items), Step::Index(index)) => items.get(*index),
                (_, Step::At(path)) => match (value, path.find(scope)?) {
                    (Value::Object(map), Value::String(key)) => map.get(key),
                    (Value::Array(items), Value::Number(at)) => at.as_u64().and_then(|at| items.get(at as usize)),
                    (_, at) => return Err(self.unfit(taken, value, Some(at))),
                },
                _ => return Err(self.unfit(taken, value, None)),
            };
            value = next.ok_or_else(|| self.nothing(taken, scope))?;
        }
        Ok(value)
    }

    #[cold]
    fn nothing(&self, taken: usize, scope: &Scope) -> Failure {
        let below = self.steps[..=taken].iter().fold(String::new(), |text, step| join(&text, &step.spell()));
        let used = match &self.steps[taken] {
            Step::At(path) => path.find(scope).map(|at| format!(" (`{path}` is {at})")).unwrap_or_default(),
            Step::Key(_) | Step::Index(_) => String::new(),
        };
        match &self.steps[taken] {
            Step::Index(_) => {
                Failure::missing(format!("no such index `{below}` in `{}`: the list is shorter", self.root))
            }
            Step::Key(_) | Step::At(_) => Failure::missing(format!("no such key `{below}` in `{}`{used}", self.root)),
        }
    }

    #[cold]
    fn unfit(&self, taken: usize, value: &Value, at: Option<&Value>) -> Failure {
        let here = Self { root: self.root.clone(), steps: self.steps[..taken].to_vec() };
        let what = match (&self.steps[taken], at) {
            _ if value.is_null() => return Failure::missing(format!("`{here}` is null")),
            (Step::Key(key), _) => format!("`{here}` is {}, it has no key `{key}`", kind(value)),
            (Step::Index(index), _) => format!("`{here}` is {}, it has no entry {index}", kind(value)),
            (Step::At(path), Some(at)) => format!("`{here}` is {}, `{path}` is {}", kind(value), kind(at)),
            (Step::At(path), None) => format!("`{here}` is {}, not for `{path}`", kind(value)),
        };
        Failure::fault(what)
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.steps.iter().fold(self.root.to_string(), |text, step| join(&text, &step.spell())))
    }
}

// === impl Step ===

impl Step {
    fn spell(&self) -> String {
        match self {
            Self::Key(key) if is_word(key) => key.to_string(),
            Self::Key(key) => format!("[{key:?}]"),
            Self::Index(index) => format!("[{index}]"),
            Self::At(path) => format!("[{path}]"),
        }
    }
}

/// What a JSON value is, in words.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Whether `text` can be a name in CEL.
#[must_use]
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads a path off the front of `text`; gives it and the rest.
fn read<'s>(text: &'s str, names: &Names, nesting: usize) -> Option<(Path, &'s str)> {
    let (root, mut rest) = word(text)?;
    if !names.contains(root) || nesting == 0 {
        return None;
    }
    let mut path = Path::root(root);
    loop {
        if let Some(after) = rest.strip_prefix('.') {
            let (key, after) = word(after)?;
            path.steps.push(Step::Key(key.into()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after, names, nesting)?;
            path.steps.push(step);
            rest = after.strip_prefix(']')?;
        } else {
            return Some((path, rest));
        }
    }
}

fn bracket<'s>(text: &'s str, names: &Names, nesting: usize) -> Option<(Step, &'s str)> {
    match text.chars().next()? {
        quote @ ('"' | '\'') => {
            let (key, after) = text[1..].split_once(quote)?;
            (!key.contains(['\\', '\n'])).then(|| (Step::Key(key.into()), after))
        }
        '0'..='9' => {
            let end = text.find(|c: char| !c.is_ascii_digit())?;
            Some((Step::Index(text[..end].parse().ok()?), &text[end..]))
        }
        _ => read(text, names, nesting - 1).map(|(path, after)| (Step::At(path), after)),
    }
}

fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    is_word(word).then_some((word, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Names {
        Names::new(["payload", "tables"])
    }

    fn find(source: &str, payload: &Value) -> Result<Value, Failure> {
        let tables = json!({"country": {"NO": "Norway"}});
        let mut scope = Scope::new();
        scope.bind("payload", payload);
        scope.bind("tables", &tables);
        Path::parse(source, &names()).expect("a path").find(&scope).cloned()
    }

    #[test]
    fn keys_indexes_and_keys_from_the_record_are_followed() {
        let payload = json!({"a": {"b": [10, {"c": "x"}], "d-e": 1}, "cc": "NO", "i": 1});
        assert_eq!(find("payload.a.b[1].c", &payload), Ok(json!("x")));
        assert_eq!(find(" payload[\"a\"]['d-e'] ", &payload), Ok(json!(1)));
        assert_eq!(find("tables.country[payload.cc]", &payload), Ok(json!("Norway")));
        assert_eq!(find("payload.a.b[payload.i].c", &payload), Ok(json!("x")));
        assert_eq!(find("payload", &payload), Ok(payload.clone()));
    }

    #[test]
    fn what_is_no_plain_path_is_left_to_cel() {
        for source in [
            "payload.",
            "payload.a + 1",
            "payload[-1]",
            "other.a",
            "payload.a()",
            "payload['a\\n']",
            "",
            "1",
            "payload.a b",
            "payload[0",
            "payload.?a",
        ] {
            assert_eq!(Path::parse(source, &names()), None, "{source}");
        }
    }

    #[test]
    fn a_failure_says_which_step_led_nowhere() {
        let payload = json!({"customer": {"name": "Ann", "tags": ["x"]}, "gone": null, "cc": "SE"});
        let what = |source| find(source, &payload).unwrap_err();
        assert_eq!(what("payload.customer.mail").what, "no such key `customer.mail` in `payload`");
        assert_eq!(
            what("payload.customer.tags[3]").what,
            "no such index `customer.tags[3]` in `payload`: the list is shorter"
        );
        assert_eq!(
            what("payload.customer.name.first").what,
            "`payload.customer.name` is a string, it has no key `first`"
        );
        assert_eq!(
            what("tables.country[payload.cc]").what,
            "no such key `country[payload.cc]` in `tables` (`payload.cc` is \"SE\")"
        );
        assert!(what("payload.gone.x").missing && what("payload.nothing").missing);
        assert!(!what("payload.customer.name.first").missing);
    }
}
