//! JSON of the API as people read it: a list as a table, one thing as its fields. What comes from outside is made
//! harmless for terminals.

use crate::cli::output::{Look, Output, harmless};
use serde_json::Value;

/// What stands where there is nothing.
const NOTHING: &str = "-";

/// A column: its heading, and the path to its value (`origin/topic`).
pub type Column<'a> = (&'a str, &'a str);

/// The items as a table with these columns; the last may be as long as it likes.
#[must_use]
pub fn table(items: &[Value], columns: &[Column<'_>], output: &Output) -> String {
    let cells = |item: &Value| columns.iter().map(|(_, path)| cell(at(item, path))).collect::<Vec<_>>();
    let rows = items.iter().map(cells).collect::<Vec<_>>();
    let width = |(place, (name, _)): (usize, &Column<'_>)| {
        rows.iter().map(|row| row[place].chars().count()).chain([name.len()]).max().unwrap_or_default()
    };
    let widths = columns.iter().enumerate().map(width).collect::<Vec<_>>();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let mut lines = vec![output.paint(Look::Bold, &line(&head))];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

/// One thing, field by field; what lies inside is moved to the right.
#[must_use]
pub fn fields(value: &Value, output: &Output) -> String {
    let mut lines = Vec::new();
    write(value, 0, output, &mut lines);
    lines.join("\n")
}

fn write(value: &Value, depth: usize, output: &Output, lines: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    let width = fields.keys().map(|key| key.chars().count()).max().unwrap_or_default();
    let margin = "  ".repeat(depth);
    for (key, value) in fields {
        let name = output.paint(Look::Dim, &format!("{:<width$}", harmless(key)));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                lines.push(format!("{margin}{}", output.paint(Look::Dim, &harmless(key))));
                write(value, depth + 1, output, lines);
            }
            _ => lines.push(format!("{margin}{name}  {}", cell(Some(value)))),
        }
    }
}

fn at<'v>(item: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('/').try_fold(item, |value, key| value.get(key))
}

/// A value in one line.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => NOTHING.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) && !items.is_empty() => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    };
    harmless(&text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_stands_in_columns_as_wide_as_they_must_be() {
        let items = [
            json!({ "id": "sub_1", "name": null, "at": { "topic": "shop.orders" }, "types": ["a", "b"] }),
            json!({ "id": "sub_22", "name": "Bücher\nund \u{1b}[2J", "types": [] }),
        ];
        let columns = [("ID", "id"), ("NAME", "name"), ("TOPIC", "at/topic"), ("TYPES", "types")];
        let expected = "ID      NAME             TOPIC        TYPES\n\
            sub_1   -                shop.orders  a, b\n\
            sub_22  Bücher und \u{fffd}[2J  -            []";
        assert_eq!(table(&items, &columns, &Output::plain()), expected);
    }

    #[test]
    fn one_thing_is_told_field_by_field() {
        let value = json!({ "id": "x", "health": { "reason": null, "ledger": { "rows": 2 } }, "list": [{ "a": 1 }] });
        let expected = "id      x\nhealth\n  reason  -\n  ledger\n    rows  2\nlist    [{\"a\":1}]";
        assert_eq!(fields(&value, &Output::plain()), expected);
    }
}
