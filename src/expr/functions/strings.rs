//! The strings extension: `charAt indexOf lastIndexOf lowerAscii upperAscii replace split substring trim join reverse`
//! and `strings.quote`. Positions count characters.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, int, list, needs, text};
use crate::expr::limits::Budget;
use crate::expr::value::Cel;

/// The family.
pub const TABLE: &[Function] = &[
    Function::method("charAt", 2..=2, char_at),
    Function::method("indexOf", 2..=3, index_of),
    Function::method("lastIndexOf", 2..=3, last_index_of),
    Function::method("lowerAscii", 1..=1, lower_ascii),
    Function::method("upperAscii", 1..=1, upper_ascii),
    Function::method("replace", 3..=4, replace),
    Function::method("split", 2..=3, split),
    Function::method("substring", 2..=3, substring),
    Function::method("trim", 1..=1, trim),
    Function::method("join", 1..=2, join),
    Function::plain("strings.quote", 1..=1, quote),
];

/// The byte where the character at `position` begins; the end of the text counts.
fn byte_at(text: &str, position: i64) -> Result<usize, Failure> {
    let outside = || Failure::fault(format!("position {position} is outside of the text"));
    let position = usize::try_from(position).map_err(|_| outside())?;
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(position).ok_or_else(outside)
}

fn char_at<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text(args, 0)?;
    budget.touch(text.len())?;
    let at = byte_at(text, int(args, 1)?)?;
    Ok(Cel::text(text[at..].chars().next().map(String::from).unwrap_or_default()))
}

fn position<'a>(text: &str, found: Option<usize>) -> Cel<'a> {
    Cel::Int(found.map_or(-1, |at| text[..at].chars().count() as i64))
}

/// The first position from which `part` stands, or -1.
fn index_of<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    if let Some(items) = args[0].items() {
        return crate::expr::functions::lists::index_of(items, &args[1], budget);
    }
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    budget.touch(text.len())?;
    let from = if args.len() > 2 { byte_at(text, int(args, 2)?)? } else { 0 };
    Ok(position(text, text[from..].find(part).map(|at| at + from)))
}

/// The last position, not after the given one, from which `part` stands, or -1.
fn last_index_of<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, part) = (text(args, 0)?, text(args, 1)?);
    budget.touch(text.len())?;
    let mut end = text.len();
    if args.len() > 2 {
        end = (byte_at(text, int(args, 2)?)? + part.len()).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
    }
    Ok(position(text, text[..end].rfind(part)))
}

fn lower_ascii<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    budget.touch(text(args, 0)?.len())?;
    Ok(Cel::text(text(args, 0)?.to_ascii_lowercase()))
}

fn upper_ascii<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    budget.touch(text(args, 0)?.len())?;
    Ok(Cel::text(text(args, 0)?.to_ascii_uppercase()))
}

/// All occurrences, or the first n of them.
fn replace<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let most = if args.len() > 3 { usize::try_from(int(args, 3)?).unwrap_or(usize::MAX) } else { usize::MAX };
    budget.touch(text.len())?;
    let found = text.matches(old).take(most).count();
    budget.touch(found.saturating_mul(new.len()))?;
    Ok(Cel::text(text.replacen(old, new, found)))
}

/// By a separator; an empty one splits into characters. With n: at most n parts.
fn split<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, separator) = (text(args, 0)?, text(args, 1)?);
    let most = if args.len() > 2 { usize::try_from(int(args, 2)?).unwrap_or(usize::MAX) } else { usize::MAX };
    // Each part is an allocation: count them first.
    budget.touch(text.len())?;
    budget.step(text.matches(separator).count().min(most) * 2 + text.len() / 16)?;
    let parts: Vec<Cel> = match (most, separator) {
        (0, _) => Vec::new(),
        (_, "") => {
            let mut parts: Vec<Cel> =
                text.chars().take(most.saturating_sub(1)).map(|c| Cel::text(String::from(c))).collect();
            let rest: String = text.chars().skip(parts.len()).collect();
            if !rest.is_empty() {
                parts.push(Cel::text(rest));
            }
            parts
        }
        _ => text.splitn(most, separator).map(Cel::text).collect(),
    };
    Ok(Cel::list(parts))
}

/// From a position up to another, or to the end.
fn substring<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text(args, 0)?;
    budget.touch(text.len())?;
    let start = byte_at(text, int(args, 1)?)?;
    let end = if args.len() > 2 { byte_at(text, int(args, 2)?)? } else { text.len() };
    text.get(start..end).map(Cel::text).ok_or_else(|| Failure::fault("the end is before the start"))
}

fn trim<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    budget.touch(text(args, 0)?.len())?;
    Ok(Cel::text(text(args, 0)?.trim()))
}

/// The texts of a list, with a separator between them; numbers and booleans are written out.
fn join<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let items = list(args, 0)?;
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        let between = if index == 0 { "" } else { separator };
        match &item {
            Cel::String(part) => {
                budget.touch(part.len() + between.len())?;
                joined.extend([between, part]);
            }
            Cel::Bool(_) | Cel::Int(_) | Cel::Uint(_) | Cel::Double(_) => {
                budget.touch(24 + between.len())?;
                joined.extend([between, &item.render().unwrap_or_default()]);
            }
            other => return Err(needs("a list of strings", Some(other))),
        }
    }
    Ok(Cel::text(joined))
}

/// As a literal of the language, in double quotes.
fn quote<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let text = text(args, 0)?;
    budget.touch(text.len() * 2)?;
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    Ok(Cel::text(quoted))
}
