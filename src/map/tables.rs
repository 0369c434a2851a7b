//! Tables: constant values by key, written beside the mappings and shared by all of them.

use crate::model::problem::{Place, Problems};
use crate::yaml::fields::Field;
use serde_json::{Map, Value};

/// The tables of all files.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    values: Map<String, Value>,
    places: Vec<Place>,
}

// === impl Tables ===

impl Tables {
    /// Takes over the tables of one file.
    pub(crate) fn add(&mut self, field: &Field<'_>, problems: &mut Problems) {
        for (entry, table) in field.entries(problems).unwrap_or_default() {
            if !is_name(&entry.key) {
                let hint = "Use letters, digits and `_`, and no digit first";
                problems.add(&entry.place, table.path.clone(), "is not a name that an expression can use", hint);
            }
            if let Some(at) = self.values.keys().position(|name| *name == entry.key) {
                let hint = format!("The first is at {}", self.places[at]);
                problems.add(&entry.place, table.path.clone(), "there are two tables of this name", hint);
            } else if table.entries(problems).is_some() {
                self.values.insert(entry.key.clone(), table.node.to_json());
                self.places.push(entry.place.clone());
            }
        }
    }

    /// All of them as what `tables` stands for.
    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.values)
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

    #[test]
    fn tables_of_several_files_become_one_value() {
        let (mut tables, mut problems) = (Tables::default(), Problems::default());
        for text in ["country: { NO: Norway }", "vat: { a: 1.10 }\nnone: {}"] {
            let node = reader::read(&"t.yaml".into(), text).unwrap();
            tables.add(&Field::new(&node, "tables"), &mut problems);
        }
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(tables.into_value().to_string(), r#"{"country":{"NO":"Norway"},"vat":{"a":1.10},"none":{}}"#);
    }

    #[test]
    fn a_table_given_twice_a_bad_name_and_what_is_no_map_are_mistakes() {
        let (mut tables, mut problems) = (Tables::default(), Problems::default());
        for text in ["a: { x: 1 }", "a: { y: 1 }\nb-c: {}\nd: [1]"] {
            let node = reader::read(&"t.yaml".into(), text).unwrap();
            tables.add(&Field::new(&node, "tables"), &mut problems);
        }
        let told: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "t.yaml:1:1: tables.a: there are two tables of this name. The first is at t.yaml:1:1");
        assert!(told[1].starts_with("t.yaml:2:1: tables.b-c: is not a name"));
        assert_eq!(told[2], "t.yaml:3:4: tables.d: must be a map, not a list");
        assert_eq!(tables.into_value(), json!({"a": {"x": 1}, "b-c": {}}));
    }
}
