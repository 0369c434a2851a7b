//! CEL and templates: pure functions of what is in scope; the room that names `cel`.
//!
//! Everything is compiled at load ([`expression`], [`text`], [`template`]) and run per record within a
//! [`limits::Budget`] over names lent by a [`scope::Scope`]. A plain path never enters CEL ([`path`]). `cel` parses;
//! we check names and functions at load ([`compile`]) and evaluate over the borrowed JSON ([`eval`]), because a copy
//! of the payload into cel's own values costs more than everything else and nothing in cel counts steps.

pub mod compare;
pub mod compile;
pub mod directives;
pub mod eval;
pub mod expression;
pub mod failure;
pub mod fragments;
pub mod functions;
pub mod gather;
pub mod limits;
pub mod macros;
pub mod mistake;
pub mod node;
pub mod operators;
pub mod parse;
pub mod path;
pub mod reshape;
pub mod scope;
pub mod secrets;
pub mod shape;
pub mod template;
pub mod text;
pub mod value;
pub mod view;
