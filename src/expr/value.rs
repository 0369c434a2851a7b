//! A value as CEL sees it, lent from JSON wherever it can be: lists and objects of a record are never copied.
//!
//! JSON integers are CEL ints (uints above the i64 range), other numbers doubles. Back in JSON, an int stays a number
//! of any size, bytes become base64, times and durations their CEL text, an absent optional null.

use crate::expr::failure::Failure;
use crate::expr::limits::{Budget, weigh};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Number, Value};
use std::ops::Deref;
use std::sync::Arc;

/// A value while an expression runs. `Json` holds a list or an object; scalars are always variants of their own.
#[derive(Clone, Debug)]
pub enum Cel<'a> {
    /// null
    Null,
    /// true, false
    Bool(bool),
    /// 64-bit integer
    Int(i64),
    /// 64-bit unsigned integer
    Uint(u64),
    /// double
    Double(f64),
    /// text
    String(Str<'a>),
    /// binary
    Bytes(Arc<[u8]>),
    /// a list or an object lent by the record
    Json(&'a Value),
    /// a list made by the expression
    List(Arc<Vec<Cel<'a>>>),
    /// a map made by the expression, in the order it was made
    Map(Arc<Vec<(Cel<'a>, Cel<'a>)>>),
    /// a point in time
    Time(DateTime<Utc>),
    /// a duration
    Span(TimeDelta),
    /// a type, by its CEL name
    Type(&'static str),
    /// an optional
    Optional(Option<Arc<Cel<'a>>>),
}

/// Text, lent or made.
#[derive(Clone, Debug)]
pub enum Str<'a> {
    /// Lent by the record or by the expression.
    Lent(&'a str),
    /// Made while the expression runs.
    Own(Arc<str>),
}

/// A list, wherever it lives.
#[derive(Clone, Copy, Debug)]
pub enum Items<'r, 'a> {
    /// Of the record.
    Json(&'a [Value]),
    /// Made by the expression.
    Cel(&'r [Cel<'a>]),
}

/// A map, wherever it lives.
#[derive(Clone, Copy, Debug)]
pub enum Entries<'r, 'a> {
    /// Of the record.
    Json(&'a Map<String, Value>),
    /// Made by the expression.
    Cel(&'r [(Cel<'a>, Cel<'a>)]),
}

// === impl Str ===

impl Deref for Str<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        match self {
            Self::Lent(text) => text,
            Self::Own(text) => text,
        }
    }
}

// === impl Items ===

impl<'a> Items<'_, 'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Cel(items) => items.len(),
        }
    }

    /// The one at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Cel<'a>> {
        match self {
            Self::Json(items) => items.get(index).map(Cel::lend),
            Self::Cel(items) => items.get(index).cloned(),
        }
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = Cel<'a>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

// === impl Entries ===

impl<'a> Entries<'_, 'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(map) => map.len(),
            Self::Cel(entries) => entries.len(),
        }
    }

    /// The value of the key `name`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Cel<'a>> {
        match self {
            Self::Json(map) => map.get(name).map(Cel::lend),
            Self::Cel(entries) => {
                let found = entries.iter().find(|(key, _)| matches!(key, Cel::String(key) if &**key == name));
                found.map(|(_, value)| value.clone())
            }
        }
    }

    /// All pairs, in order.
    #[must_use]
    pub fn pairs(&self) -> Vec<(Cel<'a>, Cel<'a>)> {
        match self {
            Self::Json(map) => map.iter().map(|(k, v)| (Cel::String(Str::Lent(k)), Cel::lend(v))).collect(),
            Self::Cel(entries) => entries.to_vec(),
        }
    }
}

// === impl Cel ===

impl<'a> Cel<'a> {
    /// `value`, lent.
    #[must_use]
    pub fn lend(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::number(number),
            Value::String(text) => Self::String(Str::Lent(text)),
            Value::Array(_) | Value::Object(_) => Self::Json(value),
        }
    }

    /// `value`, taken over: for JSON made while the expression runs.
    #[must_use]
    pub fn own(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::number(&number),
            Value::String(text) => Self::text(text),
            Value::Array(items) => Self::list(items.into_iter().map(Self::own).collect()),
            Value::Object(map) => {
                Self::Map(Arc::new(map.into_iter().map(|(key, value)| (Self::text(key), Self::own(value))).collect()))
            }
        }
    }

    /// An integer where it is one, else the nearest double; what is beyond a double is infinite.
    fn number(number: &Number) -> Self {
        if let Some(int) = number.as_i64() {
            Self::Int(int)
        } else if let Some(uint) = number.as_u64() {
            Self::Uint(uint)
        } else {
            Self::Double(number.as_str().parse().unwrap_or(f64::NAN))
        }
    }

    /// Text made while the expression runs.
    #[must_use]
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Str::Own(text.into()))
    }

    /// A list made while the expression runs.
    #[must_use]
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    /// The list it is.
    #[must_use]
    pub fn items(&self) -> Option<Items<'_, 'a>> {
        match self {
            Self::Json(Value::Array(items)) => Some(Items::Json(items)),
            Self::List(items) => Some(Items::Cel(items)),
            _ => None,
        }
    }

    /// The map it is.
    #[must_use]
    pub fn entries(&self) -> Option<Entries<'_, 'a>> {
        match self {
            Self::Json(Value::Object(map)) => Some(Entries::Json(map)),
            Self::Map(entries) => Some(Entries::Cel(entries)),
            _ => None,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Uint(_) => "an integer",
            Self::Double(_) => "a number",
            Self::String(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::Json(Value::Array(_)) | Self::List(_) => "a list",
            Self::Json(_) | Self::Map(_) => "an object",
            Self::Time(_) => "a timestamp",
            Self::Span(_) => "a duration",
            Self::Type(_) => "a type",
            Self::Optional(_) => "an optional",
        }
    }

    /// Its type, by CEL's name.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Json(Value::Array(_)) | Self::List(_) => "list",
            Self::Json(_) | Self::Map(_) => "map",
            Self::Time(_) => "google.protobuf.Timestamp",
            Self::Span(_) => "google.protobuf.Duration",
            Self::Type(_) => "type",
            Self::Optional(_) => "optional_type",
        }
    }

    /// The truth value it is.
    ///
    /// # Errors
    /// It is none.
    pub fn truth(&self) -> Result<bool, Failure> {
        match self {
            Self::Bool(value) => Ok(*value),
            other => Err(Failure::fault(format!("a condition must be true or false, it is {}", other.kind()))),
        }
    }

    /// The value as JSON, its size taken from the output before it is copied. What was lent keeps its number texts.
    ///
    /// # Errors
    /// A number that JSON cannot spell: infinite, or not a number. The limit.
    pub fn to_json(&self, budget: &mut Budget) -> Result<Value, Failure> {
        budget.output(match self {
            Self::String(text) => text.len() + 2,
            Self::Json(value) => weigh(value),
            Self::Bytes(bytes) => bytes.len() * 4 / 3 + 4,
            Self::Time(_) => 32,
            _ => 8,
        })?;
        Ok(match self {
            Self::Null | Self::Optional(None) => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Number((*value).into()),
            Self::Uint(value) => Value::Number((*value).into()),
            Self::Double(value) => Number::from_f64(*value)
                .map(Value::Number)
                .ok_or_else(|| Failure::fault(format!("the result is {value}, which JSON has no number for")))?,
            Self::String(text) => Value::String(text.to_string()),
            Self::Json(value) => (*value).clone(),
            Self::List(items) => Value::Array(items.iter().map(|item| item.to_json(budget)).collect::<Result<_, _>>()?),
            Self::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    let key = key.render().unwrap_or_default();
                    budget.output(key.len() + 4)?;
                    map.insert(key, value.to_json(budget)?);
                }
                Value::Object(map)
            }
            Self::Optional(Some(value)) => value.to_json(budget)?,
            Self::Bytes(_) | Self::Time(_) | Self::Span(_) | Self::Type(_) => {
                Value::String(self.render().unwrap_or_default())
            }
        })
    }

    /// The value as text inside longer text; none for null, a list, an object, an optional.
    #[must_use]
    pub fn render(&self) -> Option<String> {
        Some(match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Uint(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            Self::String(text) => text.to_string(),
            Self::Bytes(bytes) => BASE64_STANDARD.encode(bytes),
            Self::Time(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            Self::Span(span) => spell_span(*span),
            Self::Type(name) => (*name).to_string(),
            Self::Null | Self::Json(_) | Self::List(_) | Self::Map(_) | Self::Optional(_) => return None,
        })
    }
}

/// A duration as CEL writes it: seconds, with a fraction when there is one (`90s`, `-1.5s`).
fn spell_span(span: TimeDelta) -> String {
    let (seconds, nanos) = (span.num_seconds(), span.subsec_nanos());
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let fraction = format!(".{:09}", nanos.unsigned_abs());
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{sign}{}{fraction}s", seconds.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::limits::Limits;
    use serde_json::json;

    fn budget() -> Budget {
        Budget::new(&Limits::default())
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn json_integers_are_ints_and_other_numbers_doubles() {
        assert!(matches!(Cel::lend(&parsed("7")), Cel::Int(7)));
        assert!(matches!(Cel::lend(&parsed("18446744073709551615")), Cel::Uint(u64::MAX)));
        assert!(matches!(Cel::lend(&parsed("7.5")), Cel::Double(x) if x == 7.5));
        assert!(matches!(Cel::lend(&parsed("1e999")), Cel::Double(x) if x.is_infinite()));
    }

    #[test]
    fn what_was_lent_comes_back_as_it_was() {
        let value = parsed(r#"{"a":[1,2.50,"x",null,true,12345678901234567890.10]}"#);
        assert_eq!(Cel::lend(&value).to_json(&mut budget()).unwrap().to_string(), value.to_string());
    }

    #[test]
    fn what_json_cannot_spell_is_a_failure_or_text() {
        assert!(Cel::Double(f64::NAN).to_json(&mut budget()).is_err());
        assert_eq!(Cel::Bytes(Arc::from(&b"hi"[..])).to_json(&mut budget()).unwrap(), json!("aGk="));
        assert_eq!(Cel::Span(TimeDelta::milliseconds(-1500)).to_json(&mut budget()).unwrap(), json!("-1.5s"));
        assert_eq!(Cel::Span(TimeDelta::seconds(90)).to_json(&mut budget()).unwrap(), json!("90s"));
        assert_eq!(Cel::Optional(None).to_json(&mut budget()).unwrap(), Value::Null);
        assert_eq!(
            Cel::own(json!({"a": [1, {"b": "c"}]})).to_json(&mut budget()).unwrap(),
            json!({"a": [1, {"b": "c"}]})
        );
    }
}
