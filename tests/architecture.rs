//! Keeps what the compiler does not: floors, doors, circles, captions, sizes.
#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "a test, and one flat list of rules")]
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};
const FLOORS: &[&[&str]] = &[
    // bottom up
    &["model"],
    &["runtime", "metrics"],
    &["kafka", "store", "egress", "expr", "yaml"],
    &[
        "progress",
        "registry",
        "decode",
        "map",
        "catalogue",
        "matching",
        "lane",
        "place",
        "deliver",
        "quarantine",
        "traces",
    ],
    &["pipeline", "subscriptions"],
    &["intake", "dispatch", "catchup", "replica", "dryrun"],
    &["web"],
    &["config"],
    &["daemon"],
    &["cli"],
    &["main", "lib"],
];
const DOORS: &[(&str, &[&str])] = &[
    // who alone may name a foreign crate, a loop, the lane
    ("rdkafka", &["kafka"]),
    ("sled", &["store"]),
    ("reqwest", &["egress"]),
    ("cel", &["expr"]),
    ("saphyr_parser", &["yaml"]),
    ("jsonschema", &["catalogue", "decode"]),
    ("prometheus", &["metrics"]),
    ("prost", &["traces"]),
    ("prost_reflect", &["decode"]),
    ("protox", &["decode"]),
    ("axum", &["web", "cli"]),
    ("crate::lane", &["lane", "subscriptions", "intake", "dispatch", "catchup", "config"]),
    ("crate::intake", &["intake", "config", "daemon"]),
    ("crate::dispatch", &["dispatch", "config", "daemon"]),
    ("crate::catchup", &["catchup", "config", "daemon"]),
];
#[test]
fn the_house_stands() {
    let (mut files, mut wrong, mut under) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut files);
    for (file, text) in &files {
        let mut no = |what: &str| wrong.push(format!("{file}: {what}"));
        let room = file.split("::").next().unwrap();
        let floor = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
        let text = text.split("#[cfg(test)]").next().unwrap(); // inline tests stand last
        let code: String = text.lines().filter(|l| !l.trim_start().starts_with("//")).flat_map(|l| [l, "\n"]).collect();
        if floor(room).is_none() {
            no("its room has no floor");
        }
        if !text.starts_with("//!") {
            no("no caption");
        }
        if text.lines().count() > 400 {
            no("over 400 lines");
        }
        if !paths(&code, "super").is_empty() {
            no("write `crate::`, not `super::`");
        }
        for (name, rooms) in DOORS {
            if !rooms.contains(&room) && !paths(&code, name).is_empty() {
                no(&format!("`{name}` is only for {rooms:?}"));
            }
        }
        let mut uses = paths(&code, "crate");
        for used in &uses {
            let other = used.split("::").next().unwrap();
            if used.contains('{') {
                no(&format!("grouped import `{used}`"));
            } else if other != room && (floor(other).is_none() || floor(other) >= floor(room)) {
                no(&format!("`{room}` must not use `{used}`"));
            }
        }
        // A `mod.rs` stands above the other files of its room: they do not import it back.
        uses.extend(
            code.lines().filter_map(|l| Some(format!("{file}::{}", l.strip_suffix(';')?.rsplit_once("mod ")?.1))),
        );
        let home = |mut path: &str| {
            while !files.contains_key(path) {
                path = path.rsplit_once("::")?.0;
            }
            Some(path.to_string())
        };
        under.insert(
            file.clone(),
            uses.iter().filter_map(|path| home(path)).filter(|path| path != file).collect::<BTreeSet<_>>(),
        );
    }
    // Take away what imports nothing that is left, and what nothing left imports: circles remain.
    while let Some(free) = under
        .keys()
        .find(|f| !under[*f].iter().any(|u| under.contains_key(u)) || !under.values().any(|u| u.contains(*f)))
        .cloned()
    {
        under.remove(&free);
    }
    if !under.is_empty() {
        wrong.push(format!("in a circle: {:?}", under.keys()));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
/// `it isolation::a`: in tests/it/isolation.rs; `store::a`: in src/store; `architecture a`: here.
#[test]
fn the_tests_that_the_plan_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plan = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let rows = ["## What holds", "## Invariants"].into_iter().flat_map(|title| {
        let (_, table) = plan.split_once(title).unwrap();
        table.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| ")).skip(1)
    });
    for row in rows {
        let named = row.rsplit_once(" | ").unwrap().1.split('`').skip(1).step_by(2);
        assert!(row.contains('`'), "no test: {row}");
        for test in named {
            let (path, name) = test.rsplit_once([':', ' ']).unwrap();
            let path = path.trim_end_matches(':').replace("::", "/");
            let path = path.strip_prefix("it ").map_or(format!("src/{path}"), |file| format!("tests/it/{file}"));
            let path = path.replace("src/architecture", "tests/architecture");
            let text = fs::read_to_string(root.join(format!("{path}.rs")));
            let text = text.or_else(|_| fs::read_to_string(root.join(&path).join("mod.rs"))).unwrap_or_default();
            assert!(text.contains(&format!("fn {name}(")), "`{test}` is not there");
        }
    }
}
/// What follows `name::` wherever it begins a path; a group of leaves is spread, a group of rooms stays as `{`.
fn paths(code: &str, name: &str) -> Vec<String> {
    code.match_indices(&format!("{name}::"))
        .filter(|(i, _)| !code[..*i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
        .flat_map(|(i, found)| {
            let rest = &code[i + found.len()..];
            let (path, tail) =
                rest.split_at(rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len()));
            let leaves = if path.is_empty() {
                tail.get(..1).unwrap_or_default()
            } else {
                tail.strip_prefix('{').map_or("-", |group| group.split('}').next().unwrap())
            };
            leaves
                .split(',')
                .map(str::trim)
                .filter(|leaf| !leaf.is_empty())
                .map(|leaf| format!("{path}{}", leaf.trim_matches('-')))
                .collect::<Vec<_>>()
        })
        .collect()
}
fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
        if path.is_dir() {
            read(&path, &format!("{name}::"), files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.insert(name.trim_end_matches("::mod").into(), fs::read_to_string(path).unwrap());
        }
    }
}
