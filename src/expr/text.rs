//! Text with `${...}`: alone it keeps the value's type, inside longer text the value is rendered, `$${` is a literal `${`.
//!
//! Rendered are strings, numbers (of a plain path in their exact text), booleans, times; lists and objects as JSON.
//! null is a failure there: "Hello null" is never meant. `${string(path)}` alone is text, and keeps the digits of a number.

use crate::expr::expression::Expression;
use crate::expr::failure::Failure;
use crate::expr::limits::{Budget, weigh};
use crate::expr::mistake::Mistake;
use crate::expr::scope::{Names, Scope};
use crate::expr::value::Cel;
use serde_json::Value;
use std::borrow::Cow;

/// A compiled text.
#[derive(Clone, Debug)]
pub struct Text {
    source: Box<str>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Literal(Value),
    Alone(Expression),
    /// `string(path)`, and the path: CEL would make a double of a number first.
    Digits(Expression, Expression),
    Longer(Vec<Part>),
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    Filled(Expression),
}

/// A piece of the source: text, or an expression and the character it begins at.
enum Piece<'s> {
    Literal(&'s str),
    Filled(&'s str, usize),
}

// === impl Text ===

impl Text {
    /// Compiles `source`, whose expressions may use `names`.
    ///
    /// # Errors
    /// The first mistake.
    pub fn compile(source: &str, names: &Names) -> Result<Self, Mistake> {
        let mut parts = Vec::new();
        for piece in pieces(source)? {
            match piece {
                Piece::Literal(text) => match parts.last_mut() {
                    Some(Part::Literal(before)) => *before = [&**before, text].concat().into(),
                    _ => parts.push(Part::Literal(text.into())),
                },
                Piece::Filled(inner, at) => {
                    let indent = inner.chars().take_while(|c| c.is_whitespace()).count();
                    let compiled = Expression::compile(inner.trim(), names);
                    parts.push(Part::Filled(compiled.map_err(|mistake| mistake.moved(at + indent))?));
                }
            }
        }
        let form = match (parts.len(), parts.pop()) {
            (1, Some(Part::Filled(alone))) => match digits(&alone, names) {
                Some(path) => Form::Digits(alone, path),
                None => Form::Alone(alone),
            },
            (_, None) => Form::Literal(Value::String(String::new())),
            (1, Some(Part::Literal(text))) => Form::Literal(Value::String(text.into())),
            (_, Some(last)) => {
                parts.push(last);
                Form::Longer(parts)
            }
        };
        Ok(Self { source: source.into(), form })
    }

    /// The value.
    ///
    /// # Errors
    /// Why there is none.
    pub fn value(&self, scope: &Scope, budget: &mut Budget) -> Result<Value, Failure> {
        match &self.form {
            Form::Alone(expression) => expression.eval(scope, budget),
            Form::Digits(whole, path) => written(whole, path, scope, budget),
            Form::Literal(value) => {
                budget.output(weigh(value))?;
                Ok(value.clone())
            }
            Form::Longer(parts) => render(parts, scope, budget).map(Value::String),
        }
    }

    /// The value, lent where it can be: a literal, or what a plain path leads to. What is lent does not count as output.
    ///
    /// # Errors
    /// Why there is none.
    pub fn lend<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<Cow<'a, Value>, Failure> {
        match &self.form {
            Form::Alone(expression) => expression.lend(scope, budget),
            Form::Literal(value) => Ok(Cow::Borrowed(value)),
            Form::Digits(whole, path) => written(whole, path, scope, budget).map(Cow::Owned),
            Form::Longer(parts) => render(parts, scope, budget).map(|text| Cow::Owned(Value::String(text))),
        }
    }

    /// The value, when it is the same for every record.
    #[must_use]
    pub fn literal(&self) -> Option<&Value> {
        match &self.form {
            Form::Literal(value) => Some(value),
            Form::Alone(_) | Form::Digits(..) | Form::Longer(_) => None,
        }
    }

    /// The expression, when it is one and nothing else.
    #[must_use]
    pub fn alone(&self) -> Option<&Expression> {
        match &self.form {
            Form::Alone(expression) | Form::Digits(expression, _) => Some(expression),
            Form::Literal(_) | Form::Longer(_) => None,
        }
    }

    /// The text as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The path in `string(path)`.
fn digits(whole: &Expression, names: &Names) -> Option<Expression> {
    let inner = whole.source().strip_prefix("string(")?.strip_suffix(')')?;
    Expression::compile(inner.trim(), names).ok().filter(|inner| inner.path().is_some())
}

/// The text of a number digit for digit; of anything else, what `string` says of it.
fn written(whole: &Expression, path: &Expression, scope: &Scope, budget: &mut Budget) -> Result<Value, Failure> {
    match path.lend(scope, budget).as_deref() {
        Ok(Value::Number(number)) => {
            budget.output(number.as_str().len())?;
            Ok(Value::String(number.as_str().to_owned()))
        }
        Ok(_) | Err(_) => whole.eval(scope, budget),
    }
}

fn render(parts: &[Part], scope: &Scope, budget: &mut Budget) -> Result<String, Failure> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Literal(literal) => {
                budget.output(literal.len())?;
                text.push_str(literal);
            }
            Part::Filled(expression) => fill(&mut text, expression, scope, budget)?,
        }
    }
    Ok(text)
}

fn fill(text: &mut String, expression: &Expression, scope: &Scope, budget: &mut Budget) -> Result<(), Failure> {
    let none = |kind: &str| {
        let told = format!("the value is {kind}: it cannot stand inside text");
        Failure { missing: true, ..Failure::fault(told) }.of(expression.source())
    };
    if expression.path().is_some() {
        let value = expression.lend(scope, budget)?;
        budget.output(weigh(&value)).map_err(|failure| failure.of(expression.source()))?;
        match &*value {
            Value::Null => return Err(none("null")),
            Value::String(part) => text.push_str(part),
            Value::Number(number) => text.push_str(number.as_str()),
            other => text.push_str(&other.to_string()),
        }
        return Ok(());
    }
    let value = expression.run(scope, budget)?;
    let value = match &value {
        Cel::Optional(Some(inner)) => inner,
        plain => plain,
    };
    match value {
        Cel::Null => return Err(none("null")),
        Cel::Optional(_) => return Err(none("absent")),
        Cel::String(part) => {
            budget.output(part.len())?;
            text.push_str(part);
        }
        other => match other.render() {
            Some(part) => {
                budget.output(part.len())?;
                text.push_str(&part);
            }
            None => {
                let json = other.to_json(budget).map_err(|failure| failure.of(expression.source()))?;
                text.push_str(&json.to_string());
            }
        },
    }
    Ok(())
}

/// The source, cut at its `${...}`.
fn pieces(source: &str) -> Result<Vec<Piece<'_>>, Mistake> {
    let mut pieces = Vec::new();
    let (mut from, mut search) = (0, 0);
    while let Some(found) = source[search..].find("${") {
        let at = search + found;
        if at > from && source[from..at].ends_with('$') {
            // `$${`: one dollar goes, the rest is text.
            pieces.push(Piece::Literal(&source[from..at - 1]));
            pieces.push(Piece::Literal("${"));
            (from, search) = (at + 2, at + 2);
            continue;
        }
        if at > from {
            pieces.push(Piece::Literal(&source[from..at]));
        }
        let inner = &source[at + 2..];
        let place = source[..at].chars().count();
        let Some(end) = closing(inner) else {
            return Err(Mistake::new(
                "`${` is not closed by `}`",
                "close it with `}`; a literal `${` is written `$${`",
            )
            .at(place));
        };
        pieces.push(Piece::Filled(&inner[..end], place + 2));
        from = at + 2 + end + 1;
        search = from;
    }
    if from < source.len() {
        pieces.push(Piece::Literal(&source[from..]));
    }
    Ok(pieces)
}

/// The byte of the `}` that closes an expression: not one inside a string or of a map in it.
fn closing(inner: &str) -> Option<usize> {
    let bytes = inner.as_bytes();
    let (mut at, mut open) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => at = after_string(inner, at)?,
            b'{' => (open, at) = (open + 1, at + 1),
            b'}' if open == 0 => return Some(at),
            b'}' => (open, at) = (open - 1, at + 1),
            _ => at += 1,
        }
    }
    None
}

/// The byte after the string literal that begins at `at`.
fn after_string(inner: &str, at: usize) -> Option<usize> {
    let bytes = inner.as_bytes();
    let raw = at > 0 && matches!(bytes[at - 1], b'r' | b'R');
    let triple = [bytes[at]; 3];
    let quote: &[u8] = if bytes[at..].starts_with(&triple) { &triple } else { &bytes[at..=at] };
    let mut next = at + quote.len();
    while next < bytes.len() {
        if bytes[next] == b'\\' && !raw {
            next += 2;
        } else if bytes[next..].starts_with(quote) {
            return Some(next + quote.len());
        } else {
            next += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::limits::Limits;
    use serde_json::json;

    fn payload() -> Value {
        serde_json::from_str(
            r#"{"name":"Ann","n":1,"price":10.10,"big":12345678901234567890.10,"ok":true,"none":null,"tags":["a","b"],"m":{"k":"v"}}"#,
        )
        .unwrap()
    }

    fn value(source: &str) -> Result<Value, Failure> {
        let payload = payload();
        let mut scope = Scope::new();
        scope.bind("payload", &payload);
        let text =
            Text::compile(source, &Names::new(["payload"])).unwrap_or_else(|mistake| panic!("{source}: {mistake}"));
        text.value(&scope, &mut Budget::new(&Limits::default()))
    }

    #[test]
    fn alone_it_keeps_its_type_and_its_number_text() {
        assert_eq!(value("${payload.n}").unwrap(), json!(1));
        assert_eq!(value("${payload.big}").unwrap().to_string(), "12345678901234567890.10");
        assert_eq!(value("${ payload.tags }").unwrap(), json!(["a", "b"]));
        assert_eq!(value("${payload.none}").unwrap(), Value::Null);
        assert_eq!(value("${payload.n + 1}").unwrap(), json!(2));
    }

    #[test]
    fn string_of_a_path_keeps_every_digit_of_a_number() {
        assert_eq!(value("${string(payload.big)}").unwrap(), json!("12345678901234567890.10"));
        assert_eq!(value("${ string( payload.price ) }").unwrap(), json!("10.10"));
        assert_eq!(value("${string(payload.name)}").unwrap(), json!("Ann"));
        assert_eq!(value("${string(payload.price * 2)}").unwrap(), json!("20.2"));
        assert!(value("${string(payload.none)}").is_err() && value("${string(payload.gone)}").unwrap_err().missing);
    }

    #[test]
    fn inside_longer_text_it_is_rendered() {
        assert_eq!(value("Hello ${payload.name}!").unwrap(), json!("Hello Ann!"));
        assert_eq!(value("${payload.n}${payload.big}").unwrap(), json!("112345678901234567890.10"));
        assert_eq!(value("= ${payload.price * 2}, ${payload.ok}").unwrap(), json!("= 20.2, true"));
        assert_eq!(value("t ${payload.tags} ${payload.m}").unwrap(), json!(r#"t ["a","b"] {"k":"v"}"#));
        assert_eq!(value("t ${[1, 2]}").unwrap(), json!("t [1,2]"));
    }

    #[test]
    fn null_and_absent_do_not_stand_inside_text() {
        let failure = value("Hello ${payload.none}").unwrap_err();
        assert_eq!(failure.what, "the value is null: it cannot stand inside text");
        assert_eq!(failure.expression.as_deref(), Some("payload.none"));
        assert!(value("Hello ${payload.?gone}").unwrap_err().missing);
        assert_eq!(value("Hello ${payload.?name}").unwrap(), json!("Hello Ann"));
        assert_eq!(value("Hello ${payload.?gone.orValue(\"you\")}").unwrap(), json!("Hello you"));
    }

    #[test]
    fn two_dollars_are_a_literal_and_a_lone_dollar_is_one() {
        assert_eq!(value("$${payload.name}").unwrap(), json!("${payload.name}"));
        assert_eq!(value("a $${x} ${payload.n} $5 $").unwrap(), json!("a ${x} 1 $5 $"));
        assert_eq!(value("").unwrap(), json!(""));
        assert_eq!(value("plain {text}").unwrap(), json!("plain {text}"));
    }

    #[test]
    fn braces_in_strings_and_maps_do_not_close_it() {
        assert_eq!(value("${'}' + \"}\"}").unwrap(), json!("}}"));
        assert_eq!(value("${{'a': {'b': 1}}}").unwrap(), json!({"a": {"b": 1}}));
        assert_eq!(value(r#"x${"\"}" + r'\' + '''it's }'''}"#).unwrap(), json!(r#"x"}\it's }"#));
    }

    #[test]
    fn a_mistake_says_where_in_the_whole_text() {
        let names = Names::new(["payload"]);
        let mistake = Text::compile("é ${payload.a} ${ paylod.b }", &names).unwrap_err();
        assert_eq!((mistake.what.as_str(), mistake.at), ("unknown name `paylod`", Some(18)));
        assert_eq!(mistake.hint, "did you mean `payload`?");
        assert_eq!(Text::compile("ab ${payload.a", &names).unwrap_err().at, Some(3));
        assert_eq!(Text::compile("${}", &names).unwrap_err().what, "the expression is empty");
    }
}
