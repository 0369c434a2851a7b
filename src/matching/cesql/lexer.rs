//! CESQL: text to words, each with the character that it begins at.

use crate::expr::mistake::Mistake;

/// A word of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Letters, digits and `_`: a keyword, a name, a number.
    Name(String),
    /// A string, without its quotes; for LIKE the backslashes stay that escape a wildcard.
    Text(String),
    /// An operator, a bracket, a comma.
    Sign(&'static str),
}

/// A word and where it begins.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    /// The word.
    pub(crate) word: Word,
    /// Its first character, from 0.
    pub(crate) at: usize,
}

/// Longer ones first.
const SIGNS: [&str; 15] = ["!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", ","];

/// The words of `source`.
///
/// # Errors
/// A character that begins none, a string that is not closed.
pub(crate) fn words(source: &str) -> Result<Vec<Placed>, Mistake> {
    let (mut words, mut rest) = (Vec::new(), source);
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let at = source[..source.len() - rest.len()].chars().count();
        let Some(first) = rest.chars().next() else { return Ok(words) };
        let (word, after) = if first == '\'' || first == '"' {
            string(&rest[1..], first).ok_or_else(|| Mistake::new("the string is not closed", "").at(at))?
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (Word::Name(rest[..end].to_owned()), &rest[end..])
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
            let sign = sign.ok_or_else(|| Mistake::new(format!("unexpected `{first}`"), "").at(at))?;
            (Word::Sign(sign), &rest[sign.len()..])
        };
        words.push(Placed { word, at });
        rest = after;
    }
}

/// The rest of a string, and what stands behind it. A backslash takes the meaning from the quote; before anything else it stays.
fn string(text: &str, quote: char) -> Option<(Word, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((Word::Text(value), &text[at + 1..])),
            '\\' => {
                let (_, escaped) = chars.next()?;
                if escaped != quote {
                    value.push('\\');
                }
                value.push(escaped);
            }
            c => value.push(c),
        }
    }
    None
}
