//! CEL and templates: pure functions of what is in scope; the room that names `cel`.
//!
//! Everything is compiled at load ([`expression`], [`text`], [`template`]) and run per record within a
//! [`limits::Budget`] over names lent by a [`scope::Scope`]. A plain path never enters CEL (`path`). `cel` parses;
//! we check names and functions at load (`compile`) and evaluate over the borrowed JSON (`eval`), because a copy
//! of the payload into cel's own values costs more than everything else and nothing in cel counts steps.

pub mod expression;
pub mod failure;
pub mod limits;
pub mod mistake;
pub mod scope;
pub mod template;
pub mod text;
