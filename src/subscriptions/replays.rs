//! Replays: begun, looked at, called off (protocol section 7). A replay is a stream of its own, a place on each
//! partition it reads; the row says what was asked for, its cursors say how far it is.

use crate::lane::signal::PlaceKey;
use crate::model::cursor::{BehindReason, CursorKey, CursorMode, CursorRow};
use crate::model::replay::{Replay, Stretch};
use crate::model::subscription::Start;
use crate::runtime::fault;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::subscriptions::cell::{Cell, Hands};
use std::sync::Arc;

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Partitions that are not done: something is unread, or waits to be accepted.
    pub open: usize,
    /// Offsets that are settled; all others are to come.
    pub settled: i64,
}

/// Begins a replay: it is durable when this answers.
///
/// # Errors
/// The store did not take it.
pub async fn begin(hands: &Hands, cell: &Arc<Cell>, replay: &Replay) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    fault::point("replay.begin");
    batch.replay(replay);
    let rows: Vec<_> = replay.stretches.iter().map(|stretch| (place(replay, stretch), row(replay, stretch))).collect();
    for (place, row) in &rows {
        batch.cursor(&cursor(replay, place), row);
    }
    cell.narrowed.add(replay.stream, &replay.types); // before anybody can read for it
    hands.store.durable(batch).await?;
    for (place, row) in rows {
        // A partition that is not ours now brings its cursors when it comes.
        if let Some(epoch) = hands.partitions.with(&place.at, |progress| progress.epoch()) {
            cell.act(|lane, turn| lane.begin(place, (epoch, row), turn));
            hands.readers.has_cursor(cell.sid, cell);
        }
    }
    Ok(())
}

/// How far `replay` is. Blocks.
///
/// # Errors
/// The store cannot be read.
pub fn progress(store: &Store, replay: &Replay) -> Result<Progress, StoreError> {
    let mut progress = Progress { open: 0, settled: replay.total() };
    for stretch in &replay.stretches {
        let cursors = store.cursors_of(&stretch.at)?;
        if let Some((_, row)) = cursors.iter().find(|(key, _)| key.sid == replay.sid && key.stream == replay.stream) {
            progress.open += 1;
            progress.settled -= stretch.to - row.offset.min(stretch.to);
        }
    }
    Ok(progress)
}

/// Calls a replay off: nothing of it is sent any more, its cursors, its rows and itself are removed. What was sent
/// was sent.
///
/// # Errors
/// The store cannot be read, or did not take it.
pub async fn call_off(hands: &Hands, cell: &Arc<Cell>, replay: &Replay) -> Result<(), StoreError> {
    let end = || {
        let places = replay.stretches.iter().map(|stretch| place(replay, stretch));
        cell.act(|lane, turn| places.for_each(|place| lane.end(&place, turn)));
    };
    end();
    let (store, wanted) = (hands.store.clone(), replay.clone());
    let batch = tokio::task::spawn_blocking(move || {
        store.settle()?; // what the lane wrote before it ended is there to be found
        let mut batch = Batch::new();
        for stretch in &wanted.stretches {
            batch.drop_cursor(&cursor(&wanted, &place(&wanted, stretch)));
            for (key, head) in store.ledger_heads_of(&stretch.at)? {
                if key.sid == wanted.sid && key.stream == wanted.stream {
                    batch.unpark(&key, head.body_len);
                }
            }
        }
        fault::point("replay.off");
        batch.drop_replay(&wanted);
        Ok(batch)
    });
    hands.store.durable(batch.await.map_err(|_| StoreError::Closed)??).await?;
    end(); // a partition that came meanwhile brought it back
    cell.narrowed.remove(replay.stream);
    Ok(())
}

fn place(replay: &Replay, stretch: &Stretch) -> PlaceKey {
    PlaceKey { at: stretch.at.clone(), stream: replay.stream }
}

fn cursor(replay: &Replay, place: &PlaceKey) -> CursorKey {
    CursorKey { at: place.at.clone(), stream: place.stream, sid: replay.sid }
}

fn row(replay: &Replay, stretch: &Stretch) -> CursorRow {
    let near = if let Start::At(time) = replay.from { Some(time) } else { None };
    let (mode, reason) = (CursorMode::Behind, BehindReason::Replay);
    CursorRow { mode, offset: stretch.from, near, since: replay.created, reason, to: Some(stretch.to) }
}
