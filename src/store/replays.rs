//! Replays in the tree `config`: `replay/<sid><stream>` what was asked for. Where a replay stands, its cursors say.

use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::replay::{Replay, Stretch};
use crate::model::subscription::Start;
use crate::model::time::Timestamp;
use crate::store::engine::{self, Engine, Tree};
use crate::store::error::StoreError;
use crate::store::row;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// How the keys of replays begin.
pub(crate) const REPLAY: &[u8] = b"replay/";

#[derive(Serialize, Deserialize)]
struct ReplayForm {
    from: String,
    to: Option<i64>,
    created: i64,
    stretches: Vec<(String, i32, i64, i64)>,
    /// Replays of the first version have none: all types are meant.
    #[serde(default)]
    types: Vec<String>,
}

/// The key of a replay.
pub(crate) fn key(replay: &Replay) -> Vec<u8> {
    [&of(replay.sid)[..], &replay.stream.to_be_bytes()].concat()
}

/// The prefix of all replays of `sid`.
pub(crate) fn of(sid: Sid) -> Vec<u8> {
    [REPLAY, &sid.to_bytes()].concat()
}

/// The subscription in a replay's key.
pub(crate) fn sid_of(key: &[u8]) -> Option<Sid> {
    Some(Sid::from_bytes(key.strip_prefix(REPLAY)?.get(..16)?.try_into().ok()?))
}

/// All replays whose keys begin so, the oldest of each subscription first.
pub(crate) fn all(engine: &dyn Engine, prefix: &[u8]) -> Result<Vec<Replay>, StoreError> {
    let mut all = Vec::new();
    engine::each_row(engine, (Tree::Config, prefix), &[], |key, value| {
        all.push(read(key, value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

pub(crate) fn write(replay: &Replay) -> Vec<u8> {
    let stretch = |one: &Stretch| (one.at.topic.to_string(), one.at.partition, one.from, one.to);
    row::write(&ReplayForm {
        from: replay.from.to_string(),
        to: replay.to.map(Timestamp::as_millis),
        created: replay.created.as_millis(),
        stretches: replay.stretches.iter().map(stretch).collect(),
        types: replay.types.clone(),
    })
}

pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Replay, StoreError> {
    let stream = key.get(REPLAY.len() + 16..).and_then(|bytes| bytes.try_into().ok()).map(u128::from_be_bytes);
    let (Some(sid), Some(stream)) = (sid_of(key), stream) else {
        return Err(StoreError::row(key, "it is no replay of ours"));
    };
    let form: ReplayForm = row::read(key, value)?;
    let stretch = |(topic, partition, from, to): (String, i32, i64, i64)| {
        let at = TopicPartition { topic: topic.into(), partition };
        Stretch { at, from, to }
    };
    Ok(Replay {
        sid,
        stream,
        from: Start::parse(&form.from).ok_or_else(|| StoreError::row(key, "unknown beginning"))?,
        to: form.to.map(Timestamp::from_millis),
        created: Timestamp::from_millis(form.created),
        stretches: form.stretches.into_iter().map(stretch).collect(),
        types: form.types,
    })
}
