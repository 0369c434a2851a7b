//! Mistakes as people read them: file, line, column, what and hint, then the line itself with a caret below.

use crate::model::problem::Problems;
use std::fmt::Write;

/// The most characters of a line that are shown; a longer one is cut around the caret.
const WIDTH: usize = 110;

/// Writes all `problems`, one block each; `source` gives the text of a file, when there is one.
#[must_use]
pub fn report(problems: &Problems, source: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for problem in &problems.0 {
        writeln!(out, "{problem}").expect("a string takes everything");
        let place = &problem.place;
        let line = (place.line > 0).then(|| source(&place.file)).flatten();
        if let Some(line) = line.as_deref().and_then(|text| text.lines().nth(place.line - 1)) {
            snippet(&mut out, line, (place.line, place.column));
        }
    }
    out
}

fn snippet(out: &mut String, line: &str, (number, column): (usize, usize)) {
    let at = column.saturating_sub(1).min(line.chars().count());
    let from = if at < WIDTH { 0 } else { at - WIDTH / 2 };
    let shown: String = line.chars().skip(from).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    let caret = " ".repeat(at - from);
    writeln!(out, "  {number} | {}\n  {margin} | {caret}^", shown.trim_end()).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::problem::Place;

    fn told(text: &str, line: usize, column: usize) -> String {
        let mut problems = Problems::default();
        let place = Place { file: "a.yaml".into(), line, column };
        problems.add(&place, "emit.typ", "unknown key", "Did you mean `type`?");
        report(&problems, &|file| (file == "a.yaml").then(|| text.to_owned()))
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_a_caret() {
        let expected = "a.yaml:2:3: emit.typ: unknown key. Did you mean `type`?\n  2 |   typ: ä\n    |   ^\n";
        assert_eq!(told("emit:\n  typ: ä\n", 2, 3), expected);
    }

    #[test]
    fn a_place_without_line_or_text_has_no_snippet() {
        assert_eq!(told("x", 0, 0).lines().count(), 1);
        assert_eq!(told("x", 7, 1).lines().count(), 1);
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let shown = told(&format!("{}X{}", "a".repeat(500), "b".repeat(500)), 1, 501);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].chars().count() < 130);
        assert_eq!(lines[1].chars().nth(lines[2].chars().count() - 1), Some('X'));
    }
}
