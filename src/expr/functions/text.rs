//! What the language says of text: `contains startsWith endsWith matches`.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, text};
use crate::expr::limits::Budget;
use crate::expr::value::Cel;
use regex::{Regex, RegexBuilder};

/// The family.
pub const TABLE: &[Function] = &[
    Function::method("contains", 2..=2, contains),
    Function::method("startsWith", 2..=2, starts_with),
    Function::method("endsWith", 2..=2, ends_with),
    Function::either("matches", 2..=2, matches),
];

/// A compiled pattern may be this large: 256 KiB, thousands of characters of pattern.
const PATTERN_BYTES: usize = 256 << 10;
/// What compiling a pattern costs: some 100 us.
const PATTERN_STEPS: usize = 5_000;

/// Compiles a pattern: RE2 syntax, found anywhere in the text.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(source: &str) -> Result<Regex, String> {
    RegexBuilder::new(source).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build().map_err(|error| {
        let told = error.to_string();
        format!("not a pattern: {}", told.lines().last().unwrap_or_default().trim_start_matches("error: "))
    })
}

fn contains<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    budget.touch(text.len())?;
    Ok(Cel::Bool(text.contains(part)))
}

fn starts_with<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    budget.touch(part.len())?;
    Ok(Cel::Bool(text.starts_with(part)))
}

fn ends_with<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    budget.touch(part.len())?;
    Ok(Cel::Bool(text.ends_with(part)))
}

/// With a pattern that is made at run time: a literal one is compiled at load and never comes here.
fn matches<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, source) = (text(args, 0)?, text(args, 1)?);
    budget.step(PATTERN_STEPS + source.len() * 16)?;
    budget.touch(text.len())?;
    let pattern = pattern(source).map_err(Failure::fault)?;
    Ok(Cel::Bool(pattern.is_match(text)))
}
