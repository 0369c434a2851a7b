//! One mistake in an expression or a template: where, what, and what to do. Found at load, never at run time.

/// A mistake in what a user wrote. Whoever knows the file turns it into a problem with a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The path inside the template (`customer.$rename`); empty for a lone expression or text.
    pub path: String,
    /// Where in the string, in characters from 0, when it is about a part of it.
    pub at: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty when `what` says it all.
    pub hint: String,
    /// The fragment that it stands in, when it stands in one: the path is one inside of it.
    pub fragment: Option<String>,
}

// === impl Mistake ===

impl Mistake {
    /// A mistake about a whole string.
    #[must_use]
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: String::new(), at: None, what: what.into(), hint: hint.into(), fragment: None }
    }

    /// The same mistake, `at` this character of the string.
    #[must_use]
    pub fn at(mut self, at: usize) -> Self {
        self.at = Some(at);
        self
    }

    /// The same mistake, `by` characters further right: for an expression inside a longer text.
    #[must_use]
    pub fn moved(mut self, by: usize) -> Self {
        self.at = self.at.map(|at| at + by);
        self
    }

    /// The same mistake, one step further down: `key` is put before the path. Where a fragment is used is not part of the
    /// path in it.
    #[must_use]
    pub fn within(mut self, key: &str) -> Self {
        if self.fragment.is_none() {
            self.path = join(key, &self.path);
        }
        self
    }

    /// The same mistake, in the fragment `name`, unless it stands in one already.
    #[must_use]
    pub fn in_fragment(mut self, name: &str) -> Self {
        self.fragment.get_or_insert_with(|| name.to_owned());
        self
    }
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, ". {}", self.hint) }
    }
}

impl std::error::Error for Mistake {}

/// `a` and `b` as one path: `a.b`, or `a[0]` when `b` begins with a bracket.
#[must_use]
pub fn join(a: &str, b: &str) -> String {
    match (a, b) {
        ("", one) | (one, "") => one.to_string(),
        _ if b.starts_with('[') => format!("{a}{b}"),
        _ => format!("{a}.{b}"),
    }
}

/// "did you mean `x`?" when one of `known` is close to `given`, else nothing.
#[must_use]
pub fn did_you_mean<'k>(given: &str, known: impl Iterator<Item = &'k str>) -> Option<String> {
    let allowed = (given.chars().count() / 3).clamp(1, 3);
    known
        .map(|name| (distance(given, name), name))
        .filter(|(far, name)| *far <= allowed || name.eq_ignore_ascii_case(given))
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let mut far = (row[j] + usize::from(a[i] != b[j])).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                far = far.min(before[j - 1] + 1);
            }
            next.push(far);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_different_word_is_not() {
        let known = ["payload", "headers", "key"];
        let mean = |given| did_you_mean(given, known.into_iter());
        assert_eq!(mean("paylaod").as_deref(), Some("did you mean `payload`?"));
        assert_eq!(mean("header").as_deref(), Some("did you mean `headers`?"));
        assert_eq!(mean("KEY").as_deref(), Some("did you mean `key`?"));
        assert_eq!(mean("customer"), None);
    }

    #[test]
    fn paths_join_with_dots_and_brackets() {
        assert_eq!(join("a", "b"), "a.b");
        assert_eq!(join("a", "[0].b"), "a[0].b");
        assert_eq!(join("", "b"), "b");
        assert_eq!(join("a", ""), "a");
    }
}
