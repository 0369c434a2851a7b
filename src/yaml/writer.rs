//! A JSON value as YAML text that [`crate::yaml::reader`] reads back as the same value.
//!
//! In blocks, as people write it, and what is short on one line; a scalar stands plain where it stays what it is, else in
//! double quotes. Numbers keep their exact text.

use crate::yaml::node::{Data, Node};
use crate::yaml::reader;
use serde_json::Value;

/// A list or map of scalars that takes no more letters stands on the line of its key.
const SHORT: usize = 60;
/// YAML reads no key of more than 1024 letters, quotes and escapes included, unless it is led in.
const LONG: usize = 1_000;
/// What leads in a long key.
const LED_IN: &str = "? ";

/// What stands behind `key:`, where the key is indented by `indent`: on the same line, or below.
#[must_use]
pub fn behind_key(value: &Value, indent: usize) -> String {
    match (nested(value), short(value)) {
        (true, Some(line)) => format!(" {line}"),
        (true, None) => format!("\n{}", block(value, indent + 2)),
        (false, _) => format!(" {}", scalar(value, Around::Block)),
    }
}

/// The value in lines, each indented by `indent`, without a line break at the end.
#[must_use]
pub fn block(value: &Value, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let lines: Vec<String> = match value {
        Value::Object(map) if !map.is_empty() => {
            let entry = |(name, value): (&String, &Value)| {
                let (key, behind) = (key(name, Around::Block), behind_key(value, indent));
                let colon = if key.starts_with(LED_IN) { format!("\n{margin}:") } else { ":".to_owned() };
                format!("{margin}{key}{colon}{behind}")
            };
            map.iter().map(entry).collect()
        }
        Value::Array(items) if !items.is_empty() => {
            // What stands behind a dash begins where its other lines do.
            let item = |item: &Value| format!("{margin}- {}", &block(item, indent + 2)[indent + 2..]);
            items.iter().map(item).collect()
        }
        _ => vec![format!("{margin}{}", scalar(value, Around::Block))],
    };
    lines.join("\n")
}

/// The value on one line, as it may stand between brackets.
#[must_use]
pub fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let entry = |(name, value): (&String, &Value)| {
                let key = key(name, Around::Flow);
                let colon = if key.starts_with(LED_IN) { " :" } else { ":" };
                format!("{key}{colon} {}", flow(value))
            };
            let entries: Vec<String> = map.iter().map(entry).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        _ => scalar(value, Around::Flow),
    }
}

/// The value on one line, when it is short and easy to read there.
fn short(value: &Value) -> Option<String> {
    let fit = |value: &Value| match value {
        Value::String(text) => !text.contains("${"),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::Array(_) | Value::Object(_) => false,
    };
    let simple = match value {
        Value::Array(items) => items.iter().all(fit),
        Value::Object(map) => map.values().all(fit),
        _ => false,
    };
    simple.then(|| flow(value)).filter(|line| line.chars().count() <= SHORT)
}

/// What a scalar stands in; between brackets some letters have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Block,
    Flow,
}

fn nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn scalar(value: &Value, around: Around) -> String {
    match value {
        Value::String(text) if is_plain(text, around) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A key, led in when it is long; no other key begins so.
fn key(name: &str, around: Around) -> String {
    if name != "<<" && is_plain(name, around) {
        return name.to_owned();
    }
    let quoted = quoted(name);
    if quoted.chars().count() > LONG { format!("{LED_IN}{quoted}") } else { quoted }
}

/// Whether `text` can stand without quotes: in letters that every reader takes as they are, and read as text.
fn is_plain(text: &str, around: Around) -> bool {
    let first = |c: char| c.is_alphanumeric() || "$/_.(<".contains(c);
    let rest = |c: char| match around {
        Around::Block => c.is_alphanumeric() || (' '..='~').contains(&c),
        Around::Flow => c.is_alphanumeric() || " $/_.()<>=+*!|&;-@".contains(c),
    };
    text.starts_with(first)
        && text.len() <= 200
        && text.chars().all(rest)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && matches!(reader::read(&"".into(), text), Ok(Node { data: Data::String(read), .. }) if read == text)
}

/// JSON's quotes are YAML's; what is not printed there is spelt out.
fn quoted(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    let printed = |c: char| {
        matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
            && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    json.chars().map(|c| if printed(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        reader::read(&"f".into(), text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).to_json()
    }

    #[test]
    fn a_key_that_is_longer_than_yaml_reads_is_led_in() {
        let long = |letter: &str| letter.repeat(1_100);
        let value = json!([{long("a"): {long("\u{1}"): 1}, "b": [{long("c"): []}, long("d")]}]);
        for text in [block(&value, 0), flow(&value)] {
            assert_eq!(read(&text), value);
        }
    }

    #[test]
    fn a_value_is_written_in_blocks_as_people_do() {
        let value: Value = serde_json::from_str(
            r#"{"type":"com.acme.v1","data":{"total":150.20,"lines":[{"sku":"a","of":["x"]},[1,[2]]],"map":{"a":1},"no":"NO","yes":"true",
                "none":null,"empty":{},"list":[],"text":"${payload.id}: x","when":"payload.type == \"A\"","n":"12"}}"#,
        )
        .unwrap();
        let expected = "\
type: com.acme.v1
data:
  total: 150.20
  lines:
    - sku: a
      of: [x]
    - - 1
      - - 2
  map: { a: 1 }
  no: NO
  yes: \"true\"
  none: null
  empty: {}
  list: []
  text: \"${payload.id}: x\"
  when: payload.type == \"A\"
  n: \"12\"";
        assert_eq!(block(&value, 0), expected);
        assert_eq!(read(&block(&value, 0)).to_string(), value.to_string());
        assert_eq!(behind_key(&json!([]), 4), " []");
        assert_eq!(behind_key(&json!({"a": "${payload.a}"}), 2), "\n    a: ${payload.a}");
        assert_eq!(behind_key(&json!({"a": {"b": {}}}), 2), "\n    a:\n      b: {}");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![any::<String>(), "[ -~]{0,12}", "[a-z:#, \\-\\[\\]{}&*!|>'\"%@`?$0-9.eE+]{0,6}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let entries = proptest::collection::vec((text.clone(), inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
                entries.prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value(), indent in 0..5_usize) {
            prop_assert_eq!(&read(&block(&value, indent)), &value);
            prop_assert_eq!(&read(&format!("a:{}", behind_key(&value, 0))), &json!({ "a": value }));
            prop_assert_eq!(&read(&format!("[{}, 1]", flow(&value))), &json!([value, 1]));
        }
    }
}
