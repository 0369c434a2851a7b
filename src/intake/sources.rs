//! Which topics are read: those that the rules name, and those of the cluster that a pattern of theirs matches.

use crate::intake::keeper::Keeper;
use crate::kafka::group::{Group, GroupError};
use crate::pipeline::Pipeline;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{error, info};

/// How often the cluster is asked for topics that a pattern may match.
const LOOK: Duration = Duration::from_secs(15);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The topics that are read.
pub(crate) struct Sources {
    keeper: Arc<Keeper>,
    topics: BTreeSet<String>,
    looked: Option<Instant>,
    /// The rules by which topics were last looked for.
    rules: Option<Arc<Pipeline>>,
    /// What the cluster had when a pattern was last looked for.
    existing: Option<BTreeSet<String>>,
}

/// Whether the cluster was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It is time to ask for other things, too.
    Now,
    /// It is not time yet.
    NotYet,
}

// === impl Sources ===

impl Sources {
    pub(crate) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, topics: BTreeSet::new(), looked: None, rules: None, existing: None }
    }

    /// The topics that are subscribed to.
    pub(crate) fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// Subscribes to the topics that the rules read, when it is time.
    ///
    /// # Errors
    /// The cluster did not say which topics there are; it is asked again.
    pub(crate) fn look(&mut self, group: &Group, rules: &Arc<Pipeline>) -> Result<Looked, GroupError> {
        let same = self.rules.as_ref().is_some_and(|before| Arc::ptr_eq(before, rules));
        if same && self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(Looked::NotYet);
        }
        let first = self.looked.is_none();
        let listed = rules.has_patterns().then(|| group.topics(PATIENCE)).transpose();
        // At the start what is named is subscribed to all the same.
        let (existing, trouble) = match listed {
            Ok(existing) => (existing, None),
            Err(error) if first => (None, Some(error)),
            Err(error) => return Err(error),
        };
        (self.looked, self.rules) = (Some(Instant::now()), Some(Arc::clone(rules)));
        let wanted = rules.topics(existing.as_deref().unwrap_or_default());
        self.await_absent(group, &wanted, existing);
        if wanted != self.topics {
            self.subscribe(group, wanted);
        }
        trouble.map_or(Ok(Looked::Now), Err)
    }

    /// Topics that no rule reads any more are given back: drained and committed first, as at every revoke.
    fn subscribe(&mut self, group: &Group, wanted: BTreeSet<String>) {
        let gone = self.topics.difference(&wanted).collect::<Vec<_>>();
        if !gone.is_empty() {
            info!(topics = ?gone, "not read any more: what is out is drained, and what is owed stays where it is");
        }
        if wanted.is_empty() {
            group.withdraw();
        } else if let Err(error) = group.subscribe(&wanted.iter().map(String::as_str).collect::<Vec<_>>()) {
            error!(%error, "the topics were not taken");
        } else {
            info!(topics = ?wanted, "subscribed");
        }
        self.topics = wanted;
    }

    /// Notes which of the topics that are wanted from now on are not there, or were not when last looked: when they are
    /// made, they are read from their beginning, for all that they hold has come since.
    fn await_absent(&mut self, group: &Group, wanted: &BTreeSet<String>, existing: Option<Vec<String>>) {
        let new = wanted.difference(&self.topics).map(String::as_str).collect::<Vec<_>>();
        let absent: Vec<&str> = match &existing {
            Some(existing) => {
                let before = |name: &str| self.existing.as_ref().is_none_or(|before| before.contains(name));
                let there = |name: &str| existing.iter().any(|other| other == name);
                new.into_iter().filter(|name| !there(name) || !before(name)).collect()
            }
            None => match group.describe(&new, PATIENCE) {
                Ok(found) => {
                    new.into_iter().filter(|name| found.get(*name).is_some_and(|it| it.partitions == 0)).collect()
                }
                Err(_) => Vec::new(), // then they count as old
            },
        };
        if !absent.is_empty() {
            info!(topics = ?absent, "not there yet: read from their beginning when they are");
            self.keeper.known().awaited.extend(absent.into_iter().map(Arc::from));
        }
        self.existing = existing.map(|existing| existing.into_iter().collect()).or(self.existing.take());
    }
}
