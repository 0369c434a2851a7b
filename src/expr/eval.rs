//! Runs a compiled expression over what is lent by a scope. Each node is a step of the budget; a limit goes through
//! everything, all other failures are taken back where CEL says so (`false && failure` is false).

use crate::expr::compare::{equal, find, order};
use crate::expr::failure::{Failure, FailureKind};
use crate::expr::functions::crypto;
use crate::expr::functions::function::Function;
use crate::expr::gather::{Gathered, Go};
use crate::expr::limits::Budget;
use crate::expr::node::{Bind, BindKind, Loop, Node, Order, Presence, Wanted};
use crate::expr::operators::negate;
use crate::expr::scope::Scope;
use crate::expr::value::{Cel, Str};
use std::sync::Arc;

/// One run of an expression.
#[derive(Debug)]
pub struct Run<'r, 'a> {
    scope: &'r Scope<'a>,
    budget: &'r mut Budget,
    locals: Vec<Cel<'a>>,
}

/// Which value of one side decides a logical operator.
#[derive(PartialEq)]
enum Decides {
    /// `&&`
    False,
    /// `||`
    True,
}

type Answer<'a> = Result<Cel<'a>, Failure>;

// === impl Run ===

impl<'r, 'a> Run<'r, 'a> {
    /// A run over `scope`, within `budget`.
    pub fn new(scope: &'r Scope<'a>, budget: &'r mut Budget) -> Self {
        Self { scope, budget, locals: Vec::new() }
    }

    /// The value of `node`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn eval(&mut self, node: &'a Node) -> Answer<'a> {
        self.budget.step(1)?;
        match node {
            Node::Constant(Cel::String(text)) => Ok(Cel::String(Str::Lent(text))),
            Node::Constant(value) => Ok(value.clone()),
            Node::Path(path) => path.find(self.scope).map(Cel::lend),
            Node::Local(slot, name) => self.locals.get(*slot).cloned().ok_or_else(|| unbound(name)),
            Node::Select(of, key) => self.select(of, key),
            Node::Maybe(of, key) => self.maybe(of, &Cel::String(Str::Lent(key))),
            Node::Has(of, key) => self.has(of, key),
            Node::Index(pair) => self.index(&pair.0, &pair.1),
            Node::MaybeIndex(pair) => {
                let at = self.eval(&pair.1)?;
                self.maybe(&pair.0, &at)
            }
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            Node::Not(of) => match self.eval(of)? {
                Cel::Bool(value) => Ok(Cel::Bool(!value)),
                other => Err(Failure::fault(format!("`!` is not for {}", other.kind()))),
            },
            Node::Negate(of) => negate(&self.eval(of)?),
            Node::And(pair) => self.both(pair, Decides::False),
            Node::Or(pair) => self.both(pair, Decides::True),
            Node::If(parts) => {
                if self.condition(&parts.0)? {
                    self.eval(&parts.1)
                } else {
                    self.eval(&parts.2)
                }
            }
            Node::Equal(pair, wanted) => {
                let (a, b) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                Ok(Cel::Bool(equal(&a, &b, self.budget)? == (*wanted == Wanted::Equal)))
            }
            Node::Order(pair, wanted) => self.ordered(pair, *wanted),
            Node::Operate(operator, pair) => {
                let (a, b) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
                operator.apply(&a, &b, self.budget)
            }
            Node::In(pair) => self.contains(pair),
            Node::Matches(of, regex) => match self.eval(of)? {
                Cel::String(text) => {
                    self.budget.touch(text.len())?;
                    Ok(Cel::Bool(regex.is_match(&text)))
                }
                other => Err(Failure::fault(format!("`matches` needs a string, not {}", other.kind()))),
            },
            Node::Hmac(of, Some(secret)) => crypto::hmac(&self.eval(of)?, secret, self.budget),
            Node::Hmac(_, None) => Err(Failure::fault("the secret of `hmac` was not read here")),
            Node::Call(function, arguments) => self.call(function, arguments),
            Node::Loop(spec) => self.go_over(spec),
            Node::Bind(spec) => self.bind(spec),
        }
    }

    fn condition(&mut self, node: &'a Node) -> Result<bool, Failure> {
        self.eval(node)?.truth()
    }

    /// `&&` and `||`: `decides` on either side decides, whatever the other side is (EL-2).
    fn both(&mut self, pair: &'a (Node, Node), decides: Decides) -> Answer<'a> {
        let decides = decides == Decides::True;
        let first = self.condition(&pair.0);
        match first {
            Ok(value) if value == decides => return Ok(Cel::Bool(decides)),
            Err(failure) if failure.kind == FailureKind::Limit => return Err(failure),
            Ok(_) | Err(_) => {}
        }
        let second = self.condition(&pair.1)?;
        if second == decides { Ok(Cel::Bool(decides)) } else { first.map(Cel::Bool) }
    }

    fn ordered(&mut self, pair: &'a (Node, Node), wanted: Order) -> Answer<'a> {
        let (a, b) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
        Ok(Cel::Bool(order(&a, &b, self.budget)?.is_some_and(|found| wanted.holds(found))))
    }

    fn select(&mut self, of: &'a Node, key: &'a str) -> Answer<'a> {
        let value = self.eval(of)?;
        if let Cel::Optional(inner) = &value {
            return self.of_optional(inner.as_deref(), &Cel::String(Str::Lent(key)));
        }
        match value.entries() {
            Some(entries) => entries.named(key).ok_or_else(|| nothing(of, key)),
            None if matches!(value, Cel::Null) => Err(Failure::missing(format!("{} is null", spelled(of)))),
            None => Err(Failure::fault(format!("{} is {}, it has no key `{key}`", spelled(of), value.kind()))),
        }
    }

    fn has(&mut self, of: &'a Node, key: &'a str) -> Answer<'a> {
        let value = self.eval(of)?;
        let value = match &value {
            Cel::Optional(None) => return Ok(Cel::Bool(false)),
            Cel::Optional(Some(inner)) => inner,
            plain => plain,
        };
        match value.entries() {
            Some(entries) => Ok(Cel::Bool(entries.named(key).is_some())),
            None if matches!(value, Cel::Null) => Err(Failure::missing(format!("{} is null", spelled(of)))),
            None => Err(Failure::fault(format!("{} is {}, it has no keys", spelled(of), value.kind()))),
        }
    }

    fn index(&mut self, of: &'a Node, at: &'a Node) -> Answer<'a> {
        let (value, at) = (self.eval(of)?, self.eval(at)?);
        if let Cel::Optional(inner) = &value {
            return self.of_optional(inner.as_deref(), &at);
        }
        match self.look_up(&value, &at)? {
            Some(found) => Ok(found),
            None => Err(nothing(of, &at.render().unwrap_or_default())),
        }
    }

    /// `.?` and `[?]`: what is not there is an absent optional, and so is all that follows.
    fn maybe(&mut self, of: &'a Node, at: &Cel<'a>) -> Answer<'a> {
        match self.eval(of)? {
            Cel::Optional(inner) => self.of_optional(inner.as_deref(), at),
            value => self.of_optional(Some(&value), at),
        }
    }

    fn of_optional(&mut self, value: Option<&Cel<'a>>, at: &Cel<'a>) -> Answer<'a> {
        let found = match value {
            None | Some(Cel::Null) => None,
            Some(value) => self.look_up(value, at)?,
        };
        Ok(Cel::Optional(found.map(Arc::new)))
    }

    /// What is at `at` of a list or a map, when something is.
    fn look_up(&mut self, value: &Cel<'a>, at: &Cel<'a>) -> Result<Option<Cel<'a>>, Failure> {
        if let Some(entries) = value.entries() {
            return find(entries, at, self.budget);
        }
        if let Some(items) = value.items() {
            let position = match at {
                Cel::Int(at) => usize::try_from(*at).ok(),
                Cel::Uint(at) => usize::try_from(*at).ok(),
                Cel::Double(at) if at.fract() == 0.0 => (*at >= 0.0).then_some(*at as usize),
                other => return Err(Failure::fault(format!("a list has no entry at {}", other.kind()))),
            };
            return Ok(position.and_then(|at| items.get(at)));
        }
        Err(Failure::fault(format!("{} has no entries", value.kind())))
    }

    fn list(&mut self, items: &'a [(Node, Presence)]) -> Answer<'a> {
        let mut made = Vec::with_capacity(items.len());
        for (node, presence) in items {
            made.extend(present(self.eval(node)?, *presence));
        }
        Ok(Cel::list(made))
    }

    fn map(&mut self, entries: &'a [(Node, Node, Presence)]) -> Answer<'a> {
        let mut made: Vec<(Cel<'a>, Cel<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, presence) in entries {
            let key = self.eval(key)?;
            let value = present(self.eval(value)?, *presence);
            if !matches!(key, Cel::Bool(_) | Cel::Int(_) | Cel::Uint(_) | Cel::String(_)) {
                return Err(Failure::fault(format!("a key of a map cannot be {}", key.kind())));
            }
            for (known, _) in &made {
                if equal(known, &key, self.budget)? {
                    return Err(Failure::fault(format!(
                        "the key `{}` is given twice",
                        key.render().unwrap_or_default()
                    )));
                }
            }
            made.extend(value.map(|value| (key, value)));
        }
        Ok(Cel::Map(Arc::new(made)))
    }

    fn contains(&mut self, pair: &'a (Node, Node)) -> Answer<'a> {
        let (value, of) = (self.eval(&pair.0)?, self.eval(&pair.1)?);
        if let Some(entries) = of.entries() {
            return Ok(Cel::Bool(find(entries, &value, self.budget)?.is_some()));
        }
        let Some(items) = of.items() else {
            return Err(Failure::fault(format!("`in` needs a list or an object, not {}", of.kind())));
        };
        for item in items.iter() {
            self.budget.step(1)?;
            if equal(&item, &value, self.budget)? {
                return Ok(Cel::Bool(true));
            }
        }
        Ok(Cel::Bool(false))
    }

    fn call(&mut self, function: &'static Function, arguments: &'a [Node]) -> Answer<'a> {
        // Most functions take one to three: those need no heap.
        let mut few = [Cel::Null, Cel::Null, Cel::Null];
        let mut many = Vec::new();
        let values = if arguments.len() <= few.len() {
            for (slot, node) in few.iter_mut().zip(arguments) {
                *slot = self.eval(node)?;
            }
            &few[..arguments.len()]
        } else {
            for node in arguments {
                many.push(self.eval(node)?);
            }
            &many[..]
        };
        (function.run)(values, self.budget).map_err(|failure| match failure.kind {
            FailureKind::Fault => Failure { what: format!("`{}`: {}", function.name, failure.what), ..failure },
            FailureKind::Limit => failure,
        })
    }

    fn bind(&mut self, spec: &'a Bind) -> Answer<'a> {
        let value = match (spec.kind, self.eval(&spec.value)?) {
            (BindKind::Plain, value) => value,
            (_, Cel::Optional(Some(inner))) => (*inner).clone(),
            (_, Cel::Optional(None)) => return Ok(Cel::Optional(None)),
            (_, other) => return Err(Failure::fault(format!("`optMap` needs an optional, not {}", other.kind()))),
        };
        self.set(spec.slot, value);
        let made = self.eval(&spec.body)?;
        match (spec.kind, made) {
            (BindKind::OptMap, made) => Ok(Cel::Optional(Some(Arc::new(made)))),
            (BindKind::OptFlatMap, made @ Cel::Optional(_)) | (BindKind::Plain, made) => Ok(made),
            (BindKind::OptFlatMap, other) => {
                Err(Failure::fault(format!("`optFlatMap` must make an optional, not {}", other.kind())))
            }
        }
    }

    fn set(&mut self, slot: usize, value: Cel<'a>) {
        if self.locals.len() <= slot {
            self.locals.resize(slot + 1, Cel::Null);
        }
        self.locals[slot] = value;
    }

    fn go_over(&mut self, spec: &'a Loop) -> Answer<'a> {
        let range = self.eval(&spec.range)?;
        let mut gathered = Gathered::new(spec.kind);
        if let Some(items) = range.items() {
            for (index, item) in items.iter().enumerate() {
                let first = if spec.second.is_none() { item.clone() } else { Cel::Int(index as i64) };
                if self.visit(spec, &mut gathered, (first, item))? == Go::Stop {
                    break;
                }
            }
        } else if let Some(entries) = range.entries() {
            self.budget.step(entries.len())?;
            for (key, value) in entries.pairs() {
                let entry = if spec.second.is_none() { key.clone() } else { value };
                if self.visit(spec, &mut gathered, (key, entry))? == Go::Stop {
                    break;
                }
            }
        } else {
            return Err(Failure::fault(format!("{} is {}, not a list", spelled(&spec.range), range.kind())));
        }
        gathered.finish(self.budget)
    }

    /// One entry of a loop, with what its first name stands for.
    fn visit(
        &mut self,
        spec: &'a Loop,
        gathered: &mut Gathered<'a>,
        (first, entry): (Cel<'a>, Cel<'a>),
    ) -> Result<Go, Failure> {
        self.budget.step(1)?;
        self.set(spec.first, first.clone());
        if let Some(second) = spec.second {
            self.set(second, entry.clone());
        }
        if let Some(filter) = &spec.filter
            && !self.condition(filter)?
        {
            return Ok(Go::On);
        }
        let answer = self.eval(&spec.body);
        gathered.take(answer, first, entry)
    }
}

fn present(value: Cel, presence: Presence) -> Option<Cel> {
    match (presence, value) {
        (Presence::WhenPresent, Cel::Optional(None)) => None,
        (Presence::WhenPresent, Cel::Optional(Some(inner))) => Some((*inner).clone()),
        (_, value) => Some(value),
    }
}

#[cold]
fn spelled(node: &Node) -> String {
    node.spell().map_or_else(|| "the value".to_string(), |name| format!("`{name}`"))
}

#[cold]
fn nothing(of: &Node, key: &str) -> Failure {
    Failure::missing(format!("no such key `{key}` in {}", spelled(of)))
}

#[cold]
fn unbound(name: &str) -> Failure {
    Failure::fault(format!("`{name}` has no value here"))
}
