//! Source text -> cel's syntax tree, within bounds: the one place where cel's parser runs.
//!
//! It has panicked and overflowed its stack on hostile text, so it runs on a thread of its own with a large stack, whose
//! panic is a mistake like any other.

use crate::expr::mistake::Mistake;
use cel::common::ast::{IdedExpr, SourceInfo};
use cel::{Env, ParseErrors};
use std::thread;

/// The longest source: four times what people write by hand.
const MAX_SOURCE: usize = 4 << 10;
/// How deep brackets stand in each other.
const MAX_BRACKETS: usize = 32;
/// The parser takes some 50 KiB of stack for a bracket in debug builds.
const STACK: usize = 16 << 20;

/// A syntax tree and where its nodes stand.
#[derive(Debug)]
pub struct Parsed {
    /// The tree; macros are calls still.
    pub tree: IdedExpr,
    /// Offsets, in bytes, by node.
    pub places: SourceInfo,
}

/// Parses `source` and makes something of the tree, all on a large stack.
///
/// # Errors
/// Bounds, syntax, and what `make` does not like.
pub fn parse<T: Send>(source: &str, make: impl FnOnce(&Parsed) -> Result<T, Mistake> + Send) -> Result<T, Mistake> {
    within_bounds(source)?;
    thread::scope(|scope| {
        let work = || {
            // Without macros: what they stand for is ours to say, in fewer steps.
            let parser = Env::default().parser().enable_ident_escape_syntax(true);
            let (tree, places) = parser.parse_with_source_info(source).map_err(|errors| syntax(source, &errors))?;
            make(&Parsed { tree, places })
        };
        let started = thread::Builder::new().name("expression".into()).stack_size(STACK).spawn_scoped(scope, work);
        let thread = started.map_err(|error| Mistake::new(format!("no thread to compile on: {error}"), ""))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Mistake::new("this cannot be read as an expression", "write it in a simpler way")))
    })
}

fn within_bounds(source: &str) -> Result<(), Mistake> {
    if source.trim().is_empty() {
        return Err(Mistake::new("the expression is empty", ""));
    }
    if source.len() > MAX_SOURCE {
        let what = format!("the expression has {} bytes, more than {MAX_SOURCE}", source.len());
        return Err(Mistake::new(what, "split it with `let`"));
    }
    let mut open = 0_usize;
    for (at, c) in source.chars().enumerate() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > MAX_BRACKETS {
            let what = format!("brackets stand more than {MAX_BRACKETS} deep in each other");
            return Err(Mistake::new(what, "split it with `let`").at(at));
        }
    }
    Ok(())
}

/// The first error of the parser, in words for people.
fn syntax(source: &str, errors: &ParseErrors) -> Mistake {
    let Some(error) = errors.errors.first() else { return Mistake::new("this is no expression", "") };
    let line = usize::try_from(error.pos.0).unwrap_or(1).max(1);
    let before: usize = source.split('\n').take(line - 1).map(|line| line.chars().count() + 1).sum();
    let told = error.msg.lines().next().unwrap_or_default();
    let quoted = ["input '", "at: '"].into_iter().find_map(|before| told.split_once(before)).map(|(_, after)| after);
    let quoted = quoted.map(|after| {
        let part = after.split_once("' expecting").map_or(after, |(part, _)| part);
        part.strip_suffix('\'').unwrap_or(part).trim()
    });
    let mistake = match quoted {
        _ if told.contains("reserved identifier") => Mistake::new(told, "it is a reserved word"),
        _ if told.contains("ncomplete") || told.contains("unsupported ident") => {
            Mistake::new("the expression is not complete", "")
        }
        None if told.contains("missing '") => {
            let missing = told.split('\'').nth(1).unwrap_or_default();
            Mistake::new(format!("`{missing}` is missing"), "")
        }
        Some("<EOF>") => Mistake::new("the expression ends too early", ""),
        Some("=") => Mistake::new("unexpected `=`", "write `==` to compare"),
        Some(part) if part.starts_with(['"', '\'']) => {
            Mistake::new("the string is not closed, or has an unknown escape", "write `\\\\` for a backslash")
        }
        Some(part) => Mistake::new(format!("unexpected `{part}`"), ""),
        None => Mistake::new(told, ""),
    };
    let column = usize::try_from(error.pos.1).unwrap_or(0).saturating_sub(1);
    mistake.at((before + column).min(source.chars().count()))
}
