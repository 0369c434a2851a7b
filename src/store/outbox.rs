//! Operational events in the tree `state`, until they are owed to those who ask for them: `E<number><sid>`. They are
//! written with what they tell of and go with the ledger rows that they become, so that a kill loses none.

use crate::model::id::Sid;
use crate::model::operational::{Happening, Operational};
use crate::model::time::Timestamp;
use crate::store::engine::{self, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::key::OUTBOX;
use crate::store::row;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::ops::ControlFlow;

#[derive(Serialize, Deserialize)]
struct OperationalForm {
    what: String,
    at: i64,
    detail: Map<String, Value>,
}

/// The change that adds an event.
pub(crate) fn put(event: &Operational) -> Op {
    let (what, at, detail) = (event.what.as_str().into(), event.at.as_millis(), event.detail.clone());
    Op::Put(key(event), row::write(&OperationalForm { what, at, detail }))
}

/// The change that removes it.
pub(crate) fn delete(event: &Operational) -> Op {
    Op::Delete(key(event))
}

fn key(event: &Operational) -> Vec<u8> {
    [&[OUTBOX][..], &event.number.to_be_bytes(), &event.about.to_bytes()].concat()
}

/// An event from its row.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Operational, StoreError> {
    let parts = key.get(1..).and_then(<[u8]>::split_first_chunk::<8>);
    let parts = parts.and_then(|(number, sid)| Some((i64::from_be_bytes(*number), sid.try_into().ok()?)));
    let (number, sid) = parts.ok_or_else(|| StoreError::row(key, "it is no operational event of ours"))?;
    let form: OperationalForm = row::read(key, value)?;
    let what = Happening::ALL.into_iter().find(|what| what.as_str() == form.what);
    let what = what.ok_or_else(|| StoreError::row(key, format!("unknown event {}", form.what)))?;
    let at = Timestamp::from_millis(form.at);
    Ok(Operational { number, about: Sid::from_bytes(sid), at, what, detail: form.detail })
}

/// All of them, the first first.
pub(crate) fn all(engine: &dyn Engine) -> Result<Vec<Operational>, StoreError> {
    let mut all = Vec::new();
    engine::each_row(engine, (Tree::State, &[OUTBOX]), &[], |key, value| {
        all.push(read(key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use crate::store::memory::Memory;
    use crate::store::tests::{operational, over, subscription};

    #[tokio::test]
    async fn whatever_instant_kills_no_status_is_there_without_the_event_that_tells_of_it() {
        let (engine, mut kept) = (Memory::default(), 0);
        let store = over(&engine);
        let one = subscription();
        store.amend_subscriptions(std::iter::once((&one, &[][..])), &[], &[operational()]).await.unwrap();
        store.close().unwrap();
        let history = engine.history();
        for many in 0..=history.len() {
            for left in Memory::after_kill(&history[..many]) {
                let store = over(&left);
                let there = !store.subscriptions().unwrap().is_empty();
                assert!(!there || store.outbox().unwrap() == [operational()], "after {many} events");
                kept += usize::from(there);
            }
        }
        assert!(kept > 0);
    }
}
