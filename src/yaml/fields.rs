//! A map read field by field: every mistake is collected, none ends the reading.
//!
//! Takes a [`Node`], gives plain values or `None` with a problem added. Keys that nobody asked for are mistakes with
//! a guess of what was meant. Knows no key's meaning.

use crate::model::problem::{Place, Problems};
use crate::yaml::node::{Data, Entry, Node};
use crate::yaml::units;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A value and the path that leads to it.
#[derive(Clone, Debug)]
pub struct Field<'n> {
    /// The value.
    pub node: &'n Node,
    /// Its path in the document: `a.b[0].c`.
    pub path: String,
}

/// A map whose keys are asked for one by one.
#[derive(Debug)]
pub struct Fields<'n> {
    entries: &'n [Entry],
    place: &'n Place,
    path: String,
    known: Vec<String>,
    told: Vec<&'n str>,
}

// === impl Field ===

impl<'n> Field<'n> {
    /// A value at a path.
    #[must_use]
    pub fn new(node: &'n Node, path: impl Into<String>) -> Self {
        Self { node, path: path.into() }
    }

    /// The value below this one at `key`.
    #[must_use]
    pub fn child(&self, key: &str, node: &'n Node) -> Self {
        Self { node, path: join(&self.path, key) }
    }

    /// Adds a problem about this value.
    pub fn problem(&self, problems: &mut Problems, what: impl Into<String>, hint: impl Into<String>) {
        problems.add(&self.node.place, self.path.clone(), what, hint);
    }

    /// A string.
    pub fn string(&self, problems: &mut Problems) -> Option<String> {
        self.text(problems).map(str::to_owned)
    }

    /// A string, borrowed.
    pub fn text(&self, problems: &mut Problems) -> Option<&'n str> {
        match &self.node.data {
            Data::String(text) => Some(text),
            Data::Number(_) | Data::Bool(_) => {
                self.unfit(problems, "a string", "Quote it");
                None
            }
            _ => {
                self.unfit(problems, "a string", "");
                None
            }
        }
    }

    /// A boolean.
    pub fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        match self.node.data {
            Data::Bool(value) => Some(value),
            _ => {
                self.unfit(problems, "a boolean", "Write true or false");
                None
            }
        }
    }

    /// A whole number within `range`.
    pub fn integer(&self, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let value = match &self.node.data {
            Data::Number(number) => number.as_u64(),
            _ => None,
        };
        self.within(value, range, ("a whole number", &|n| n.to_string()), problems)
    }

    /// A number within `range`.
    pub fn number(&self, range: RangeInclusive<f64>, problems: &mut Problems) -> Option<f64> {
        let value = match &self.node.data {
            Data::Number(number) => number.as_f64(),
            _ => None,
        };
        self.within(value, range, ("a number", &|n| n.to_string()), problems)
    }

    /// A duration within `range`: `250ms 15s 10m 6h 3d`, or 0.
    pub fn duration(&self, range: RangeInclusive<Duration>, problems: &mut Problems) -> Option<Duration> {
        let value = self.scalar().and_then(|text| units::duration(&text));
        self.within(value, range, ("a duration like 15s", &|d| units::show_duration(*d)), problems)
    }

    /// A size in bytes within `range`: `16MiB 1GiB 5MB`, or plain bytes.
    pub fn size(&self, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let value = self.scalar().and_then(|text| units::size(&text));
        self.within(value, range, ("a size like 16MiB", &|size| units::show_size(*size)), problems)
    }

    /// What the word of this field stands for in `table`.
    pub fn one_of<T: Copy>(&self, table: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let words = table.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let Data::String(word) = &self.node.data else {
            self.unfit(problems, format!("one of {words}"), "");
            return None;
        };
        if let Some((_, value)) = table.iter().find(|(known, _)| known == word) {
            return Some(*value);
        }
        let known: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
        self.problem(problems, format!("`{word}` is none of {words}"), near(word, &known).unwrap_or_default());
        None
    }

    /// The values of a list.
    pub fn list(&self, problems: &mut Problems) -> Option<Vec<Field<'n>>> {
        let Data::List(nodes) = &self.node.data else {
            self.unfit(problems, "a list", "Put it between `[` and `]`");
            return None;
        };
        let fields = nodes.iter().enumerate();
        Some(fields.map(|(i, node)| Field { node, path: format!("{}[{i}]", self.path) }).collect())
    }

    /// The keys and values of a map whose keys are the user's.
    pub fn entries(&self, problems: &mut Problems) -> Option<Vec<(&'n Entry, Field<'n>)>> {
        let Data::Map(entries) = &self.node.data else {
            self.unfit(problems, "a map", "");
            return None;
        };
        Some(entries.iter().map(|entry| (entry, self.child(&entry.key, &entry.value))).collect())
    }

    fn scalar(&self) -> Option<String> {
        match &self.node.data {
            Data::String(text) => Some(text.clone()),
            Data::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn within<T: PartialOrd>(
        &self,
        value: Option<T>,
        range: RangeInclusive<T>,
        (wanted, show): (&str, &dyn Fn(&T) -> String),
        problems: &mut Problems,
    ) -> Option<T> {
        let bounds = format!("{} to {}", show(range.start()), show(range.end()));
        match value {
            None => self.unfit(problems, wanted, &format!("It may be {bounds}")),
            Some(value) if range.contains(&value) => return Some(value),
            Some(value) => {
                self.problem(problems, format!("{} is out of range", show(&value)), format!("It may be {bounds}"))
            }
        }
        None
    }

    fn unfit(&self, problems: &mut Problems, wanted: impl Display, hint: &str) {
        let found = match &self.node.data {
            Data::String(text) if text.chars().count() <= 40 => format!("`{text}`"),
            Data::Number(number) => format!("`{number}`"),
            _ => self.node.kind().to_owned(),
        };
        self.problem(problems, format!("must be {wanted}, not {found}"), hint);
    }
}

// === impl Fields ===

impl<'n> Fields<'n> {
    /// Opens a map; anything else is a problem.
    pub fn of(field: &Field<'n>, problems: &mut Problems) -> Option<Self> {
        let Data::Map(entries) = &field.node.data else {
            field.unfit(problems, "a map", "");
            return None;
        };
        Some(Self { entries, place: &field.node.place, path: field.path.clone(), known: Vec::new(), told: Vec::new() })
    }

    /// The value of `key`; null counts as absent.
    pub fn optional(&mut self, key: &str) -> Option<Field<'n>> {
        self.present(key).filter(|field| !field.node.is_null())
    }

    /// The value of `key`; null counts as present.
    pub fn present(&mut self, key: &str) -> Option<Field<'n>> {
        self.known.push(key.to_owned());
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Field { node: &entry.value, path: join(&self.path, key) })
    }

    /// The value of `key`; it is a problem when there is none or null.
    pub fn required(&mut self, key: &str, problems: &mut Problems) -> Option<Field<'n>> {
        let field = self.present(key);
        match field {
            Some(field) if !field.node.is_null() => return Some(field),
            Some(field) => field.problem(problems, "must not be null", ""),
            None => problems.add(self.place, join(&self.path, key), "is missing", ""),
        }
        None
    }

    /// Refuses `key` when it is present and not null: it is known, but this version cannot do it yet.
    pub fn not_yet(&mut self, key: &str, problems: &mut Problems) {
        if self.optional(key).is_some() {
            let entry = self.entries.iter().find(|entry| entry.key == key);
            let place = entry.map_or(self.place, |entry| &entry.place);
            problems.add(place, join(&self.path, key), "is not yet available in this version", "Leave it out");
        }
    }

    /// Refuses those of `keys` that are present: they belong where `hint` says.
    pub fn misplaced(&mut self, keys: &[&str], hint: &str, problems: &mut Problems) {
        for entry in self.entries.iter().filter(|entry| keys.contains(&entry.key.as_str())) {
            problems.add(&entry.place, join(&self.path, &entry.key), "does not belong here", hint);
            self.told.push(&entry.key);
        }
    }

    /// Ends the reading: every key that was not asked for is a problem.
    pub fn finish(self, problems: &mut Problems) {
        let told = |entry: &&Entry| self.known.contains(&entry.key) || self.told.contains(&entry.key.as_str());
        for entry in self.entries.iter().filter(|entry| !told(entry)) {
            let hint = guess(&entry.key, self.known.iter().map(String::as_str));
            problems.add(&entry.place, join(&self.path, &entry.key), "is not a known key", hint);
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The known word nearest to what was written, as a hint; all of them when they are few and none is near.
fn guess<'w>(written: &str, known: impl Iterator<Item = &'w str>) -> String {
    let known: Vec<&str> = known.collect();
    near(written, &known).unwrap_or_else(|| match known.is_empty() {
        true => String::new(),
        false => format!("Known are {}", known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
    })
}

/// The known word nearest to what was written, as a hint, when one is near.
fn near(written: &str, known: &[&str]) -> Option<String> {
    let written = written.to_lowercase();
    let (steps, word) = known.iter().map(|word| (distance(&written, &word.to_lowercase()), *word)).min()?;
    (steps <= (word.chars().count() / 3).max(1)).then(|| format!("Did you mean `{word}`?"))
}

/// How many letters must be changed, added, left out or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(swap)
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::reader;

    fn node(text: &str) -> Node {
        reader::read(&"f.yaml".into(), text).unwrap()
    }

    fn told(problems: &Problems) -> Vec<String> {
        problems.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let node =
            node("{s: x, b: true, n: 7, f: 0.2, d: 15s, z: 0, m: 16MiB, p: 9, o: key, l: [1, 2], e: {k: 1}, q: ~}");
        let mut problems = Problems::default();
        let p = &mut problems;
        let mut fields = Fields::of(&Field::new(&node, ""), p).unwrap();
        let mut get = |key: &str| fields.optional(key).unwrap();
        assert_eq!(get("s").string(p).as_deref(), Some("x"));
        assert_eq!(get("b").boolean(p), Some(true));
        assert_eq!(get("n").integer(1..=9, p), Some(7));
        assert_eq!(get("f").number(0.0..=1.0, p), Some(0.2));
        let (none, day) = (Duration::ZERO, Duration::from_secs(86_400));
        assert_eq!(get("d").duration(none..=day, p), Some(Duration::from_secs(15)));
        assert_eq!(get("z").duration(none..=day, p), Some(none));
        assert_eq!(get("m").size(0..=u64::MAX, p), Some(16 << 20));
        assert_eq!(get("p").size(0..=u64::MAX, p), Some(9));
        assert_eq!(get("o").one_of(&[("none", 1), ("key", 2)], p), Some(2));
        assert_eq!(get("l").list(p).unwrap()[1].path, "l[1]");
        assert_eq!(get("e").entries(p).unwrap()[0].1.path, "e.k");
        assert!(fields.optional("q").is_none() && fields.present("q").is_some() && fields.present("r").is_none());
        fields.finish(p);
        assert_eq!(told(&problems), Vec::<String>::new());
    }

    #[test]
    fn all_mistakes_are_told_with_place_path_and_hint() {
        let node = node("a:\n  url: 5\n  timeuot: 15s\n  size: 4x\n  n: 12\n  how: ky\n  later: 1\n  nil: ~\n");
        let mut problems = Problems::default();
        let p = &mut problems;
        let mut fields = Fields::of(&Field::new(node.get("a").unwrap(), "a"), p).unwrap();
        fields.optional("url").unwrap().string(p);
        assert!(fields.optional("timeout").is_none());
        fields.optional("size").unwrap().size(1..=1 << 30, p);
        fields.optional("n").unwrap().integer(1..=9, p);
        fields.optional("how").unwrap().one_of(&[("none", 1), ("key", 2)], p);
        fields.not_yet("later", p);
        fields.not_yet("latest", p);
        fields.required("nil", p);
        fields.required("gone", p);
        fields.finish(p);
        let expected = [
            "f.yaml:2:8: a.url: must be a string, not `5`. Quote it",
            "f.yaml:4:9: a.size: must be a size like 16MiB, not `4x`. It may be 1B to 1GiB",
            "f.yaml:5:6: a.n: 12 is out of range. It may be 1 to 9",
            "f.yaml:6:8: a.how: `ky` is none of `none`, `key`. Did you mean `key`?",
            "f.yaml:7:3: a.later: is not yet available in this version. Leave it out",
            "f.yaml:8:8: a.nil: must not be null",
            "f.yaml:2:3: a.gone: is missing",
            "f.yaml:3:3: a.timeuot: is not a known key. Did you mean `timeout`?",
        ];
        assert_eq!(told(&problems), expected);
    }

    #[test]
    fn what_is_not_a_map_or_list_is_a_problem() {
        let node = node("[1]");
        let mut problems = Problems::default();
        assert!(Fields::of(&Field::new(&node, "x"), &mut problems).is_none());
        assert!(Field::new(node.at("[0]").unwrap(), "x[0]").list(&mut problems).is_none());
        assert_eq!(told(&problems)[0], "f.yaml:1:1: x: must be a map, not a list");
        assert_eq!(told(&problems)[1], "f.yaml:1:2: x[0]: must be a list, not `1`. Put it between `[` and `]`");
    }
}
