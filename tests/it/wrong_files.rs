//! Files that people get wrong, and what they are told: each in `tests/fixtures/config/wrong`, with the text beside it.
//!
//! After a change of a text: `HOOKLINE_WRITE=1 cargo test --test it wrong_files`, and read the difference.

use hookline::config::{Config, rules};
use std::fs;
use std::path::{Path, PathBuf};

/// Relative, as a user would name it: what is told begins with it.
const FOLDER: &str = "tests/fixtures/config/wrong";

fn told(file: &Path) -> String {
    let name = file.file_name().unwrap().to_str().unwrap();
    let error = match name.split('-').next().unwrap() {
        "config" => Config::load(file, &[]).map(drop).unwrap_err(),
        "mapping" => rules::load(&[file.to_owned()]).map(drop).unwrap_err(),
        other => panic!("{name}: {other} is no kind of file"),
    };
    error.report()
}

#[test]
fn p10_whoever_gets_a_file_wrong_is_told_where_and_what_to_do() {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "yaml"));
    files.sort();
    assert!(files.len() >= 20, "{}", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let (told, beside) = (told(&file), file.with_extension("txt"));
        if std::env::var("HOOKLINE_WRITE").is_ok_and(|set| set == "1") {
            fs::write(&beside, &told).unwrap();
        }
        let expected = fs::read_to_string(&beside).unwrap_or_default();
        if told != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- told\n{told}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
