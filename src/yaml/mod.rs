//! Text to values that know their place.
//!
//! The way: text -> [`reader`] -> [`node::Node`] -> [`fields`] (field by field, all mistakes together) -> what the
//! room that asks makes of it; [`report`] shows the mistakes with the lines they stand in. A JSON document becomes
//! the same `Node`, so there is one way to read what a user wrote. Back: [`writer`], and [`edit`], which replaces one
//! value and leaves the rest of a file as it is.

pub mod edit;
pub mod fields;
pub mod node;
pub mod reader;
pub mod report;
pub mod units;
pub mod writer;
