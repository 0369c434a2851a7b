//! `/v1/dead-letters`: deliveries that were given up, each with the reason and the last outcome.

use crate::model::dead_letter::{DeadLetter, DeadReason};
use crate::model::id::Sid;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::subscriptions::Snapshot;
use crate::web::api::asked::Id;
use crate::web::api::page::{self, Asked, Page};
use crate::web::api::problem::Problem;
use crate::web::api::shape;
use crate::web::api::stored;
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows read at once: each may hold a whole event, of which a list shows only the head.
const CHUNK: usize = 16;
/// Rows a request looks at, at most; behind them the next page begins.
const LOOKED: usize = 2_000;

/// What a list is about.
struct Wanted {
    /// These subscriptions in order; `None`: all.
    sids: Option<Vec<Sid>>,
    reason: Option<DeadReason>,
    after: Option<String>,
    limit: usize,
}

/// The ids of subscriptions by their keys.
type Names = HashMap<Sid, String>;

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    let asked = Asked::read(query.as_deref(), &["subscription", "reason"])?;
    let reason = asked.filter("reason").map(|text| {
        let reason = DeadReason::ALL.into_iter().find(|reason| reason.as_str() == text);
        reason.ok_or_else(|| page::bad("reason", &format!("must be one of {}", reasons())))
    });
    let (names, sids) = scope(&api.state.directory.snapshot(), &caller, asked.filter("subscription"))?;
    let wanted = Wanted { sids, reason: reason.transpose()?, after: asked.after("dead_")?, limit: asked.limit };
    stored::read(&api, move |store| wanted.page(store, &names)).await
}

pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    let (names, _) = scope(&api.state.directory.snapshot(), &caller, None)?;
    let wanted = id.clone();
    let letter = stored::read(&api, move |store| store.dead_letter(&wanted)).await?;
    let may = |letter: &DeadLetter| caller.tenant().is_none() || names.contains_key(&letter.sid);
    let letter = letter.filter(may).ok_or_else(|| Problem::not_found("dead letter"))?;
    let mut body = head(&id, &letter, &names);
    body["event"]["data"] = letter.event.data;
    Ok(Json(body))
}

/// The subscriptions that the caller may know of, and those that were asked for.
fn scope(snapshot: &Snapshot, caller: &Caller, id: Option<&str>) -> Result<(Names, Option<Vec<Sid>>), Problem> {
    let mine = snapshot.iter().map(|entry| &entry.subscription).filter(|one| caller.sees(&one.tenant));
    let names: Names = mine.map(|one| (one.sid, one.id.clone())).collect();
    let mut sids: Vec<Sid> = match id {
        Some(id) => names.iter().filter(|(_, name)| *name == id).map(|(sid, _)| *sid).collect(),
        None if caller.tenant().is_none() => return Ok((names, None)),
        None => names.keys().copied().collect(),
    };
    if id.is_some() && sids.is_empty() {
        return Err(Problem::not_found("subscription"));
    }
    sids.sort_unstable();
    Ok((names, Some(sids)))
}

// === impl Wanted ===

impl Wanted {
    fn page(mut self, store: &Store, names: &Names) -> Result<Page, StoreError> {
        let mut page = Page { items: Vec::new(), last: None };
        let ranges = match self.sids.take() {
            None => vec![None],
            Some(sids) => sids.into_iter().map(Some).collect(),
        };
        let (mut looked, mut shown) = (0, None);
        for sid in ranges {
            loop {
                let rows = store.dead_letters(sid, self.after.as_deref(), CHUNK)?;
                let ended = rows.len() < CHUNK;
                for (id, letter) in rows {
                    looked += 1;
                    if self.reason.is_none_or(|reason| letter.reason == reason) {
                        if page.items.len() == self.limit {
                            page.last = shown;
                            return Ok(page);
                        }
                        page.items.push(head(&id, &letter, names));
                        shown = Some(id.clone());
                    }
                    self.after = Some(id);
                }
                if looked >= LOOKED && !ended {
                    page.last = self.after;
                    return Ok(page);
                }
                if ended {
                    break;
                }
            }
        }
        Ok(page)
    }
}

/// A dead letter without its event's data.
fn head(id: &str, letter: &DeadLetter, names: &Names) -> Value {
    json!({
        "id": id,
        "subscription": names.get(&letter.sid),
        "reason": letter.reason.as_str(),
        "died_at": letter.died.to_string(),
        "attempts": letter.attempts,
        "last": letter.last.as_ref().map(shape::outcome),
        "event": shape::event(&letter.event),
        "mapping": &*letter.event.mapping,
        "origin": shape::origin(&letter.event.origin),
    })
}

fn reasons() -> String {
    DeadReason::ALL.map(DeadReason::as_str).join(", ")
}
