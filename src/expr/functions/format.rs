//! `"%.2f of %s".format([a, b])`: the clauses `%s %d %f %e %b %o %x %X` and `%%`, with a precision for `%f` and `%e`.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, list, needs, text};
use crate::expr::limits::Budget;
use crate::expr::operators::as_double;
use crate::expr::value::Cel;
use std::fmt::Write as _;

/// The family.
pub const TABLE: &[Function] = &[Function::method("format", 2..=2, format)];

/// Digits after the point, at most.
const MAX_PRECISION: usize = 100;

fn format<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (pattern, values) = (text(args, 0)?, list(args, 1)?);
    budget.touch(pattern.len())?;
    let mut written = String::new();
    let mut next = 0;
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        written.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            written.push('%');
            rest = after;
            continue;
        }
        let (precision, after) = precision(rest)?;
        let verb = after.chars().next().ok_or_else(|| Failure::fault("the pattern ends after `%`"))?;
        rest = &after[verb.len_utf8()..];
        let value = values.get(next).ok_or_else(|| Failure::fault(format!("no value for clause {}", next + 1)))?;
        next += 1;
        clause(&mut written, (verb, precision), &value, budget)?;
    }
    written.push_str(rest);
    Ok(Cel::text(written))
}

fn precision(rest: &str) -> Result<(Option<usize>, &str), Failure> {
    let Some(after) = rest.strip_prefix('.') else { return Ok((None, rest)) };
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    match after[..end].parse() {
        Ok(digits) if digits <= MAX_PRECISION => Ok((Some(digits), &after[end..])),
        _ => Err(Failure::fault(format!("a precision is 0 to {MAX_PRECISION}"))),
    }
}

fn clause(
    written: &mut String,
    (verb, precision): (char, Option<usize>),
    value: &Cel,
    budget: &mut Budget,
) -> Result<(), Failure> {
    budget.touch(512)?;
    match (verb, value) {
        ('s', Cel::String(text)) => {
            budget.touch(text.len())?;
            written.push_str(text);
        }
        ('s', Cel::Bytes(bytes)) => {
            budget.touch(bytes.len())?;
            written.push_str(&String::from_utf8_lossy(bytes));
        }
        ('s', other) => match other.render() {
            Some(text) => written.push_str(&text),
            None => {
                let json = other.to_json(budget)?.to_string();
                budget.touch(json.len())?;
                written.push_str(&json);
            }
        },
        ('d', Cel::Int(_) | Cel::Uint(_)) => written.push_str(&value.render().unwrap_or_default()),
        ('d', other) => return Err(needs("an integer for %d", Some(other))),
        ('f' | 'e', _) => {
            let number = as_double(value).ok_or_else(|| needs("a number for %f and %e", Some(value)))?;
            let digits = precision.unwrap_or(6);
            if verb == 'f' {
                write!(written, "{number:.digits$}")
            } else {
                written.write_str(&scientific(number, digits))
            }
            .expect("a String takes all");
        }
        ('b' | 'o' | 'x' | 'X', _) => written.push_str(&based(verb, value)?),
        _ => return Err(Failure::fault(format!("unknown clause `%{verb}`"))),
    }
    Ok(())
}

/// `1.500000e+00`: as C writes it.
fn scientific(number: f64, digits: usize) -> String {
    let plain = format!("{number:.digits$e}");
    match plain.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
            format!("{mantissa}e{sign}{exponent:0>2}")
        }
        None => plain,
    }
}

fn based(verb: char, value: &Cel) -> Result<String, Failure> {
    let bytes: &[u8] = match value {
        Cel::String(text) if verb == 'x' || verb == 'X' => text.as_bytes(),
        Cel::Bytes(bytes) if verb == 'x' || verb == 'X' => bytes,
        Cel::Bool(value) if verb == 'b' => return Ok(u8::from(*value).to_string()),
        Cel::Int(_) | Cel::Uint(_) => {
            let (sign, size) = match value {
                Cel::Int(value) => (if *value < 0 { "-" } else { "" }, value.unsigned_abs()),
                Cel::Uint(value) => ("", *value),
                _ => ("", 0),
            };
            let digits = match verb {
                'b' => format!("{size:b}"),
                'o' => format!("{size:o}"),
                'x' => format!("{size:x}"),
                _ => format!("{size:X}"),
            };
            return Ok(format!("{sign}{digits}"));
        }
        other => return Err(needs("an integer for %b, %o and %x", Some(other))),
    };
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(if verb == 'X' { hex.to_uppercase() } else { hex })
}
