//! Every command that the documentation shows can be typed: in blocks and in the text.

use clap::Parser;
use clap::error::ErrorKind;
use hookline::cli::Args;
use std::fs;
use std::path::Path;

/// The commands of a page, with their lines: what begins with the name, up to a pipe, a remark, another command.
fn commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let pieces: Vec<&str> = if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces.iter().flat_map(|piece| piece.split("&&")) {
            let piece = piece.trim().trim_start_matches("$ ");
            let ends = [" |", " >", " #", "  ", " &", "; "];
            let end = ends.iter().filter_map(|end| piece.find(end)).min().unwrap_or(piece.len());
            if piece.starts_with("hookline ") {
                found.push((number + 1, piece[..end].trim_end_matches('\\').trim().to_owned()));
            }
        }
    }
    found
}

/// What stands around words without belonging to them: quotes, and what may be left out.
const MARKS: [char; 4] = ['\'', '"', '[', ']'];

/// Whether it names a command, and says nothing of what is done with it.
fn is_name(words: &[&str]) -> bool {
    words
        .iter()
        .all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-'))
}

/// Whether it stands for several, or goes on in another line.
fn is_sketch(command: &str) -> bool {
    command.contains('|') || command.contains("...") || command.contains("COMMAND")
}

#[test]
fn every_command_that_is_shown_can_be_typed() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in pages.chain([Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")]) {
        for (line, command) in commands(&fs::read_to_string(&page).unwrap()) {
            if is_sketch(&command) {
                continue;
            }
            let words: Vec<&str> = command.split_whitespace().map(|word| word.trim_matches(MARKS)).collect();
            if let Err(error) = Args::try_parse_from(&words)
                && !(error.kind() == ErrorKind::MissingRequiredArgument && is_name(&words))
            {
                wrong.push(format!("{}:{line}: {command}\n{error}", page.display()));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(count >= 50, "{count} commands");
}
