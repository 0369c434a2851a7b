//! Topics by number: rows carry four bytes instead of a name. A number is made once, durably, and never used again.

use crate::runtime::fault;
use crate::store::engine::{self, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::row;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the keys of topics begin.
pub(crate) const PREFIX: &[u8] = b"topic/";

/// The numbers that were made so far; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Topics(Arc<Mutex<HashMap<Arc<str>, u32>>>);

// === impl Topics ===

impl Topics {
    /// Reads them.
    pub(crate) fn load(engine: &(impl Engine + ?Sized)) -> Result<Self, StoreError> {
        let mut numbers = HashMap::new();
        engine::each_row(engine, (Tree::Meta, PREFIX), &[], |key, value| {
            let name = std::str::from_utf8(&key[PREFIX.len()..]).map_err(|error| StoreError::row(key, error))?;
            let number = value.get(1..).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
            numbers.insert(Arc::from(name), number.ok_or_else(|| StoreError::row(key, "it is no number"))?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Self(Arc::new(Mutex::new(numbers))))
    }

    /// A topic's number, if it has one.
    pub(crate) fn find(&self, topic: &str) -> Option<u32> {
        self.lock().get(topic).copied()
    }

    /// The topics by their numbers.
    pub(crate) fn names(&self) -> HashMap<u32, Arc<str>> {
        self.lock().iter().map(|(topic, number)| (*number, Arc::clone(topic))).collect()
    }

    /// A topic's number; a new one is durable before a row uses it. Only the writer makes numbers.
    pub(crate) fn number(&self, engine: &impl Engine, topic: &Arc<str>) -> Result<u32, StoreError> {
        if let Some(number) = self.find(topic) {
            return Ok(number);
        }
        let number = self.lock().values().max().map_or(1, |most| most + 1);
        let key = [PREFIX, topic.as_bytes()].concat();
        engine.apply(Tree::Meta, &[Op::Put(key, [&[row::VERSION][..], &number.to_be_bytes()].concat())])?;
        fault::point("topic.number");
        engine.flush()?;
        self.lock().insert(Arc::clone(topic), number);
        Ok(number)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
