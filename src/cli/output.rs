//! What commands print: lines on standard output, complaints on standard error, colours only where people look.
//!
//! Text that came from outside (bodies, headers, names) is made harmless for terminals before it is printed.

use crate::cli::common::Color;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    colors: Colors,
    complaints: Colors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colors {
    On,
    Off,
}

/// How a piece of text is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// What matters.
    Bold,
    /// What can be overlooked.
    Dim,
    /// It went well.
    Good,
    /// It did not.
    Bad,
}

// === impl Output ===

impl Output {
    /// Output with colours as asked for.
    #[must_use]
    pub fn new(color: Color) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let of = |terminal: bool| match color {
            Color::Always => Colors::On,
            Color::Auto if terminal && wanted => Colors::On,
            Color::Auto | Color::Never => Colors::Off,
        };
        Self { colors: of(io::stdout().is_terminal()), complaints: of(io::stderr().is_terminal()) }
    }

    /// Output without colours.
    #[must_use]
    pub fn plain() -> Self {
        Self { colors: Colors::Off, complaints: Colors::Off }
    }

    /// Prints one line, or several with line breaks between.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn line(&self, text: impl AsRef<str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.as_ref())?;
        out.flush()
    }

    /// Prints one line to standard error. Where that is closed, nobody listens.
    pub fn complain(&self, text: impl AsRef<str>) {
        drop(writeln!(io::stderr().lock(), "{}", text.as_ref()));
    }

    /// Complains that a command failed: who, what, and each cause on the same line.
    pub fn fail(&self, error: &anyhow::Error) {
        self.complain(format!("{} {}", dress(self.complaints, Look::Bad, "error:"), chain(error)));
    }

    /// Whether standard error takes colours.
    #[must_use]
    pub fn complains_in_color(&self) -> bool {
        self.complaints == Colors::On
    }

    /// `text` as it is to look on standard output.
    #[must_use]
    pub fn paint(&self, look: Look, text: &str) -> String {
        dress(self.colors, look, text)
    }
}

fn dress(colors: Colors, look: Look, text: &str) -> String {
    let code = match look {
        Look::Bold => "1",
        Look::Dim => "2",
        Look::Good => "32",
        Look::Bad => "31",
    };
    match colors {
        Colors::On => format!("\x1b[{code}m{text}\x1b[0m"),
        Colors::Off => text.to_string(),
    }
}

/// An error and its causes; a cause that the error has repeated already is left out.
#[must_use]
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        match text.as_str() {
            "" => text = cause,
            told if told.contains(&cause) => {}
            _ => text = format!("{text}: {cause}"),
        }
    }
    text
}

/// Text from outside with nothing in it that a terminal obeys; line breaks and tabs stay.
#[must_use]
pub fn harmless(text: &str) -> String {
    let kept = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(kept).collect()
}

/// Bytes from outside as text for people: JSON is laid out, the rest shown as it is; at most `limit` bytes of it.
#[must_use]
pub fn body(bytes: &[u8], limit: usize) -> String {
    let parsed = (bytes.len() <= limit).then(|| serde_json::from_slice::<Value>(bytes).ok()).flatten();
    let laid_out = parsed.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let text = laid_out.unwrap_or_else(|| String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned());
    match bytes.len().saturating_sub(limit) {
        0 => harmless(&text),
        more => format!("{}\n... and {more} more bytes", harmless(&text)),
    }
}

/// `text` with every line moved to the right.
#[must_use]
pub fn indent(text: &str, by: usize) -> String {
    let margin = " ".repeat(by);
    text.lines().map(|line| format!("{margin}{line}")).collect::<Vec<_>>().join("\n")
}

/// `1 event`, `2 events`.
#[must_use]
pub fn count(n: usize, what: &str) -> String {
    let end = if n == 1 { "" } else { "s" };
    format!("{n} {what}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn colours_are_only_where_they_are_asked_for() {
        assert_eq!(Output::new(Color::Never).paint(Look::Bad, "no"), "no");
        assert_eq!(Output::new(Color::Always).paint(Look::Bad, "no"), "\x1b[31mno\x1b[0m");
    }

    #[test]
    fn what_comes_from_outside_cannot_command_the_terminal() {
        let shown = body(b"\x1b[2J{\"a\":\x07 1}\r", 100);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        let shown = body(b"\"\\u001b[2J\\u009b\"", 100);
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }

    #[test]
    fn a_body_is_laid_out_and_cut() {
        assert_eq!(body(b"{\"n\":10.10}", 100), "{\n  \"n\": 10.10\n}");
        assert_eq!(body(b"not json", 100), "not json");
        assert_eq!(body(&[b'a'; 1_000], 10), "aaaaaaaaaa\n... and 990 more bytes");
    }

    #[test]
    fn an_error_tells_its_causes_once() {
        let cause = anyhow!("connection refused").context("no broker: connection refused");
        assert_eq!(chain(&cause), "no broker: connection refused");
        let cause = Err::<(), _>(anyhow!("b")).context("a").unwrap_err();
        assert_eq!(chain(&cause), "a: b");
    }
}
