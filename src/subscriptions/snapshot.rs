//! All subscriptions at one moment: found by id, and matched with events. A change makes a new one.

use crate::lane::settings::DeliverySettings;
use crate::lane::signal::Turn;
use crate::lane::state::Lane;
use crate::matching::index::Index;
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::Sid;
use crate::model::subscription::{State, Subscription, Tenant};
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::compile;
use crate::subscriptions::error::DirectoryError;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tracing::error;

/// All subscriptions at one moment.
#[derive(Default)]
pub struct Snapshot {
    pub(crate) all: BTreeMap<String, Arc<Entry>>,
    /// Those that can be read, in the order of the index: paused and disabled ones too, for they go behind.
    indexed: Vec<Arc<Entry>>,
    index: Index,
}

/// A subscription and its lane.
pub struct Entry {
    /// What it says.
    pub subscription: Arc<Subscription>,
    /// Its lane.
    pub cell: Arc<Cell>,
}

/// What one record holds for one subscription; taken whole or not at all.
pub struct Group {
    /// For whom.
    pub cell: Arc<Cell>,
    /// What, in the order of the record.
    pub events: Vec<Arc<Emitted>>,
}

// === impl Snapshot ===

impl Snapshot {
    pub(crate) fn new(all: BTreeMap<String, Arc<Entry>>) -> Self {
        let (mut indexed, mut candidates) = (Vec::new(), Vec::new());
        for entry in all.values() {
            match compile::candidate(&entry.subscription) {
                Ok(candidate) => {
                    candidates.push(candidate);
                    indexed.push(Arc::clone(entry));
                }
                Err(why) => error!(subscription = %entry.subscription.id, why, "matches nothing: it cannot be read"),
            }
        }
        Self { all, indexed, index: Index::build(candidates) }
    }

    /// Who gets these events of one record, and which of them.
    #[must_use]
    pub fn takers(&self, events: &[Arc<Emitted>]) -> Vec<Group> {
        self.takers_where(events, |_| true)
    }

    /// As [`Snapshot::takers`], but only of these subscriptions.
    #[must_use]
    pub fn takers_among(&self, events: &[Arc<Emitted>], riders: &HashSet<Sid>) -> Vec<Group> {
        self.takers_where(events, |sid| riders.contains(&sid))
    }

    fn takers_where(&self, events: &[Arc<Emitted>], meant: impl Fn(Sid) -> bool) -> Vec<Group> {
        let mut groups: Vec<(usize, Group)> = Vec::new();
        for event in events {
            let matches = self.index.matches(&event.event).into_iter();
            for position in matches.filter(|position| meant(self.indexed[*position].cell.sid)) {
                match groups.iter_mut().find(|(at, _)| *at == position) {
                    Some((_, group)) => group.events.push(Arc::clone(event)),
                    None => {
                        let cell = Arc::clone(&self.indexed[position].cell);
                        groups.push((position, Group { cell, events: vec![Arc::clone(event)] }));
                    }
                }
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// The lanes of operators (tenant `*`) who ask for this event.
    pub(crate) fn operators(&self, event: &IntegrationEvent) -> Vec<Arc<Cell>> {
        let entries = self.index.matches(event).into_iter().map(|position| &self.indexed[position]);
        let operators = entries.filter(|entry| entry.subscription.tenant == Tenant::All);
        operators.map(|entry| Arc::clone(&entry.cell)).collect()
    }

    /// The subscription with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.all.get(id)
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.all.values()
    }
}

/// A subscription made ready, with a lane that holds nothing yet.
pub(crate) fn enter(
    hands: &Arc<Hands>,
    defaults: &DeliverySettings,
    subscription: Subscription,
) -> Result<Entry, DirectoryError> {
    let target = compile::target(&subscription, defaults)?;
    let settings = compile::lane_settings(&subscription, defaults);
    let (sid, state) = (subscription.sid, subscription.status.state);
    let cell = Cell::new(sid, Lane::new(sid, settings), target, Arc::clone(hands));
    cell.act(|lane, turn| stand(lane, state, turn));
    Ok(Entry { subscription: Arc::new(subscription), cell })
}

/// The lane does as the subscription's state says.
pub(crate) fn stand(lane: &mut Lane, state: State, turn: &mut Turn<'_>) {
    match state {
        State::Active => lane.resume(turn),
        State::Paused => lane.pause(turn),
        State::Disabled => lane.disable(turn),
        State::Unverified => lane.await_consent(turn),
    }
}
