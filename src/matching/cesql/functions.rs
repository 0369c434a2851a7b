//! The functions of CESQL (section 3.5 of the standard).

use crate::matching::cesql::value::{Error, Stopped, Type, Value};
use std::ops::RangeInclusive;

/// One function.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many arguments it takes.
    pub(crate) takes: RangeInclusive<usize>,
    /// What it gives.
    pub(crate) gives: Type,
    /// How it runs.
    pub(crate) run: fn(Vec<Value>) -> Result<Value, Stopped>,
}

/// As many arguments as an expression can have.
const MANY: usize = usize::MAX;

/// All of them.
pub(crate) const TABLE: &[Function] = &[
    function("INT", 1..=1, (Type::Integer, |args| cast(args, Type::Integer))),
    function("BOOL", 1..=1, (Type::Boolean, |args| cast(args, Type::Boolean))),
    function("STRING", 1..=1, (Type::Text, |args| cast(args, Type::Text))),
    function("LENGTH", 1..=1, (Type::Integer, |args| Ok(Value::Integer(count(&text(args)))))),
    function("CONCAT", 0..=MANY, (Type::Text, |args| Ok(Value::Text(texts(args).concat())))),
    function("CONCAT_WS", 1..=MANY, (Type::Text, concat_ws)),
    function("LOWER", 1..=1, (Type::Text, |args| Ok(Value::Text(text(args).to_lowercase())))),
    function("UPPER", 1..=1, (Type::Text, |args| Ok(Value::Text(text(args).to_uppercase())))),
    function("TRIM", 1..=1, (Type::Text, |args| Ok(Value::Text(text(args).trim().to_owned())))),
    function("LEFT", 2..=2, (Type::Text, |args| side(args, |length, wanted| (0, wanted.min(length))))),
    function("RIGHT", 2..=2, (Type::Text, |args| side(args, |length, wanted| (length.saturating_sub(wanted), length)))),
    function("SUBSTRING", 2..=3, (Type::Text, substring)),
    function("ABS", 1..=1, (Type::Integer, abs)),
];

type Run = fn(Vec<Value>) -> Result<Value, Stopped>;

const fn function(name: &'static str, takes: RangeInclusive<usize>, (gives, run): (Type, Run)) -> Function {
    Function { name, takes, gives, run }
}

fn cast(args: Vec<Value>, to: Type) -> Result<Value, Stopped> {
    let value = args.into_iter().next().unwrap_or_else(|| to.zero());
    value.cast(to).map_err(|error| Stopped::by(error, to))
}

fn text(args: Vec<Value>) -> String {
    texts(args).into_iter().next().unwrap_or_default()
}

fn texts(args: Vec<Value>) -> Vec<String> {
    args.into_iter().map(Value::text).collect()
}

fn count(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}

fn concat_ws(args: Vec<Value>) -> Result<Value, Stopped> {
    let texts = texts(args);
    let (between, parts) = texts.split_first().expect("it takes one argument at least");
    Ok(Value::Text(parts.join(between)))
}

/// The text, and the numbers behind it.
fn with_numbers(args: Vec<Value>) -> Result<(String, Vec<i64>), Stopped> {
    let mut args = args.into_iter();
    let text = args.next().map(Value::text).unwrap_or_default();
    let numbers = args.map(|value| value.integer().map(i64::from)).collect::<Result<_, _>>();
    Ok((text, numbers.map_err(|error| Stopped::by(error, Type::Text))?))
}

fn between(text: &str, (from, to): (usize, usize)) -> Value {
    Value::Text(text.chars().skip(from).take(to.saturating_sub(from)).collect())
}

/// The part of the text that `cut` says, from its length and the number that is wanted.
fn side(args: Vec<Value>, cut: fn(usize, usize) -> (usize, usize)) -> Result<Value, Stopped> {
    let (text, numbers) = with_numbers(args)?;
    match usize::try_from(numbers[0]) {
        Ok(wanted) => Ok(between(&text, cut(text.chars().count(), wanted))),
        Err(_) => Err(Stopped { error: Error::FunctionEvaluation, value: Value::Text(text) }),
    }
}

/// Positions count from 1, negative ones from the end; 0 is nowhere.
fn substring(args: Vec<Value>) -> Result<Value, Stopped> {
    let (text, numbers) = with_numbers(args)?;
    let (length, position) = (text.chars().count() as i64, numbers[0]);
    let most = numbers.get(1).copied().unwrap_or(i64::MAX);
    if position.abs() > length || most < 0 {
        return Err(Stopped::by(Error::FunctionEvaluation, Type::Text));
    }
    let from = match position {
        0 => return Ok(Value::Text(String::new())),
        1.. => position - 1,
        _ => length + position,
    };
    let to = from.saturating_add(most).min(length);
    Ok(between(&text, (from as usize, to as usize)))
}

fn abs(args: Vec<Value>) -> Result<Value, Stopped> {
    let Value::Integer(value) = cast(args, Type::Integer)? else { return Ok(Value::Integer(0)) };
    match value.checked_abs() {
        Some(value) => Ok(Value::Integer(value)),
        None => Err(Stopped { error: Error::Math, value: Value::Integer(i32::MAX) }),
    }
}
