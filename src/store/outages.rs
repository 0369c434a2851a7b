//! Outages in the tree `state`: `F<sid>` since when an endpoint fails, so that a restart does not count anew.

use crate::model::id::Sid;
use crate::model::time::Timestamp;
use crate::store::engine::{self, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::key::FAILING;
use crate::store::row;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

#[derive(Serialize, Deserialize)]
struct OutageForm {
    since: i64,
}

/// The change that makes a row say since when it fails; `None`: that it does not.
pub(crate) fn write(sid: Sid, since: Option<Timestamp>) -> Op {
    let key = [&[FAILING][..], &sid.to_bytes()].concat();
    match since {
        Some(since) => Op::Put(key, row::write(&OutageForm { since: since.as_millis() })),
        None => Op::Delete(key),
    }
}

/// The subscription in a row's key.
pub(crate) fn sid_of(key: &[u8]) -> Option<Sid> {
    Some(Sid::from_bytes(key.get(1..)?.try_into().ok()?))
}

/// Whose endpoint fails, and since when.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<(Sid, Timestamp), StoreError> {
    let sid = sid_of(key).ok_or_else(|| StoreError::row(key, "it is no outage of ours"))?;
    Ok((sid, Timestamp::from_millis(row::read::<OutageForm>(key, value)?.since)))
}

/// All outages.
pub(crate) fn all(engine: &dyn Engine) -> Result<Vec<(Sid, Timestamp)>, StoreError> {
    let mut all = Vec::new();
    engine::each_row(engine, (Tree::State, &[FAILING]), &[], |key, value| {
        all.push(read(key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}
