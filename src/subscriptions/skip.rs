//! From behind to where intake stands, on purpose: cursors go, and what lies between never comes (`resume` from now).
//!
//! Rows of the ledger stay: they were tried, and are owed. Replays have streams of their own, and stay too.

use crate::model::cursor::CursorMode;
use crate::model::record::TopicPartition;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::subscriptions::cell::{Cell, Hands};
use std::sync::Arc;

/// What was skipped of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The partition.
    pub at: TopicPartition,
    /// The first offset that is skipped.
    pub from: i64,
    /// The first that is not; `None` for a partition that is not read now: where the group has come to in it.
    pub to: Option<i64>,
}

/// Skips all that this lane's main stream has not come to. Durable when it answers. The lane must be shut.
///
/// # Errors
/// The store cannot be read, or did not take it.
pub(crate) async fn to_now(hands: &Arc<Hands>, cell: &Arc<Cell>) -> Result<Vec<Skipped>, StoreError> {
    let places = cell.act(|lane, _| {
        let main = lane.cursors().filter(|(place, row)| place.stream == 0 && row.mode == CursorMode::Behind);
        main.map(|(place, _)| place.at.clone()).collect::<Vec<_>>()
    });
    let mut skipped = Vec::new();
    for at in places {
        // A record that is on its way to the lane at this moment belongs to either side.
        let Some(position) = hands.partitions.with(&at, |progress| progress.position()) else { continue };
        let from = cell.act(|lane, turn| lane.skip(&at, position, turn));
        skipped.extend(from.map(|from| Skipped { at, from, to: Some(position) }));
    }
    let (inner, sid) = (Arc::clone(hands), cell.sid);
    let cursors = tokio::task::spawn_blocking(move || {
        inner.store.settle()?; // what the lane has just written is there to be seen
        inner.store.cursors()
    });
    let mut batch = Batch::new();
    for (key, row) in cursors.await.map_err(|_| StoreError::Closed)?? {
        let ours = key.sid == sid && key.stream == 0 && row.mode == CursorMode::Behind;
        if ours && !hands.partitions.is_open(&key.at) {
            batch.drop_cursor(&key);
            skipped.push(Skipped { at: key.at, from: row.offset, to: None });
        }
    }
    hands.store.durable(batch).await?;
    skipped.sort_by(|one, other| one.at.cmp(&other.at));
    Ok(skipped)
}
