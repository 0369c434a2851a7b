//! docs/tutorial.md, followed to the letter: its files are written, its commands run, what they print compared.

use crate::blocks;
use crate::setting::write;
use std::path::Path;
use std::process::Command;

const PAGE: &str = "tutorial.md";

/// What a command prints, on both of its outputs.
fn run(folder: &Path, command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "hookline", "{command}");
    let output = Command::new(env!("CARGO_BIN_EXE_hookline")).args(&words[1..]).current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    text(output.stdout) + &text(output.stderr)
}

#[test]
fn who_follows_the_tutorial_sees_what_it_shows() {
    let (folder, mut commands) = (tempfile::tempdir().unwrap(), 0);
    for block in blocks::of(PAGE) {
        if let Some(name) = block.file() {
            write(folder.path(), name, &block.text);
        }
        if block.kind != "console" {
            continue;
        }
        for part in block.text.split("$ ").skip(1) {
            let (command, shown) = part.split_once('\n').unwrap();
            assert_eq!(run(folder.path(), command), shown, "{PAGE}:{}: {command}", block.line);
            commands += 1;
        }
    }
    assert!(commands >= 5, "{commands} commands");
}
