//! Every link of the documentation leads somewhere: files are there, anchors are headings of theirs. No network is needed; what
//! lies outside of the project is not looked at.
//!
//! The pages of `docs` are also a book (`book.toml`), which holds nothing else: they link to each other only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Pages outside of `docs` that people begin from.
const OTHERS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "helm/hookline/README.md"];

/// A page: what it links to, with lines, and what can be linked to in it.
struct Page {
    links: Vec<(usize, String)>,
    anchors: BTreeSet<String>,
}

// === impl Page ===

impl Page {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut page = Self { links: Vec::new(), anchors: BTreeSet::new() };
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                if line.starts_with('#') {
                    page.head(line.trim_start_matches('#'));
                }
                page.links.extend(targets(&prose(line)).map(|target| (number + 1, target.to_owned())));
            }
        }
        page
    }

    /// The anchor of a heading, as forges and mdBook both make it; of one that repeats, with a number.
    fn head(&mut self, heading: &str) {
        let kept = heading.trim().to_lowercase();
        let kept: String = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
        let anchor = kept.replace(' ', "-");
        let again = (1..).map(|n| format!("{anchor}-{n}")).find(|name| !self.anchors.contains(name));
        let free = if self.anchors.contains(&anchor) { again.expect("numbers do not end") } else { anchor };
        self.anchors.insert(free);
    }
}

/// A line without what stands in code.
fn prose(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// What a line links to, pictures too.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, found)| line[at + found.len()..].split([')', ' ']).next())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `path` without `..` in it.
fn straight(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut straight, part| {
        match part {
            Component::ParentDir => drop(straight.pop()),
            Component::CurDir => {}
            part => straight.push(part),
        }
        straight
    })
}

fn pages() -> BTreeMap<PathBuf, Page> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let all = docs.chain(OTHERS.map(|name| root().join(name)));
    all.map(|path| (path.clone(), Page::read(&path))).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let (pages, mut wrong, mut count) = (pages(), Vec::new(), 0);
    for (path, page) in &pages {
        for (line, target) in page.links.iter().filter(|(_, target)| !target.contains("://")) {
            count += 1;
            let mut no = |why: &str| wrong.push(format!("{}:{line}: {target}: {why}", path.display()));
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { path.clone() } else { straight(&path.parent().unwrap().join(file)) };
            let inside = |path: &Path| path.starts_with(root().join("docs"));
            if !to.exists() {
                no("it is not there");
            } else if inside(path) && !inside(&to) {
                no("the book holds only what is in docs: name the file instead, as `code`");
            } else if !anchor.is_empty() && !pages.get(&to).is_some_and(|page| page.anchors.contains(anchor)) {
                no("there is no such heading");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(count >= 50, "{count} links");
}

#[test]
fn the_book_has_every_page_of_docs_once() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let shown = summary.split("<!--").next().unwrap();
    let mut named: Vec<_> = targets(shown).map(str::to_owned).collect();
    named.sort();
    let mut there: Vec<_> =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.retain(|name| name.to_string_lossy().ends_with(".md") && name != "SUMMARY.md");
    there.sort();
    assert_eq!(named, there.into_iter().map(|name| name.into_string().unwrap()).collect::<Vec<_>>());
}
