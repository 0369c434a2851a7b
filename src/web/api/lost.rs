//! Ranges that retention took, among the dead letters: their ids, how they look, those that a list is about.

use crate::model::dead_letter::DeadRange;
use crate::model::id::Sid;
use crate::store::Store;
use crate::store::error::StoreError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How their ids begin.
pub(crate) const PREFIX: &str = "lost_";
/// Their reason.
pub(crate) const REASON: &str = "retention_lost";

/// The lost ranges of these subscriptions with their ids, in the order of these.
pub(crate) fn of(store: &Store, sids: impl IntoIterator<Item = Sid>) -> Result<Vec<(String, DeadRange)>, StoreError> {
    let mut ranges = Vec::new();
    for sid in sids {
        ranges.extend(store.lost(sid)?.into_iter().map(|range| (id(&range), range)));
    }
    ranges.sort_by_cached_key(|(_, range)| place(range));
    Ok(ranges)
}

/// The range with this id among those of these subscriptions.
pub(crate) fn find(
    store: &Store,
    sids: impl IntoIterator<Item = Sid>,
    id: &str,
) -> Result<Option<DeadRange>, StoreError> {
    Ok(of(store, sids)?.into_iter().find(|(other, _)| other == id).map(|(_, range)| range))
}

/// Whether `range` comes behind the one with the id `after`.
pub(crate) fn is_behind(range: &DeadRange, after: &str) -> bool {
    let after = after.strip_prefix(PREFIX).and_then(|after| URL_SAFE_NO_PAD.decode(after).ok());
    after.is_none_or(|after| place(range).into_bytes() > after)
}

/// A range in the shape of a dead letter: without event, with what was lost.
pub(crate) fn head(id: &str, range: &DeadRange, subscription: Option<&String>) -> Value {
    json!({
        "id": id,
        "subscription": subscription,
        "reason": REASON,
        "died_at": range.died.to_string(),
        "event": null,
        "range": { "topic": &*range.at.topic, "partition": range.at.partition, "from": range.from, "to": range.to },
    })
}

fn id(range: &DeadRange) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(place(range)))
}

fn place(range: &DeadRange) -> String {
    let DeadRange { sid, at, stream, died, from, .. } = range;
    format!("{sid}/{:020}/{}/{}/{from:020}/{stream:032x}", died.as_millis(), at.topic, at.partition)
}
