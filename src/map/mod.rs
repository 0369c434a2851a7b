//! Domain event to integration events.
//!
//! Takes a decoded record, gives for each mapping of its topic the events it becomes or the fault that tells why
//! not. Pure: the same record gives the same events with the same ids. Knows no subscription, and not what becomes
//! of a fault.

mod attribute;
mod compile;
pub mod error;
pub mod mapping;
mod run;
mod surroundings;
mod tables;
mod trace;
pub mod written;

use crate::map::mapping::{Mapping, OnError, TopicSelector};
use crate::map::surroundings::Surroundings;
use crate::map::written::Rules;
use crate::model::event::{DomainEvent, IntegrationEvent};
use crate::model::problem::Problems;
use crate::model::quarantine::Fault;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// All mappings, found by topic.
#[derive(Debug)]
pub struct Mappings {
    mappings: Vec<Mapping>,
    tables: Value,
    topics: Vec<TopicSelector>,
    by_name: HashMap<String, Vec<usize>>,
    by_pattern: Vec<(TopicSelector, usize)>,
}

/// What one mapping made of a record.
#[derive(Debug)]
pub struct Mapped {
    /// The mapping.
    pub mapping: Arc<str>,
    /// Its events, none when `when` says no; or why it failed.
    pub result: Result<Vec<IntegrationEvent>, Fault>,
    /// What becomes of the record when it failed.
    pub on_error: OnError,
}

// === impl Mappings ===

impl Mappings {
    /// Mappings in their order, and the tables they share, by name.
    #[must_use]
    pub fn new(mappings: Vec<Mapping>, tables: Value) -> Self {
        let topics = mappings.iter().flat_map(|mapping| mapping.from.clone()).collect();
        let (mut by_name, mut by_pattern) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (index, mapping) in mappings.iter().enumerate() {
            for selector in &mapping.from {
                match selector {
                    TopicSelector::Name(name) => by_name.entry(name.clone()).or_default().push(index),
                    TopicSelector::Pattern(_) => by_pattern.push((selector.clone(), index)),
                }
            }
        }
        Self { mappings, tables, topics, by_name, by_pattern }
    }

    /// What each mapping of the record's topic makes of it, in the order of the mappings.
    #[must_use]
    pub fn map(&self, event: &DomainEvent<'_>) -> Vec<Mapped> {
        let around = Surroundings::new(event, &self.tables);
        let mut ord = 0;
        let mapped = |mapping: &Mapping| {
            let mut result = run::run(mapping, &around);
            for event in result.iter_mut().flatten() {
                event.ord = ord;
                ord += 1;
            }
            Mapped { mapping: Arc::clone(&mapping.name), result, on_error: mapping.on_error }
        };
        self.of_topic(&event.record.origin.topic).map(mapped).collect()
    }

    /// What selects the topics that are read, as often as it is written.
    #[must_use]
    pub fn topics(&self) -> &[TopicSelector] {
        &self.topics
    }

    /// Whether some mapping reads `topic`.
    #[must_use]
    pub fn matches_topic(&self, topic: &str) -> bool {
        self.by_name.contains_key(topic) || self.by_pattern.iter().any(|(selector, _)| selector.matches(topic))
    }

    /// The names of all mappings, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.mappings.iter().map(|mapping| &*mapping.name)
    }

    fn of_topic(&self, topic: &str) -> impl Iterator<Item = &Mapping> {
        let mut found = self.by_name.get(topic).cloned().unwrap_or_default();
        found.extend(self.by_pattern.iter().filter(|(selector, _)| selector.matches(topic)).map(|(_, index)| *index));
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|index| &self.mappings[index])
    }
}

// === impl Rules ===

impl Rules {
    /// Ends the reading of files. With problems the mappings are those that have none; they must not run.
    pub fn finish(self, problems: &mut Problems) -> Mappings {
        self.unique(problems);
        Mappings::new(self.mappings, self.tables.into_value())
    }
}
