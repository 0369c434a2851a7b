//! What the store holds of a partition comes to the lanes: with the partition, or without it when nobody brings it.

use crate::lane::partition::Opening;
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::store::error::StoreError;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::snapshot::Snapshot;
use std::collections::HashMap;
use tracing::{debug, info};

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
    let mut rows: HashMap<Sid, Vec<_>> = HashMap::new();
    for (key, head) in hands.store.ledger_heads_of(at)? {
        rows.entry(key.sid).or_default().push((key, head));
    }
    info!(topic = %at.topic, partition = at.partition, subscriptions = rows.len(), "owed, though nothing is read of it");
    for entry in snapshot.iter() {
        let Some(rows) = rows.remove(&entry.subscription.sid) else { continue };
        entry.cell.act(|lane, turn| lane.owe(at, rows, turn));
    }
    Ok(())
}
