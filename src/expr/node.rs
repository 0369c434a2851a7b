//! A compiled expression: names looked up, functions found, macros written out. Made by `compile`, run by `eval`.

use crate::expr::functions::function::Function;
use crate::expr::operators::Operator;
use crate::expr::path::Path;
use crate::expr::value::Cel;
use crate::model::secret::Secret;
use regex::Regex;
use std::cmp::Ordering;

/// One node.
#[derive(Clone, Debug)]
pub enum Node {
    /// A literal.
    Constant(Cel<'static>),
    /// A name in scope and the plain steps after it.
    Path(Path),
    /// A name a macro binds: its slot, and the name for failures.
    Local(usize, Box<str>),
    /// `of.key`
    Select(Box<Node>, Box<str>),
    /// `of.?key`
    Maybe(Box<Node>, Box<str>),
    /// `has(of.key)`
    Has(Box<Node>, Box<str>),
    /// `of[at]`
    Index(Box<(Node, Node)>),
    /// `of[?at]`
    MaybeIndex(Box<(Node, Node)>),
    /// `[a, ?b]`
    List(Vec<(Node, Presence)>),
    /// `{a: b, ?c: d}`
    Map(Vec<(Node, Node, Presence)>),
    /// `!a`
    Not(Box<Node>),
    /// `-a`
    Negate(Box<Node>),
    /// `a && b`
    And(Box<(Node, Node)>),
    /// `a || b`
    Or(Box<(Node, Node)>),
    /// `a ? b : c`
    If(Box<(Node, Node, Node)>),
    /// `a == b`, `a != b`: whether they are to be equal
    Equal(Box<(Node, Node)>, Wanted),
    /// `a < b` and the like
    Order(Box<(Node, Node)>, Order),
    /// `a + b` and the like
    Operate(Operator, Box<(Node, Node)>),
    /// `a in b`
    In(Box<(Node, Node)>),
    /// `a.matches("literal")`
    Matches(Box<Node>, Regex),
    /// `hmac(a, "name")`, with the secret of that name; none when it was not read
    Hmac(Box<Node>, Option<Secret>),
    /// A call; the receiver of a method is its first argument.
    Call(&'static Function, Vec<Node>),
    /// A macro that goes over a list or a map.
    Loop(Box<Loop>),
    /// `cel.bind`, `optMap`, `optFlatMap`
    Bind(Box<Bind>),
}

/// Whether an entry of a literal is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Always,
    /// When its optional value is present.
    WhenPresent,
}

/// What a comparison for equality asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

/// The comparisons by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A macro over a list (its entries; with two names: index and entry) or a map (its keys; key and value).
#[derive(Clone, Debug)]
pub struct Loop {
    /// What becomes of the entries.
    pub kind: LoopKind,
    /// What it goes over.
    pub range: Node,
    /// The slot of the first name.
    pub first: usize,
    /// The slot of the second name.
    pub second: Option<usize>,
    /// Which entries it takes; all without.
    pub filter: Option<Node>,
    /// What it asks or makes of each.
    pub body: Node,
}

/// The macros over lists and maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    /// `all`
    All,
    /// `exists`
    Exists,
    /// `exists_one`, `existsOne`
    ExistsOne,
    /// `filter`
    Filter,
    /// `map`, `transformList`
    Map,
    /// `transformMap`
    TransformMap,
    /// `sortBy`
    SortBy,
}

/// A value bound to a name for one expression.
#[derive(Clone, Debug)]
pub struct Bind {
    /// How.
    pub kind: BindKind,
    /// The value.
    pub value: Node,
    /// Its slot.
    pub slot: usize,
    /// The expression.
    pub body: Node,
}

/// The macros that bind one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindKind {
    /// `cel.bind`
    Plain,
    /// `optMap`: of the value of a present optional, an optional
    OptMap,
    /// `optFlatMap`: the body is an optional itself
    OptFlatMap,
}

// === impl Order ===

impl Order {
    /// Whether `found` is what the comparison asks for.
    #[must_use]
    pub fn holds(self, found: Ordering) -> bool {
        match self {
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }
}

// === impl Node ===

impl Node {
    /// The node as a user would write it, when it is names and keys only.
    #[must_use]
    pub fn spell(&self) -> Option<String> {
        match self {
            Self::Path(path) => Some(path.to_string()),
            Self::Local(_, name) => Some(name.to_string()),
            Self::Select(of, key) => Some(format!("{}.{key}", of.spell()?)),
            _ => None,
        }
    }
}
