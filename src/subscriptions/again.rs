//! Dead letters that are sent again, by value: in one batch the letter goes and a ledger row comes (protocol section 7).

use crate::model::dead_letter::DeadLetter;
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::time::Timestamp;
use crate::runtime::random;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::subscriptions::cell::{Cell, Hands};
use std::collections::HashMap;
use std::sync::Arc;

/// Letters with the lane that each is for.
pub(crate) type Letters = Vec<(Arc<Cell>, DeadLetter)>;

/// Makes ledger rows of `letters`, due now, and gives them to their lanes once that is durable. Each has a stream of
/// its own: it is ordered against nothing.
pub(crate) async fn send(hands: &Hands, letters: Letters, now: Timestamp) -> Result<usize, StoreError> {
    let (mut batch, sent) = (Batch::new(), letters.len());
    let mut rows: HashMap<_, (Arc<Cell>, Vec<_>)> = HashMap::new();
    for (cell, letter) in letters {
        let stream = u128::from_be_bytes(random::secret()).max(1);
        let key = LedgerKey { stream, ..LedgerKey::of(&letter.event, cell.sid) };
        let ordering_key = letter.event.key.clone();
        let head = LedgerHead { attempts: 0, first: now, due: now, last: None, ordering_key, body_len: 0 };
        batch.drop_dead_letter(&letter);
        let head = LedgerHead { body_len: batch.park(&key, &head, &letter.event), ..head };
        rows.entry(cell.sid).or_insert_with(|| (cell, Vec::new())).1.push((key, head));
    }
    hands.store.durable(batch).await?;
    for (cell, rows) in rows.into_values() {
        cell.act(|lane, turn| lane.adopt(rows, turn));
    }
    Ok(sent)
}
