//! docs/configuration.md is made of `config/hookline.example.yaml`, which another test holds against the code's defaults.
//! `HOOKLINE_WRITE=1 cargo test --test docs configuration` writes the page anew.
//!
//! And the ranges that the example tells are those that the reader keeps to.

use hookline::config::Config;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const INTRO: &str = "\
# Configuration

Every key, with its default. This page is made of `config/hookline.example.yaml`, so the file tells the same. `hookline run`
takes the file that `--config` or `HOOKLINE_CONFIG` names, else `config/hookline.yaml`, else `/etc/hookline/hookline.yaml`.
`hookline check` says what is wrong with one; `hookline init` writes one to begin with; `hookline export config-schema` tells
editors the keys. What a subscription may say for itself stands in [Subscriptions](subscriptions.md).
";

/// A key of the example: where it stands, what it is when nobody says anything, what is said about it.
#[derive(Default)]
struct Key {
    path: String,
    default: String,
    about: Vec<String>,
    example: Vec<String>,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The head of the example, and its keys in their order.
fn example() -> (Vec<String>, Vec<Key>) {
    let text = fs::read_to_string(file("config/hookline.example.yaml")).unwrap();
    let (mut head, mut keys) = (Vec::new(), Vec::<Key>::new());
    let (mut said, mut above) = (Vec::new(), Vec::<String>::new());
    for line in text.lines().chain([""]) {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim_start());
        if let Some(comment) = line.strip_prefix('#') {
            said.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned());
            continue;
        }
        match keys.last_mut() {
            None if line.is_empty() => head = std::mem::take(&mut said),
            None => {}
            Some(last) => last.take_example(&mut said),
        }
        if let Some((name, default)) = line.split_once(':') {
            above.truncate(indent / 2);
            above.push(name.to_owned());
            let (path, default) = (above.join("."), default.trim().to_owned());
            keys.push(Key { path, default, about: std::mem::take(&mut said), example: Vec::new() });
        }
        assert!(said.is_empty(), "of what key is this said? {said:?}");
    }
    (head, keys)
}

// === impl Key ===

impl Key {
    /// Takes from what was said the example of this key, which begins with its name.
    fn take_example(&mut self, said: &mut Vec<String>) {
        let begin = format!("{}:", self.path.rsplit('.').next().unwrap());
        if said.first().is_some_and(|first| *first == begin) {
            let end = said.iter().skip(1).position(|line| !line.starts_with("  ")).map_or(said.len(), |at| at + 1);
            self.example = said.drain(..end).collect();
        }
    }

    /// Whether there is something to tell: a key that only holds others, and of which nothing is said, is told by these.
    fn is_told(&self) -> bool {
        !self.path.contains('.') || !self.default.is_empty() || !self.about.is_empty()
    }

    /// The range of its value that is told, when it is one.
    fn range(&self) -> Option<(String, String)> {
        let about = self.about.join(" ");
        let words: Vec<&str> = about.split(' ').chain([""]).collect();
        let value = |word: &str| {
            let word = word.trim_matches(['.', ',', ';', ':', '(', ')']);
            word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.to_owned())
        };
        let ranges = words.windows(4).filter(|words| words[1] == "to" && words[3] != "characters.");
        let mut ranges = ranges.filter_map(|words| value(words[0]).zip(value(words[2])));
        let first = ranges.next()?;
        (ranges.next().is_none() && !self.default.starts_with(['{', '['])).then_some(first)
    }

    /// The key in Markdown: a section when it stands at the top. What nothing is said about was told with `before`.
    fn shown(&self, before: &Self) -> String {
        let level = if self.path.contains('.') { "###" } else { "##" };
        let mut parts = vec![format!("{level} {}", self.path)];
        if !self.default.is_empty() {
            parts.push(format!("Default: `{}`", self.default));
        }
        if !self.about.is_empty() {
            parts.push(paragraphs(&self.about).trim().to_owned());
        } else if !self.default.is_empty() {
            parts.push(format!("Told with `{}`.", before.path));
        }
        if !self.example.is_empty() {
            parts.push(format!("```yaml\n{}\n```", self.example.join("\n")));
        }
        parts.join("\n\n")
    }
}

/// Lines of a comment in Markdown: what is indented is a table of words.
fn paragraphs(lines: &[String]) -> String {
    let mut page = String::new();
    let mut table = false;
    for line in lines {
        let indented = line.starts_with("  ") && !page.ends_with("- ");
        let point = lines.iter().any(|line| line.starts_with("- "));
        if !point && indented != table {
            page += if indented { "\n```text\n" } else { "```\n\n" };
            table = indented;
        }
        match table {
            true => writeln!(page, "{}", line.trim_start()).unwrap(),
            false => writeln!(page, "{}", linked(&plain(line))).unwrap(),
        }
    }
    if table {
        page += "```\n";
    }
    page
}

/// A line of a comment in which Markdown finds nothing but code.
fn plain(line: &str) -> String {
    let escaped = |(at, part): (usize, &str)| match at % 2 {
        0 => part.replace('*', r"\*").replace('<', r"\<"),
        _ => part.to_owned(),
    };
    line.split('`').enumerate().map(escaped).collect::<Vec<_>>().join("`")
}

/// Names of pages as links.
fn linked(line: &str) -> String {
    line.split_inclusive([' ', ')']).fold(String::new(), |linked, word| {
        let name = word.trim_matches(['(', ')', ' ', '.', ',', ';', ':']);
        match name.strip_prefix("docs/") {
            Some(page) => linked + &word.replace(name, &format!("[{page}]({page})")),
            None => linked + word,
        }
    })
}

#[test]
fn the_page_tells_what_the_example_tells() {
    let (head, keys) = example();
    let (mut parts, mut before) = (vec![INTRO.to_owned(), paragraphs(&head[1..])], &keys[0]);
    for key in keys.iter().filter(|key| key.is_told()) {
        parts.push(key.shown(before));
        before = if key.about.is_empty() { before } else { key };
    }
    let page = parts.iter().map(|part| part.trim()).collect::<Vec<_>>().join("\n\n") + "\n";
    let path = file("docs/configuration.md");
    if std::env::var_os("HOOKLINE_WRITE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/configuration.md is not made of the example: HOOKLINE_WRITE=1 cargo test --test docs configuration"
    );
    assert!(keys.len() >= 60, "{} keys", keys.len());
}

/// The value below or above: of the same unit, one less or one more.
fn beside(value: &str, step: i64) -> String {
    let unit = value.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &value[..value.len() - unit.len()];
    match number.parse::<i64>() {
        Ok(whole) => format!("{}{unit}", whole + step),
        Err(_) => format!("{}", number.parse::<f64>().unwrap() + step as f64),
    }
}

#[test]
fn the_ranges_that_are_told_are_those_that_are_kept_to() {
    let path = file("config/hookline.example.yaml");
    let refused = |key: &str, value: &str| {
        // Room for what must not be larger than another.
        let room = "limits.bytes_in_flight=64GiB".to_owned();
        let sets = if key == "limits.bytes_in_flight" { vec![] } else { vec![room] };
        let sets: Vec<String> = sets.into_iter().chain([format!("{key}={value}")]).collect();
        Config::load(&path, &sets).err().map(|error| error.report())
    };
    let mut count = 0;
    for key in example().1 {
        let Some((low, high)) = key.range() else { continue };
        for inside in [&low, &high] {
            assert_eq!(refused(&key.path, inside), None, "{} to {high}: {} = {inside}", low, key.path);
        }
        for outside in [beside(&low, -1), beside(&high, 1)] {
            let told = refused(&key.path, &outside);
            assert!(told.is_some_and(|told| told.contains(&key.path)), "{low} to {high}: {} = {outside}", key.path);
        }
        count += 1;
    }
    assert!(count >= 15, "{count} ranges");
}
