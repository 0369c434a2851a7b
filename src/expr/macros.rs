//! How the macros over lists and maps are written.

use crate::expr::node::LoopKind;
use cel::common::ast::{Expr, IdedExpr};

/// One way to write a macro.
#[derive(Clone, Copy, Debug)]
pub struct LoopSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub kind: LoopKind,
    /// How many of its arguments are names it binds.
    pub names: usize,
    /// How many arguments it takes, the receiver not counted.
    pub takes: usize,
    /// How it is written.
    pub usage: &'static str,
}

/// All ways.
pub const LOOPS: &[LoopSpec] = &[
    spec("all", LoopKind::All, (1, 2), "list.all(entry, condition)"),
    spec("all", LoopKind::All, (2, 3), "list.all(index, entry, condition)"),
    spec("exists", LoopKind::Exists, (1, 2), "list.exists(entry, condition)"),
    spec("exists", LoopKind::Exists, (2, 3), "list.exists(index, entry, condition)"),
    spec("exists_one", LoopKind::ExistsOne, (1, 2), "list.exists_one(entry, condition)"),
    spec("existsOne", LoopKind::ExistsOne, (1, 2), "list.existsOne(entry, condition)"),
    spec("existsOne", LoopKind::ExistsOne, (2, 3), "list.existsOne(index, entry, condition)"),
    spec("filter", LoopKind::Filter, (1, 2), "list.filter(entry, condition)"),
    spec("map", LoopKind::Map, (1, 2), "list.map(entry, value)"),
    spec("map", LoopKind::Map, (1, 3), "list.map(entry, condition, value)"),
    spec("transformList", LoopKind::Map, (2, 3), "list.transformList(index, entry, value)"),
    spec("transformList", LoopKind::Map, (2, 4), "list.transformList(index, entry, condition, value)"),
    spec("transformMap", LoopKind::TransformMap, (2, 3), "map.transformMap(key, entry, value)"),
    spec("transformMap", LoopKind::TransformMap, (2, 4), "map.transformMap(key, entry, condition, value)"),
    spec("sortBy", LoopKind::SortBy, (1, 2), "list.sortBy(entry, key)"),
];

const fn spec(name: &'static str, kind: LoopKind, (names, takes): (usize, usize), usage: &'static str) -> LoopSpec {
    LoopSpec { name, kind, names, takes, usage }
}

/// The name that `argument` of the macro is.
///
/// # Errors
/// It is none.
pub fn name_of<'e>(argument: &'e IdedExpr, named: &str) -> Result<&'e str, String> {
    match &argument.expr {
        Expr::Ident(name) if !name.starts_with('.') => Ok(name),
        _ => Err(format!("the first argument of `{named}` is a name for the entry")),
    }
}
