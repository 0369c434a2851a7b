//! Topics by number: rows carry four bytes instead of a name. A number is made once, durably, and never used again.
//!
//! With the number stands the topic's id, as far as it is known. When the name stands for another id, the topic was
//! deleted and made anew: the old one keeps number and rows under a name that no topic of Kafka can have, the new one
//! gets a number of its own.

use crate::model::topic::TopicId;
use crate::runtime::fault;
use crate::store::engine::{self, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::row;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the keys of topics begin.
pub(crate) const PREFIX: &[u8] = b"topic/";
/// Stands in no name of Kafka's.
const RETIRED: char = '~';

/// The topics that are known so far; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Topics(Arc<Mutex<HashMap<Arc<str>, Topic>>>);

/// The writer's view: it alone makes numbers, and durably before a row uses them.
pub(crate) struct Numbers<'a> {
    pub(crate) topics: &'a Topics,
    pub(crate) engine: &'a dyn Engine,
}

#[derive(Clone, Copy, Debug)]
struct Topic {
    number: u32,
    id: Option<TopicId>,
}

/// The name under which a topic's rows stand when another topic has its name.
#[must_use]
pub(crate) fn retired(topic: &str, number: u32) -> Arc<str> {
    format!("{topic}{RETIRED}{number}").into()
}

/// The name that a retired topic had; `None`: it is not retired.
#[must_use]
pub(crate) fn once(name: &str) -> Option<&str> {
    name.rsplit_once(RETIRED).map(|(topic, _)| topic)
}

/// The number in a topic's row.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    Topic::read(value).map(|topic| topic.number)
}

// === impl Topics ===

impl Topics {
    /// Reads them.
    pub(crate) fn load(engine: &(impl Engine + ?Sized)) -> Result<Self, StoreError> {
        let mut topics = HashMap::new();
        engine::each_row(engine, (Tree::Meta, PREFIX), &[], |key, value| {
            let name = std::str::from_utf8(&key[PREFIX.len()..]).map_err(|error| StoreError::row(key, error))?;
            topics.insert(Arc::from(name), Topic::read(value).ok_or_else(|| StoreError::row(key, "it is no topic"))?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Self(Arc::new(Mutex::new(topics))))
    }

    /// A topic's number, if it has one.
    pub(crate) fn find(&self, topic: &str) -> Option<u32> {
        self.lock().get(topic).map(|topic| topic.number)
    }

    /// A topic's id, if it is known.
    pub(crate) fn id(&self, topic: &str) -> Option<TopicId> {
        self.lock().get(topic).and_then(|topic| topic.id)
    }

    /// All numbers that a topic's name ever had: what it was when a row was written is not known any more.
    pub(crate) fn ever(&self, topic: &str) -> Vec<u32> {
        let topics = self.lock();
        let of = topics.iter().filter(|(name, _)| once(name).unwrap_or(name) == topic);
        of.map(|(_, topic)| topic.number).collect()
    }

    /// The topics by their numbers.
    pub(crate) fn names(&self) -> HashMap<u32, Arc<str>> {
        self.lock().iter().map(|(name, topic)| (topic.number, Arc::clone(name))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Topic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Numbers ===

impl Numbers<'_> {
    /// A topic's number; made when it has none.
    pub(crate) fn of(&self, topic: &Arc<str>) -> Result<u32, StoreError> {
        if let Some(number) = self.topics.find(topic) {
            return Ok(number);
        }
        let number = self.next();
        self.write(&[(Arc::clone(topic), Topic { number, id: None })])?;
        Ok(number)
    }

    /// A topic's name stands for this id from now on.
    pub(crate) fn know(&self, topic: &Arc<str>, id: TopicId) -> Result<(), StoreError> {
        let known = self.topics.lock().get(topic).copied();
        let id = Some(id);
        match known {
            Some(known) if known.id == id => Ok(()),
            Some(Topic { number, id: None }) => self.write(&[(Arc::clone(topic), Topic { number, id })]),
            None => self.write(&[(Arc::clone(topic), Topic { number: self.next(), id })]),
            Some(old) => {
                let new = Topic { number: self.next(), id };
                self.write(&[(retired(topic, old.number), old), (Arc::clone(topic), new)])
            }
        }
    }

    fn next(&self) -> u32 {
        self.topics.lock().values().map(|topic| topic.number).max().map_or(1, |most| most + 1)
    }

    fn write(&self, topics: &[(Arc<str>, Topic)]) -> Result<(), StoreError> {
        let put = |(name, topic): &(Arc<str>, Topic)| Op::Put([PREFIX, name.as_bytes()].concat(), topic.write());
        self.engine.apply(Tree::Meta, &topics.iter().map(put).collect::<Vec<_>>())?;
        fault::point("topic.number");
        self.engine.flush()?;
        self.topics.lock().extend(topics.iter().cloned());
        Ok(())
    }
}

// === impl Topic ===

impl Topic {
    /// The number's four bytes, and the id's sixteen when it is known.
    fn read(value: &[u8]) -> Option<Self> {
        let number = u32::from_be_bytes(value.get(1..5)?.try_into().ok()?);
        match value.get(5..)? {
            [] => Some(Self { number, id: None }),
            id => Some(Self { number, id: TopicId::from_bytes(id.try_into().ok()?) }),
        }
    }

    fn write(self) -> Vec<u8> {
        let id = self.id.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        [&[row::VERSION][..], &self.number.to_be_bytes(), &id].concat()
    }
}
