//! The functions of the language: a table of families, a file each. No clock, no randomness, no I/O.

pub mod conversions;
pub mod crypto;
pub mod encoders;
pub mod format;
pub mod function;
pub mod lists;
pub mod math;
pub mod optionals;
pub mod strings;
pub mod text;
pub mod times;

use crate::expr::functions::function::{Function, Style};
use crate::expr::mistake::did_you_mean;

/// All families.
const FAMILIES: &[&[Function]] = &[
    conversions::TABLE,
    crypto::TABLE,
    encoders::TABLE,
    format::TABLE,
    lists::TABLE,
    math::TABLE,
    optionals::TABLE,
    strings::TABLE,
    text::TABLE,
    times::TABLE,
];

/// What the compiler itself knows: no functions of the tables, but names a user may have meant.
pub const BUILT_IN: &[&str] = &[
    "has",
    "hmac",
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "map",
    "filter",
    "sortBy",
    "transformList",
    "transformMap",
    "optMap",
    "optFlatMap",
    "cel.bind",
];

/// How a function is called in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// `f(x)`
    Plainly,
    /// `x.f()`
    OnReceiver,
}

/// The function `name`, `called` so with so many arguments, the receiver counted.
///
/// # Errors
/// What is wrong and what to do, when there is none.
pub fn find(name: &str, called: Called, given: usize) -> Result<&'static Function, (String, String)> {
    let named: Vec<&Function> = all().filter(|function| function.name == name).collect();
    let fits = |style: Style| match called {
        Called::Plainly => style != Style::Method,
        Called::OnReceiver => style != Style::Plain,
    };
    if let Some(found) = named.iter().find(|function| fits(function.style) && function.takes.contains(&given)) {
        return Ok(found);
    }
    let Some(first) = named.first() else {
        if BUILT_IN.contains(&name) {
            let hint =
                "write it like `has(payload.key)`, `hmac(value, \"name\")`, `list.map(entry, value)`".to_string();
            return Err((format!("`{name}` is not written like this"), hint));
        }
        let known = all().map(|function| function.name).chain(BUILT_IN.iter().copied());
        let hint = did_you_mean(name, known).unwrap_or_default();
        return Err((format!("unknown function `{name}`"), hint));
    };
    if !named.iter().any(|function| fits(function.style)) {
        let form = if called == Called::Plainly { format!("x.{name}()") } else { format!("{name}(x)") };
        return Err((format!("`{name}` is not called like this"), format!("write `{form}`")));
    }
    let receiver = usize::from(called == Called::OnReceiver);
    let (least, most) = (first.takes.start() - receiver.min(*first.takes.start()), first.takes.end() - receiver);
    let takes = if least == most { least.to_string() } else { format!("{least} to {most}") };
    Err((format!("`{name}` takes {takes} arguments, not {}", given - receiver), String::new()))
}

/// Whether functions stand behind `name.`: `math`, `base64`.
#[must_use]
pub fn is_namespace(name: &str) -> bool {
    all().any(|function| function.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// Every function.
pub fn all() -> impl Iterator<Item = &'static Function> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_function_stands_in_the_tables_once() {
        let mut seen = HashSet::new();
        for function in all() {
            assert!(seen.insert((function.name, function.style as u8)), "{}", function.name);
        }
    }

    #[test]
    fn a_wrong_call_is_answered_with_the_right_one() {
        let wrong = |name, called, given| find(name, called, given).unwrap_err();
        assert_eq!(wrong("siez", Called::Plainly, 1).1, "did you mean `size`?");
        assert_eq!(wrong("trim", Called::Plainly, 1).1, "write `x.trim()`");
        assert_eq!(wrong("sha256", Called::OnReceiver, 1).1, "write `sha256(x)`");
        assert_eq!(wrong("trim", Called::OnReceiver, 3).0, "`trim` takes 0 arguments, not 2");
    }
}
