//! Syntax tree -> nodes: every name and function is looked up here, once, so that a wrong one is a mistake at load.

use crate::expr::failure::Failure;
use crate::expr::functions::text::pattern;
use crate::expr::functions::{Called, find, is_namespace};
use crate::expr::limits::{Budget, Limits};
use crate::expr::macros::{LOOPS, name_of};
use crate::expr::mistake::Mistake;
use crate::expr::node::{Bind, BindKind, Loop, Node, Order, Presence, Wanted};
use crate::expr::operators::{Operator, negate};
use crate::expr::parse::{Parsed, parse};
use crate::expr::path::{Path, Step};
use crate::expr::scope::Names;
use crate::expr::value::Cel;
use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, MapExpr};
use std::sync::Arc;

/// Nodes of one expression.
const MAX_NODES: usize = 500;
/// How deep nodes stand in each other, so that running them never runs out of stack: `a + b + c ...` is as deep as long.
const MAX_DEPTH: usize = 80;
/// Macros over lists inside each other: each multiplies the steps.
const MAX_LOOPS: usize = 2;
/// The types an expression can name.
const TYPES: &[&str] = &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Compiles `source`, which may use `names`.
///
/// # Errors
/// The first mistake.
pub fn compile(source: &str, names: &Names) -> Result<Node, Mistake> {
    parse(source, |parsed| {
        let mut compiler = Compiler { names, source, parsed, locals: Vec::new(), nodes: 0, depth: 0, loops: 0 };
        compiler.node(&parsed.tree)
    })
}

struct Compiler<'c> {
    names: &'c Names,
    source: &'c str,
    parsed: &'c Parsed,
    locals: Vec<String>,
    nodes: usize,
    depth: usize,
    loops: usize,
}

type Made = Result<Node, Mistake>;

// === impl Compiler ===

impl Compiler<'_> {
    fn node(&mut self, expr: &IdedExpr) -> Made {
        self.nodes += 1;
        self.depth += 1;
        if self.nodes > MAX_NODES || self.depth > MAX_DEPTH {
            let what = if self.nodes > MAX_NODES {
                format!("the expression has more than {MAX_NODES} parts")
            } else {
                format!("the parts of the expression stand more than {MAX_DEPTH} deep in each other")
            };
            return Err(Mistake::new(what, "split it with `let`"));
        }
        let made = match &expr.expr {
            Expr::Literal(literal) => Ok(Node::Constant(constant(literal))),
            Expr::Ident(name) => self.name(expr, name),
            Expr::Select(select) => {
                let of = self.node(&select.operand)?;
                Ok(selected(of, &select.field))
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => {
                let mut items = Vec::with_capacity(list.elements.len());
                for (at, element) in list.elements.iter().enumerate() {
                    let presence = presence(list.optional_indices.contains(&at).then_some(()));
                    items.push((self.node(element)?, presence));
                }
                Ok(Node::List(items))
            }
            Expr::Map(map) => self.map(map),
            Expr::Struct(_) => {
                Err(self.mistake(expr, "messages are not part of the language here", "write a map: {\"key\": value}"))
            }
            Expr::Comprehension(_) | Expr::Unspecified => Err(self.mistake(expr, "this is no expression", "")),
        };
        self.depth -= 1;
        made
    }

    fn mistake(&self, expr: &IdedExpr, what: impl Into<String>, hint: impl Into<String>) -> Mistake {
        let mistake = Mistake::new(what, hint);
        match self.parsed.places.offset_for(expr.id) {
            // The parser counts bytes.
            Some((start, _)) => {
                mistake.at(self.source.char_indices().take_while(|(at, _)| *at < start as usize).count())
            }
            None => mistake,
        }
    }

    fn name(&self, expr: &IdedExpr, name: &str) -> Made {
        let absolute = name.strip_prefix('.');
        if absolute.is_none()
            && let Some(slot) = self.locals.iter().rposition(|local| local == name)
        {
            return Ok(Node::Local(slot, name.into()));
        }
        let plain = absolute.unwrap_or(name);
        if self.names.contains(plain) {
            return Ok(Node::Path(Path::root(plain)));
        }
        if let Some(known) = TYPES.iter().find(|known| **known == plain) {
            return Ok(Node::Constant(Cel::Type(known)));
        }
        let mut known = self.names.clone();
        for local in &self.locals {
            known = known.with(local);
        }
        let mistake = self.mistake(expr, format!("unknown name `{plain}`"), known.hint(plain));
        Err(self.dashed(plain, &mistake).unwrap_or(mistake))
    }

    /// `payload.first-name` is a subtraction: someone who writes so means a key.
    fn dashed(&self, name: &str, mistake: &Mistake) -> Option<Mistake> {
        let before: String = self.source.chars().take(mistake.at?).collect();
        let word = before.strip_suffix('-')?.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        let hint = format!("for a key with a dash write [\"{word}-{name}\"]");
        (!word.is_empty()).then(|| Mistake { hint, ..mistake.clone() })
    }

    fn pair(&mut self, call: &CallExpr) -> Result<Box<(Node, Node)>, Mistake> {
        Ok(Box::new((self.node(&call.args[0])?, self.node(&call.args[1])?)))
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Made {
        if let Some(target) = &call.target {
            return self.method(expr, target, call);
        }
        match (call.func_name.as_str(), call.args.len()) {
            (op::CONDITIONAL, 3) => {
                let (asked, then) = (self.node(&call.args[0])?, self.node(&call.args[1])?);
                Ok(Node::If(Box::new((asked, then, self.node(&call.args[2])?))))
            }
            (op::LOGICAL_AND, 2) => Ok(Node::And(self.pair(call)?)),
            (op::LOGICAL_OR, 2) => Ok(Node::Or(self.pair(call)?)),
            (op::LOGICAL_NOT, 1) => Ok(Node::Not(Box::new(self.node(&call.args[0])?))),
            (op::NEGATE, 1) => match self.node(&call.args[0])? {
                Node::Constant(value) => {
                    negate(&value).map(Node::Constant).map_err(|failure| self.mistake(expr, failure.what, ""))
                }
                other => Ok(Node::Negate(Box::new(other))),
            },
            (op::EQUALS, 2) => Ok(Node::Equal(self.pair(call)?, Wanted::Equal)),
            (op::NOT_EQUALS, 2) => Ok(Node::Equal(self.pair(call)?, Wanted::Unequal)),
            (op::IN, 2) => Ok(Node::In(self.pair(call)?)),
            (op::INDEX, 2) => self.pair(call).map(|pair| indexed(*pair)),
            (op::OPT_INDEX, 2) => Ok(Node::MaybeIndex(self.pair(call)?)),
            (op::OPT_SELECT, 2) => match &call.args[1].expr {
                Expr::Literal(LiteralValue::String(key)) => {
                    Ok(Node::Maybe(Box::new(self.node(&call.args[0])?), key.inner().into()))
                }
                _ => Err(self.mistake(expr, "`.?` needs a key after it", "")),
            },
            (op::HAS, 1) => match &call.args[0].expr {
                Expr::Select(select) => {
                    Ok(Node::Has(Box::new(self.node(&select.operand)?), select.field.as_str().into()))
                }
                _ => Err(self.mistake(
                    expr,
                    "`has` needs a key",
                    "write has(payload.key); for other keys: \"key\" in payload",
                )),
            },
            ("hmac", _) => self.hmac(expr, call),
            (name, 2) if operator(name).is_some() => self.operate(expr, call),
            (name, 2) if order(name).is_some() => {
                let pair = self.pair(call)?;
                Ok(order(name).map_or(Node::Constant(Cel::Null), |order| Node::Order(pair, order)))
            }
            (name, given) => {
                let found =
                    find(name, Called::Plainly, given).map_err(|(what, hint)| self.mistake(expr, what, hint))?;
                let args = call.args.iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
                self.finished(expr, found, args)
            }
        }
    }

    /// The secret is found now, so that a wrong name is a mistake and no record can choose one.
    fn hmac(&mut self, expr: &IdedExpr, call: &CallExpr) -> Made {
        let usage = "write hmac(value, \"name of a secret\")";
        let [value, name] = &call.args[..] else {
            return Err(self.mistake(expr, format!("`hmac` takes 2 arguments, not {}", call.args.len()), usage));
        };
        let Expr::Literal(LiteralValue::String(name)) = &name.expr else {
            return Err(self.mistake(name, "the name of a secret is written out", usage));
        };
        let secret = self.names.secrets().find(name.inner());
        let secret = secret.map_err(|hint| self.mistake(expr, format!("unknown secret `{}`", name.inner()), hint))?;
        Ok(Node::Hmac(Box::new(self.node(value)?), secret))
    }

    fn operate(&mut self, expr: &IdedExpr, call: &CallExpr) -> Made {
        let pair = self.pair(call)?;
        let Some(operator) = operator(&call.func_name) else { return Err(self.mistake(expr, "unknown operator", "")) };
        match &*pair {
            (Node::Constant(a), Node::Constant(b)) => {
                folded(operator, a, b).map(Node::Constant).map_err(|failure| self.mistake(expr, failure.what, ""))
            }
            _ => Ok(Node::Operate(operator, pair)),
        }
    }

    fn method(&mut self, expr: &IdedExpr, target: &IdedExpr, call: &CallExpr) -> Made {
        let (name, given) = (call.func_name.as_str(), call.args.len());
        if let Expr::Ident(space) = &target.expr
            && !self.locals.contains(space)
            && !self.names.contains(space)
        {
            if (space.as_str(), name, given) == ("cel", "bind", 3) {
                let variable = name_of(&call.args[0], name).map_err(|what| self.mistake(expr, what, ""))?;
                let value = self.node(&call.args[1])?;
                return self.bound(BindKind::Plain, value, (variable, &call.args[2]));
            }
            if is_namespace(space) {
                let found = find(&format!("{space}.{name}"), Called::Plainly, given);
                let found = found.map_err(|(what, hint)| self.mistake(expr, what, hint))?;
                let args = call.args.iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
                return self.finished(expr, found, args);
            }
        }
        if (name == "optMap" || name == "optFlatMap") && given == 2 {
            let variable = name_of(&call.args[0], name).map_err(|what| self.mistake(expr, what, ""))?;
            let value = self.node(target)?;
            let kind = if name == "optMap" { BindKind::OptMap } else { BindKind::OptFlatMap };
            return self.bound(kind, value, (variable, &call.args[1]));
        }
        if LOOPS.iter().any(|spec| spec.name == name) {
            return self.go_over(expr, target, call);
        }
        let found = find(name, Called::OnReceiver, given + 1).map_err(|(what, hint)| self.mistake(expr, what, hint))?;
        let mut args = vec![self.node(target)?];
        for arg in &call.args {
            args.push(self.node(arg)?);
        }
        self.finished(expr, found, args)
    }

    /// A call; `matches` with a literal pattern has it compiled now.
    fn finished(
        &self,
        expr: &IdedExpr,
        found: &'static crate::expr::functions::function::Function,
        mut args: Vec<Node>,
    ) -> Made {
        if let ("matches", [_, Node::Constant(Cel::String(source))]) = (found.name, &args[..]) {
            let regex = pattern(source).map_err(|what| self.mistake(expr, what, ""))?;
            return Ok(Node::Matches(Box::new(args.swap_remove(0)), regex));
        }
        Ok(Node::Call(found, args))
    }

    fn bound(&mut self, kind: BindKind, value: Node, (variable, body): (&str, &IdedExpr)) -> Made {
        let slot = self.locals.len();
        self.locals.push(variable.to_string());
        let body = self.node(body);
        self.locals.pop();
        Ok(Node::Bind(Box::new(Bind { kind, value, slot, body: body? })))
    }

    fn go_over(&mut self, expr: &IdedExpr, target: &IdedExpr, call: &CallExpr) -> Made {
        let range = self.node(target)?;
        let named = call.args.iter().take_while(|arg| matches!(arg.expr, Expr::Ident(_))).count();
        let given = call.args.len();
        let fits = |spec: &&crate::expr::macros::LoopSpec| {
            spec.name == call.func_name && spec.takes == given && spec.names <= named
        };
        // With two names where two are possible: `all(i, v, p)`; else the first is the name and what follows an expression.
        let Some(spec) = LOOPS.iter().filter(fits).max_by_key(|spec| spec.names) else {
            let usage = LOOPS.iter().find(|spec| spec.name == call.func_name).map_or("", |spec| spec.usage);
            return Err(self.mistake(
                expr,
                format!("`{}` is not written like this", call.func_name),
                format!("write `{usage}`"),
            ));
        };
        if self.loops == MAX_LOOPS {
            let what = format!("macros over lists stand more than {MAX_LOOPS} deep in each other");
            return Err(self.mistake(expr, what, "split it with `let`"));
        }
        let first = self.locals.len();
        for arg in &call.args[..spec.names] {
            self.locals.push(name_of(arg, spec.name).map_err(|what| self.mistake(arg, what, ""))?.to_string());
        }
        self.loops += 1;
        let mut parts = call.args[spec.names..].iter().map(|arg| self.node(arg)).collect::<Result<Vec<_>, _>>()?;
        self.loops -= 1;
        self.locals.truncate(first);
        let body = parts.pop().ok_or_else(|| self.mistake(expr, "nothing to do for each entry", ""))?;
        let second = (spec.names == 2).then_some(first + 1);
        Ok(Node::Loop(Box::new(Loop { kind: spec.kind, range, first, second, filter: parts.pop(), body })))
    }

    fn map(&mut self, map: &MapExpr) -> Made {
        let mut entries = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                let presence = presence(entry.optional.then_some(()));
                entries.push((self.node(&entry.key)?, self.node(&entry.value)?, presence));
            }
        }
        Ok(Node::Map(entries))
    }
}

fn presence(optional: Option<()>) -> Presence {
    if optional.is_some() { Presence::WhenPresent } else { Presence::Always }
}

/// `of.key`: a longer path, when `of` is one.
fn selected(of: Node, key: &str) -> Node {
    match of {
        Node::Path(path) => Node::Path(path.then(Step::Key(key.into()))),
        other => Node::Select(Box::new(other), key.into()),
    }
}

/// `of[at]`: a longer path, when both sides allow it.
fn indexed(pair: (Node, Node)) -> Node {
    match pair {
        (Node::Path(path), Node::Constant(Cel::String(key))) => Node::Path(path.then(Step::Key((&*key).into()))),
        (Node::Path(path), Node::Constant(Cel::Int(at))) if at >= 0 => Node::Path(path.then(Step::Index(at as usize))),
        (Node::Path(path), Node::Path(at)) => Node::Path(path.then(Step::At(at))),
        (of, at) => Node::Index(Box::new((of, at))),
    }
}

fn constant(literal: &LiteralValue) -> Cel<'static> {
    match literal {
        LiteralValue::Boolean(value) => Cel::Bool(*value.inner()),
        LiteralValue::Bytes(value) => Cel::Bytes(Arc::from(value.inner())),
        LiteralValue::Double(value) => Cel::Double(*value.inner()),
        LiteralValue::Int(value) => Cel::Int(*value.inner()),
        LiteralValue::Null => Cel::Null,
        LiteralValue::String(value) => Cel::text(value.inner()),
        LiteralValue::UInt(value) => Cel::Uint(*value.inner()),
    }
}

fn folded(operator: Operator, a: &Cel<'static>, b: &Cel<'static>) -> Result<Cel<'static>, Failure> {
    operator.apply(a, b, &mut Budget::new(&Limits::default()))
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        op::ADD => Operator::Add,
        op::SUBSTRACT => Operator::Subtract,
        op::MULTIPLY => Operator::Multiply,
        op::DIVIDE => Operator::Divide,
        op::MODULO => Operator::Modulo,
        _ => return None,
    })
}

fn order(name: &str) -> Option<Order> {
    Some(match name {
        op::LESS => Order::Less,
        op::LESS_EQUALS => Order::LessOrEqual,
        op::GREATER => Order::Greater,
        op::GREATER_EQUALS => Order::GreaterOrEqual,
        _ => return None,
    })
}
