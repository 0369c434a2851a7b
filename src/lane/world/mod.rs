//! Tests: the delivery protocol as a whole, driven by random schedules that may die between any two effects.
//!
//! A fake store keeps any prefix of the batches that were not flushed; a receiver keeps a book; several partitions
//! come, go and are lost.

pub(crate) mod check;
pub(crate) mod drive;
pub(crate) mod log;
pub(crate) mod solo;
