//! Takes secrets out of the text of a configuration, so that a line can be shown beside a mistake.
//!
//! What a secret is, its key says; of librdkafka's properties every value counts as one, so that a misspelt name tells
//! nothing. Letters become stars, one for one, so that columns stay. Of a text that is no YAML there are no keys: what
//! looks like a secret is masked.

use crate::model::problem::{Place, Problem};
use crate::yaml::node::{Data, Node};

/// What the key of a secret holds.
const WORDS: [&str; 8] =
    ["password", "secret", "token", "encryption_key", "credential", "properties", "auth", "headers"];

/// What is open although it stands in a list of tokens.
const OPEN: [&str; 2] = ["name", "scope"];

/// The fewest letters of something that is masked because it looks random.
const RANDOM: usize = 20;

/// `text` without the secrets that stand in it; `tree` is what it was read as, before references were replaced.
pub(crate) fn masked(text: &str, tree: Option<&Node>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    match tree {
        Some(tree) => secrets(tree).iter().for_each(|secret| mask(secret, &mut lines)),
        None => lines.iter_mut().for_each(|line| *line = suspicious(line)),
    }
    lines.join("\n")
}

/// A secret that is written out.
pub(crate) struct Literal {
    place: Place,
    text: String,
}

/// All secrets that are written out in `tree`.
pub(crate) fn secrets(tree: &Node) -> Vec<Literal> {
    let mut found = Vec::new();
    walk(tree, Kept::Open, &mut found);
    found
}

/// Whether a value is kept secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Open,
    Secret,
}

fn walk(node: &Node, kept: Kept, found: &mut Vec<Literal>) {
    let text = match &node.data {
        Data::List(nodes) => return nodes.iter().for_each(|node| walk(node, kept, found)),
        Data::Map(entries) => {
            for entry in entries {
                let open = OPEN.contains(&entry.key.as_str());
                let kept = if is_secret(&entry.key) { Kept::Secret } else { kept };
                walk(&entry.value, if open { Kept::Open } else { kept }, found);
            }
            return;
        }
        Data::String(text) if !text.starts_with("${") => text.clone(),
        Data::Number(number) => number.to_string(),
        Data::String(_) | Data::Null | Data::Bool(_) => return,
    };
    if kept == Kept::Secret {
        found.push(Literal { place: node.place.clone(), text });
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    WORDS.iter().any(|word| key.contains(word))
}

/// Masks the scalar at its place: its letters where they stand as they are, else all to the end of the line.
fn mask(secret: &Literal, lines: &mut [String]) {
    let (place, text) = (&secret.place, secret.text.as_str());
    let Some(line) = place.line.checked_sub(1).and_then(|at| lines.get_mut(at)) else { return };
    let at = line.char_indices().nth(place.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let (before, rest) = line.split_at(at);
    let (from, to) = match rest.find(text) {
        Some(from) if !text.is_empty() && from <= 1 => (from, from + text.len()),
        _ => (0, rest.len()),
    };
    *line = format!("{before}{}{}{}", &rest[..from], stars(&rest[from..to]), &rest[to..]);
}

/// A line of a text that is no YAML, without what may be a secret.
fn suspicious(line: &str) -> String {
    let lower = line.to_lowercase();
    let behind = WORDS.iter().filter_map(|word| Some((lower.find(word)? + word.len(), word))).min();
    if lower.len() == line.len()
        && let Some((at, _)) = behind
        && let Some(colon) = line.get(at..).and_then(|rest| rest.find(':'))
    {
        let (before, rest) = line.split_at(at + colon + 1);
        return format!("{before}{}", rest.split_inclusive(' ').map(stars).collect::<String>());
    }
    let ends = |c: char| !(c.is_ascii_alphanumeric() || "+/=_-".contains(c));
    let random = |word: &str| word.len() >= RANDOM && word.bytes().any(|b| b.is_ascii_digit());
    let words = line.split_inclusive(ends);
    words.map(|word| if random(word) { stars(word) } else { word.to_owned() }).collect()
}

fn stars(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect()
}

// === impl Literal ===

impl Literal {
    /// Takes the secret out of a problem about what stands at its place.
    pub(crate) fn conceal(&self, problem: &mut Problem) {
        if problem.place == self.place {
            problem.what = problem.what.replace(&format!("`{}`", self.text), "what stands there");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::reader;

    fn shown(text: &str) -> String {
        masked(text, reader::read(&"f".into(), text).ok().as_ref())
    }

    #[test]
    fn a_secret_is_masked_where_it_stands_and_nothing_else_is() {
        let text = "\
api: { tokens: [{ name: ops, token: \"hunter2\", scope: admin }] }
store: { encryption_keys: [hunter2, \"hunter2\"] }
kafka:
  properties:
    sasl.pasword: hunter2
    sasl.password: hunter2
    ssl.key.pem: |
      hunter2
secrets: { a: 12345 }
schema_registry: { password: \"hunter\\x32\", url: x, token: \"${env:T}\" }
";
        let shown = shown(text);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "api: { tokens: [{ name: ops, token: \"*******\", scope: admin }] }");
        assert_eq!(lines[1], "store: { encryption_keys: [*******, \"*******\"] }");
        assert_eq!(lines[4], "    sasl.pasword: *******");
        assert_eq!(lines[5], "    sasl.password: *******");
        assert_eq!(lines[8], "secrets: { a: ***** }");
        assert!(!lines[9].contains("hunter"));
    }

    #[test]
    fn of_a_broken_text_everything_that_may_be_a_secret_is_masked() {
        let text = "a: [\nsasl.password: hunter2 x\nencryption_keys:\n  - aG9va2xpbmUncyBzZWNyZXQgZm9yIGl0cyB0ZXN0cyE=\nopen: 5";
        let lines = shown(text);
        assert_eq!(lines.lines().next(), Some("a: ["));
        assert!(!lines.contains("hunter2") && !lines.contains("aG9va2") && lines.contains("open: 5"), "{lines}");
    }
}
