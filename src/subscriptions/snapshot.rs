//! All subscriptions at one moment: found by id, and matched with events. A change makes a new one.

use crate::lane::settings::DeliverySettings;
use crate::lane::signal::Turn;
use crate::lane::state::Lane;
use crate::matching::index::Index;
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::Sid;
use crate::model::operational;
use crate::model::subscription::{State, Subscription, Tenant};
use crate::store::error::StoreError;
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::compile;
use crate::subscriptions::error::DirectoryError;
use std::collections::{BTreeMap, HashMap, HashSet};
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

/// Lanes learn at a start what the store holds of them beside Kafka's partitions: how much is dead, since when they
/// fail, what replays mean, which operational events they are owed.
pub(crate) fn recall(Hands { store, outbox, .. }: &Hands, cells: HashMap<Sid, &Arc<Cell>>) -> Result<(), StoreError> {
    for (sid, letters) in store.dead_weights()? {
        if let Some(cell) = cells.get(&sid) {
            cell.act(|lane, turn| lane.letters_found(letters, turn));
        }
    }
    for (sid, since) in store.outages()? {
        if let Some(cell) = cells.get(&sid) {
            cell.act(|lane, _| lane.failing_found(since));
        }
    }
    let (at, mut owed) = (operational::place(), HashMap::<Sid, Vec<_>>::new());
    for (key, head) in store.ledger_heads_of(&at)? {
        owed.entry(key.sid).or_default().push((key, head));
    }
    outbox.follow(owed.values().flatten().map(|(key, _)| key.offset).max().unwrap_or_default());
    for (sid, rows) in owed {
        if let Some(cell) = cells.get(&sid) {
            cell.act(|lane, turn| lane.owe(&at, rows, turn));
        }
    }
    for replay in store.replays(None)? {
        if let Some(cell) = cells.get(&replay.sid) {
            cell.narrowed.add(replay.stream, &replay.types);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::signal::{Disabling, Finished};
    use crate::metrics::Metrics;
    use crate::model::delivery::{LedgerHead, LedgerKey};
    use crate::model::id::EventId;
    use crate::model::operational::Happening;
    use crate::model::outcome::{Answer, Outcome, RetryAfter};
    use crate::model::record::TopicPartition;
    use crate::model::time::Timestamp;
    use crate::progress::partitions::Partitions;
    use crate::runtime::clock;
    use crate::store::Store;
    use crate::store::settings::StoreSettings;
    use crate::subscriptions::{Directory, written};
    use crate::yaml::node::Node;
    use std::path::Path;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3_600);

    /// All subscriptions, as a start finds them in the store of this folder.
    fn started(folder: &Path) -> Arc<Directory> {
        let settings = StoreSettings { path: folder.join("store"), min_free: 0, ..StoreSettings::default() };
        let store = Store::open(&settings, Box::new(|_| {})).unwrap();
        let hands = Hands::new(store, Arc::new(Partitions::default()), Metrics::new());
        Directory::load(Arc::new(hands), DeliverySettings::default()).unwrap()
    }

    fn stopped(directory: Arc<Directory>) {
        directory.hands().store.close().unwrap();
    }

    fn owed(cell: &Arc<Cell>) {
        let at = TopicPartition { topic: "t".into(), partition: 0 };
        let (sid, event, now) = (cell.sid, EventId::from_bytes([1; 16]), clock::now());
        let key = LedgerKey { at: at.clone(), sid, stream: 0, offset: 9, ord: 0, event };
        let head = LedgerHead { attempts: 1, first: now, due: now, last: None, ordering_key: None, body_len: 0 };
        cell.act(|lane, turn| lane.owe(&at, vec![(key, head)], turn));
    }

    /// The row is tried, in vain or not.
    fn tried(directory: &Directory, cell: &Arc<Cell>, (status, now): (u16, Timestamp)) {
        cell.act(|lane, turn| {
            turn.now = now;
            lane.tick(turn);
            let attempt = lane.start(now).unwrap().attempt;
            let answer = Answer { status, retry_after: RetryAfter::Absent, head: Default::default() };
            lane.finished(Finished { attempt, outcome: Outcome::Answered(answer), event: None }, turn);
        });
        directory.hands().store.settle().unwrap();
    }

    #[tokio::test]
    async fn sw_18_the_beginning_of_an_outage_survives_restarts_and_five_days_of_it_are_five_days() {
        let (folder, begun) = (tempfile::tempdir().unwrap(), clock::now().after(HOUR));
        let directory = started(folder.path());
        let body = serde_json::json!({ "url": "https://example.com/hooks", "types": ["com.acme.**"] });
        let guard = crate::egress::guard::Guard::new(Default::default());
        let made = written::create(&Node::from_json(&"test".into(), &body), &guard, begun).unwrap();
        let id = directory.create(made, Vec::new()).await.unwrap().id.clone();
        let cell = |directory: &Directory| Arc::clone(&directory.snapshot().get(&id).unwrap().cell);
        owed(&cell(&directory));
        tried(&directory, &cell(&directory), (500, begun));
        stopped(directory);

        let directory = started(folder.path());
        {
            let again = cell(&directory);
            assert_eq!(again.act(|lane, _| lane.vitals().failing_since()), Some(begun));
            owed(&again);
            let end = begun.after(HOUR * 24 * 5);
            for before in [2, 1] {
                let now = Timestamp::from_millis(end.as_millis() - before * 3_600_000);
                tried(&directory, &again, (500, now));
            }
            tried(&directory, &again, (500, end));
            assert_eq!(directory.hands().disabling.take().await, [(again.sid, Disabling::Failing)], "not before");
        }
        stopped(directory);

        let directory = started(folder.path());
        while !directory.hands().store.outages().unwrap().is_empty() {
            owed(&cell(&directory));
            tried(&directory, &cell(&directory), (204, begun.after(HOUR)));
        }
        stopped(directory);
        let directory = started(folder.path());
        assert_eq!(cell(&directory).act(|lane, _| lane.vitals().failing_since()), None, "it was well again");
        let told = directory.hands().store.outbox().unwrap().into_iter().map(|event| event.what).collect::<Vec<_>>();
        assert_eq!(told, [Happening::Failing, Happening::Recovered], "each once, whatever restarts there were");
    }
}
