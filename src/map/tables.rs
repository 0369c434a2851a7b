//! Tables: constant values by key, shared by all mappings; written beside them, or in a file of their own.

use crate::map::csv;
use crate::model::problem::{Place, Problems};
use crate::yaml::fields::{Field, Fields};
use serde_json::{Map, Value};

/// Reads the file that a mapping file names: where it is named, the path as written; gives its name and its text.
pub type ReadFile<'f> = dyn FnMut(&Place, &str) -> Result<(String, String), String> + 'f;

/// The tables of all files.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    values: Map<String, Value>,
    places: Vec<Place>,
}

// === impl Tables ===

impl Tables {
    /// Takes over the tables of one file.
    pub(crate) fn add(&mut self, field: &Field<'_>, files: &mut ReadFile<'_>, problems: &mut Problems) {
        for (entry, table) in field.entries(problems).unwrap_or_default() {
            if !is_name(&entry.key) {
                let hint = "Use letters, digits and `_`, and no digit first";
                problems.add(&entry.place, table.path.clone(), "is not a name that an expression can use", hint);
            }
            if let Some(at) = self.values.keys().position(|name| *name == entry.key) {
                let hint = format!("The first is at {}", self.places[at]);
                problems.add(&entry.place, table.path.clone(), "there are two tables of this name", hint);
            } else if let Some(value) = value(&table, files, problems) {
                self.values.insert(entry.key.clone(), value);
                self.places.push(entry.place.clone());
            }
        }
    }

    /// All of them as what `tables` stands for.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.values)
    }
}

/// One table: a map, or a file that holds one.
fn value(table: &Field<'_>, files: &mut ReadFile<'_>, problems: &mut Problems) -> Option<Value> {
    if table.node.get("$file").is_none() {
        return table.entries(problems).map(|_| table.node.to_json());
    }
    let mut fields = Fields::of(table, problems)?;
    let file = fields.required("$file", problems)?;
    let columns = [fields.optional("$key"), fields.optional("$value")];
    fields.finish(problems);
    let path = file.text(problems)?;
    let (name, text) = files(&file.node.place, path).map_err(|what| file.problem(problems, what, "")).ok()?;
    let ends = |end: &str| path.len() > end.len() && path.to_ascii_lowercase().ends_with(end);
    if ends(".csv") {
        return of_csv((&name, &text), (table, columns), problems);
    }
    for column in columns.into_iter().flatten() {
        column.problem(problems, "says nothing of a file that is no CSV", "Leave it out");
    }
    if !ends(".json") {
        file.problem(problems, "is no table: it must end in .csv or .json", "");
        return None;
    }
    let place =
        |error: &serde_json::Error| Place { file: name.as_str().into(), line: error.line(), column: error.column() };
    match serde_json::from_str::<Value>(&text) {
        Ok(value @ Value::Object(_)) => return Some(value),
        Ok(_) => file.problem(problems, "must hold a JSON object: names and values", ""),
        Err(error) => problems.add(&place(&error), table.path.clone(), format!("the table is not JSON: {error}"), ""),
    }
    None
}

/// A table of rows: by the first column or the one called `$key`; the value is the one called `$value`, the other one of two, or
/// all others by name.
fn of_csv(
    (name, text): (&str, &str),
    (table, columns): (&Field<'_>, [Option<Field<'_>>; 2]),
    problems: &mut Problems,
) -> Option<Value> {
    let mut wrong = |line: usize, what: String| {
        problems.add(&Place { file: name.into(), line, column: 1 }, table.path.clone(), what, "");
    };
    let rows = csv::read(text).map_err(|(line, what)| wrong(line, what.to_owned())).ok()?;
    let Some((head, rows)) = rows.split_first() else {
        wrong(1, "the table has no line with the names of its columns".to_owned());
        return None;
    };
    let [key, value] = columns;
    let mut column = |field: &Field<'_>| {
        let wanted = field.text(problems)?;
        let found = head.fields.iter().position(|name| name == wanted);
        if found.is_none() {
            field.problem(
                problems,
                format!("there is no column `{wanted}`"),
                format!("There are {}", head.fields.join(", ")),
            );
        }
        found
    };
    let key = key.map_or(Some(0), |field| column(&field));
    let value = value.map(|field| column(&field));
    let (key, value) = (key?, value.map_or(Some(None), |found| found.map(Some))?);
    let mut made = Map::new();
    for row in rows {
        let place = Place { file: name.into(), line: row.line, column: 1 };
        let what = match row.fields.get(key) {
            _ if row.fields.len() != head.fields.len() => {
                format!("the line has {} fields, and there are {} columns", row.fields.len(), head.fields.len())
            }
            Some(key_text) if made.contains_key(key_text) => format!("the key `{key_text}` is there already"),
            Some(key_text) => {
                made.insert(key_text.clone(), of_row(head, row, (key, value)));
                continue;
            }
            None => continue,
        };
        problems.add(&place, table.path.clone(), what, "");
    }
    Some(Value::Object(made))
}

fn of_row(head: &csv::Row, row: &csv::Row, (key, value): (usize, Option<usize>)) -> Value {
    let text = |at: usize| Value::String(row.fields[at].clone());
    match value {
        Some(at) => text(at),
        None if row.fields.len() == 2 => text(1 - key),
        None => {
            let others = (0..row.fields.len()).filter(|at| *at != key);
            Value::Object(others.map(|at| (head.fields[at].clone(), text(at))).collect())
        }
    }
}

/// Whether an expression can use `name` as it stands.
pub(crate) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::reader;
    use serde_json::json;

    fn read(texts: &[&str]) -> (Value, Vec<String>) {
        let (mut tables, mut problems) = (Tables::default(), Problems::default());
        let mut files = |_: &Place, path: &str| match path {
            "vat.csv" => Ok(("vat.csv".into(), "code,rate,name\nNO,25,Norway\nSE,\"25,0\",Sweden\n".into())),
            "two.CSV" => Ok(("two.CSV".into(), "code,name\nNO,Norway\n".into())),
            "broken.csv" => Ok(("broken.csv".into(), "a,b\n1,2\n1,3\n4\n".into())),
            "quote.csv" => Ok(("quote.csv".into(), "a,b\n\"1,2\n".into())),
            "empty.csv" => Ok(("empty.csv".into(), String::new())),
            "vat.json" => Ok(("vat.json".into(), r#"{"NO": {"rate": 25.00}}"#.into())),
            "list.json" => Ok(("list.json".into(), "[1]".into())),
            "broken.json" => Ok(("broken.json".into(), "{\n\"a\" 1}".into())),
            "vat.txt" => Ok(("vat.txt".into(), String::new())),
            other => Err(format!("there is no file {other}")),
        };
        for text in texts {
            let node = reader::read(&"t.yaml".into(), text).unwrap();
            tables.add(&Field::new(&node, "tables"), &mut files, &mut problems);
        }
        let told = problems.or(()).map_or_else(|p| p.0.iter().map(ToString::to_string).collect(), |()| Vec::new());
        (tables.into_value(), told)
    }

    #[test]
    fn tables_of_several_files_become_one_value() {
        let (value, told) = read(&["country: { NO: Norway }", "vat: { a: 1.10 }\nnone: {}"]);
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(value.to_string(), r#"{"country":{"NO":"Norway"},"vat":{"a":1.10},"none":{}}"#);
    }

    #[test]
    fn a_table_given_twice_a_bad_name_and_what_is_no_map_are_mistakes() {
        let (value, told) = read(&["a: { x: 1 }", "a: { y: 1 }\nb-c: {}\nd: [1]"]);
        assert_eq!(told[0], "t.yaml:1:1: tables.a: there are two tables of this name. The first is at t.yaml:1:1");
        assert!(told[1].starts_with("t.yaml:2:1: tables.b-c: is not a name"));
        assert_eq!(told[2], "t.yaml:3:4: tables.d: must be a map, not a list");
        assert_eq!(value, json!({"a": {"x": 1}, "b-c": {}}));
    }

    #[test]
    fn a_table_is_read_from_csv_by_column_and_from_json_as_it_is() {
        let text = "\
all: { $file: vat.csv }
rate: { $file: vat.csv, $value: rate }
codes: { $file: vat.csv, $key: name, $value: code }
two: { $file: two.CSV }
other: { $file: two.CSV, $key: name }
json: { $file: vat.json }
";
        let (value, told) = read(&[text]);
        assert!(told.is_empty(), "{told:?}");
        let wanted = json!({
            "all": {"NO": {"rate": "25", "name": "Norway"}, "SE": {"rate": "25,0", "name": "Sweden"}},
            "rate": {"NO": "25", "SE": "25,0"},
            "codes": {"Norway": "NO", "Sweden": "SE"},
            "two": {"NO": "Norway"},
            "other": {"Norway": "NO"},
        });
        assert_eq!(
            value.as_object().unwrap().iter().take(5).map(|(k, v)| (k.clone(), v.clone())).collect::<Map<_, _>>(),
            *wanted.as_object().unwrap()
        );
        assert_eq!(value["json"].to_string(), r#"{"NO":{"rate":25.00}}"#);
    }

    #[test]
    fn mistakes_in_a_table_are_told_where_they_stand() {
        let text = "\
a: { $file: gone.csv }
b: { $file: broken.csv }
c: { $file: quote.csv }
d: { $file: empty.csv }
e: { $file: vat.csv, $key: cod, $value: rat }
f: { $file: list.json }
g: { $file: broken.json, $key: a }
h: { $file: vat.txt }
i: { $file: vat.csv, key: code }
";
        let (_, told) = read(&[text]);
        let expected = [
            "broken.csv:3:1: tables.b: the key `1` is there already",
            "broken.csv:4:1: tables.b: the line has 1 fields, and there are 2 columns",
            "broken.json:2:5: tables.g: the table is not JSON",
            "empty.csv:1:1: tables.d: the table has no line with the names of its columns",
            "quote.csv:2:1: tables.c: a quote is not closed",
            "t.yaml:1:13: tables.a.$file: there is no file gone.csv",
            "t.yaml:5:28: tables.e.$key: there is no column `cod`. There are code, rate, name",
            "t.yaml:5:41: tables.e.$value: there is no column `rat`",
            "t.yaml:6:13: tables.f.$file: must hold a JSON object",
            "t.yaml:7:32: tables.g.$key: says nothing of a file that is no CSV",
            "t.yaml:8:13: tables.h.$file: is no table: it must end in .csv or .json",
            "t.yaml:9:22: tables.i.key: is not a known key. Did you mean `$key`?",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\n{expected}");
        }
    }
}
