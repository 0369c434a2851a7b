//! What the store holds comes to the lanes: at a start, with a partition, or without it when nobody brings it.

use crate::lane::partition::Opening;
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::id::Sid;
use crate::model::operational;
use crate::model::record::TopicPartition;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::subscriptions::cell::{Cell, Hands};
use crate::subscriptions::snapshot::Snapshot;
use std::collections::HashMap;
use std::sync::Arc;
use tracing::{debug, info};

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
    let at = operational::place();
    let owed = rows(store, &at)?;
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

/// The lanes get the cursors and rows that the store holds of a partition, in this epoch.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn open(hands: &Hands, snapshot: &Snapshot, (at, epoch): (&TopicPartition, u64)) -> Result<(), StoreError> {
    let mut openings: HashMap<Sid, Opening> = HashMap::new();
    for (key, row) in hands.store.cursors_of(at)? {
        openings.entry(key.sid).or_default().cursors.push((key.stream, row));
    }
    for (key, head) in hands.store.ledger_heads_of(at)? {
        openings.entry(key.sid).or_default().rows.push((key, head));
    }
    for entry in snapshot.iter() {
        let Some(opening) = openings.remove(&entry.subscription.sid) else { continue };
        if !opening.cursors.is_empty() {
            hands.readers.has_cursor(entry.cell.sid, &entry.cell);
        }
        let rows = (opening.rows.len(), opening.rows.first().map(|(key, _)| key.offset));
        let cursors = opening.cursors.iter().map(|(_, row)| (row.mode, row.offset)).collect::<Vec<_>>();
        debug!(subscription = %entry.subscription.sid, partition = at.partition, ?rows, ?cursors, "owed");
        entry.cell.act(|lane, turn| lane.open(at, Opening { epoch, ..opening }, turn));
    }
    Ok(())
}

/// The lanes get the rows of a partition that nobody brings.
///
/// # Errors
/// The store failed, or cannot be read.
pub(crate) fn owe(hands: &Hands, snapshot: &Snapshot, at: &TopicPartition) -> Result<(), StoreError> {
    hands.store.settle()?;
    let mut rows = rows(&hands.store, at)?;
    info!(topic = %at.topic, partition = at.partition, subscriptions = rows.len(), "owed, though nothing is read of it");
    for entry in snapshot.iter() {
        let Some(rows) = rows.remove(&entry.subscription.sid) else { continue };
        entry.cell.act(|lane, turn| lane.owe(at, rows, turn));
    }
    Ok(())
}

/// The rows of a partition, by whose they are.
fn rows(store: &Store, at: &TopicPartition) -> Result<HashMap<Sid, Vec<(LedgerKey, LedgerHead)>>, StoreError> {
    let mut rows: HashMap<Sid, Vec<_>> = HashMap::new();
    for (key, head) in store.ledger_heads_of(at)? {
        rows.entry(key.sid).or_default().push((key, head));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::settings::DeliverySettings;
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
