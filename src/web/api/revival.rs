//! `POST /v1/dead-letters/retry`, `DELETE` of one and by filter: what was given up is sent again, or forgotten.

use crate::model::dead_letter::{DeadLetter, DeadReason};
use crate::model::id::Sid;
use crate::model::problem::Problems;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::subscriptions::again::Again;
use crate::web::api::asked::{Document, Id, object};
use crate::web::api::dead_letters::{Reason, scope};
use crate::web::api::idempotency::Answer;
use crate::web::api::once::{Request, once, whole};
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::{lost, page, stored};
use crate::web::auth::Caller;
use crate::web::state::Api;
use crate::yaml::fields::Fields;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;
use tracing::{error, info};

/// Letters that are made rows at once: each may hold an event of a MiB.
const CHUNK: usize = 16;
/// Letters that one request sends again, at most: a quarter of what a ledger holds.
const MOST: usize = 1_000;

/// What a request is about.
#[derive(Debug, Default)]
struct Wanted {
    subscription: Option<String>,
    reason: Option<DeadReason>,
    id: Option<String>,
    dry_run: bool,
}

/// The letters that fit.
struct Found {
    ids: Vec<String>,
    /// Whether there may be others.
    more: bool,
}

pub(crate) async fn retry(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    document: Document,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&document.value)?;
    if wanted.dry_run {
        let found = found(&api, &caller, &wanted).await?;
        return Ok(Json(told(&found, Again::default())).into_response());
    }
    let request = Request { caller: &caller, headers: &headers, digest: document.digest };
    let (inner, caller) = (Arc::clone(&api), caller.clone());
    once(&api, request, async move {
        let (found, mut again) = (found(&inner, &caller, &wanted).await?, Again::default());
        for ids in found.ids.chunks(CHUNK) {
            again += inner.state.directory.send_again(ids).await.map_err(|error| refused(&error))?;
        }
        info!(retried = again.retried, waiting = again.waiting, by = %caller.name, "dead letters are sent again");
        Ok(Answer::json(StatusCode::OK, &told(&found, again)))
    })
    .await
}

pub(crate) async fn forget_some(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let asked = page::filters(query.as_deref(), &["subscription", "reason"])?;
    let reason = asked.get("reason").map(|text| Reason::read(text)).transpose()?;
    let subscription = asked.get("subscription").cloned();
    if reason.is_none() && subscription.is_none() {
        return Err(Problem::of(Kind::BadRequest, "say which, by subscription or reason"));
    }
    let inner = Arc::clone(&api);
    whole(&api, async move {
        let (mut removed, mut more) = (0, false);
        if reason != Some(Reason::Lost) {
            let reason = if let Some(Reason::Letter(reason)) = reason { Some(reason) } else { None };
            let wanted = Wanted { subscription: subscription.clone(), reason, ..Wanted::default() };
            let found = found(&inner, &caller, &wanted).await?;
            for ids in found.ids.chunks(CHUNK) {
                removed += inner.state.directory.remove_letters(ids).await.map_err(|error| refused(&error))?;
            }
            more = found.more;
        }
        if matches!(reason, None | Some(Reason::Lost)) {
            removed += forget_ranges(&inner, &caller, subscription.as_deref()).await?;
        }
        info!(removed, by = %caller.name, "dead letters removed");
        Ok(Json(json!({ "removed": removed, "more": more })))
    })
    .await
}

/// Ranges that retention took; they are few.
async fn forget_ranges(api: &Api, caller: &Caller, subscription: Option<&str>) -> Result<usize, Problem> {
    let (names, sids) = scope(&api.state.directory.snapshot(), caller, subscription)?;
    let sids = sids.unwrap_or_else(|| names.into_keys().collect());
    let ranges = stored::read(api, move |store| lost::of(store, sids)).await?;
    let mut batch = Batch::new();
    ranges.iter().for_each(|(_, range)| batch.drop_lost(range));
    api.state.store.durable(batch).await.map_err(|error| refused(&error))?;
    Ok(ranges.len())
}

/// The letters that are meant, of those that the caller may know of.
async fn found(api: &Api, caller: &Caller, wanted: &Wanted) -> Result<Found, Problem> {
    let (names, sids) = scope(&api.state.directory.snapshot(), caller, wanted.subscription.as_deref())?;
    let (reason, id) = (wanted.reason, wanted.id.clone());
    let is_mine = move |sid: Sid| names.contains_key(&sid) && sids.as_ref().is_none_or(|sids| sids.contains(&sid));
    let found = stored::read(api, move |store| find(store, (reason, id.as_deref()), is_mine)).await?;
    if wanted.id.is_some() && found.ids.is_empty() {
        return Err(Problem::not_found("dead letter"));
    }
    Ok(found)
}

fn told(found: &Found, again: Again) -> Value {
    let Again { retried, waiting, .. } = again; // letters have been understood: none fails
    json!({ "matched": found.ids.len(), "retried": retried, "waiting": waiting, "more": found.more })
}

pub(crate) async fn forget(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let (names, _) = scope(&api.state.directory.snapshot(), &caller, None)?;
    let (all, wanted) = (caller.tenant().is_none(), id.clone());
    let inner = Arc::clone(&api);
    whole(&api, async move {
        if wanted.starts_with(lost::PREFIX) {
            let range = stored::read(&inner, move |store| lost::find(store, names.into_keys(), &wanted)).await?;
            let mut batch = Batch::new();
            batch.drop_lost(&range.ok_or_else(|| Problem::not_found("dead letter"))?);
            inner.state.store.durable(batch).await.map_err(|error| refused(&error))?;
        } else {
            let letter = stored::read(&inner, move |store| store.dead_letter(&wanted)).await?;
            let may = |letter: &DeadLetter| all || names.contains_key(&letter.sid);
            letter.filter(may).ok_or_else(|| Problem::not_found("dead letter"))?;
            let removed = inner.state.directory.remove_letters(std::slice::from_ref(&id)).await;
            if removed.map_err(|error| refused(&error))? == 0 {
                return Err(Problem::not_found("dead letter"));
            }
        }
        info!(dead_letter = %id, by = %caller.name, "dead letter removed");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

fn find(
    store: &Store,
    (reason, id): (Option<DeadReason>, Option<&str>),
    is_mine: impl Fn(Sid) -> bool,
) -> Result<Found, StoreError> {
    let mut found = Found { ids: Vec::new(), more: false };
    let fits = |sid: Sid, other: DeadReason| is_mine(sid) && reason.is_none_or(|reason| reason == other);
    if let Some(id) = id {
        let letter = store.dead_letter(id)?.filter(|letter| fits(letter.sid, letter.reason));
        found.ids.extend(letter.map(|_| id.to_owned()));
        return Ok(found);
    }
    let mut after: Option<String> = None;
    loop {
        let rows = store.dead_letters(None, after.as_deref(), CHUNK)?;
        let ended = rows.len() < CHUNK;
        for (id, letter) in rows {
            if fits(letter.sid, letter.reason) {
                if found.ids.len() == MOST {
                    found.more = true;
                    return Ok(found);
                }
                found.ids.push(id.clone());
            }
            after = Some(id);
        }
        if ended {
            return Ok(found);
        }
    }
}

fn refused(error: &StoreError) -> Problem {
    error!(%error, "dead letters could not be changed");
    Problem::of(Kind::StoreUnavailable, "the store takes no writes")
}

// === impl Wanted ===

impl Wanted {
    fn read(document: &Value) -> Result<Self, Problem> {
        Ok(object(document, Self::fields)?.unwrap_or_default())
    }

    fn fields(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let mut wanted = Self::default();
        if let Some(field) = fields.optional("dry_run") {
            wanted.dry_run = field.boolean(problems).unwrap_or_default();
        }
        let mut filter = Fields::of(&fields.required("filter", problems)?, problems)?;
        wanted.subscription = filter.optional("subscription").and_then(|field| field.string(problems));
        wanted.id = filter.optional("id").and_then(|field| field.string(problems));
        let reasons = DeadReason::ALL.map(|reason| (reason.as_str(), reason));
        wanted.reason = filter.optional("reason").and_then(|field| field.one_of(&reasons, problems));
        filter.finish(problems);
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::{LedgerHead, LedgerKey};
    use crate::model::record::TopicPartition;
    use crate::model::subscription::Tenant;
    use crate::runtime::clock;
    use crate::web::api::dead_letters::tests::{bury, letter};
    use crate::web::trial::{Answer, Trial};

    async fn retry(trial: &Trial, token: &str, body: Value) -> Answer {
        trial.ask("POST /v1/dead-letters/retry").token(token).json(&body).send().await
    }

    async fn left(trial: &Trial) -> usize {
        let list = trial.ask("GET /v1/dead-letters?limit=200").token("boss").send().await.json();
        list["items"].as_array().unwrap().len()
    }

    #[tokio::test]
    async fn a_letter_that_is_sent_again_is_owed_by_value_and_no_letter_any_more() {
        let trial = Trial::open().await;
        let sid = trial.given("billing", Tenant::None, Sid::new(1, 1)).await.sid;
        let at = TopicPartition { topic: "shop.orders".into(), partition: 1 };
        trial.state.directory.hands().partitions.open(&at, 0);
        let letters = [(0, DeadReason::Gone), (1, DeadReason::Expired), (2, DeadReason::Gone)];
        bury(&trial, letters.map(|(offset, reason)| letter(sid, offset, reason))).await;
        let gone = json!({ "filter": { "reason": "gone" }, "dry_run": true });
        assert_eq!(
            retry(&trial, "", gone).await.json(),
            json!({ "matched": 2, "retried": 0, "waiting": 0, "more": false })
        );
        assert_eq!((left(&trial).await, trial.state.store.ledger_heads().unwrap().len()), (3, 0), "a dry run");
        let gone = json!({ "filter": { "reason": "gone", "subscription": "billing" } });
        assert_eq!(
            retry(&trial, "", gone).await.json(),
            json!({ "matched": 2, "retried": 2, "waiting": 0, "more": false })
        );
        let rows = trial.state.store.ledger_heads().unwrap();
        assert_eq!((left(&trial).await, rows.len()), (1, 2));
        assert!(rows.iter().all(|(key, head)| key.stream != 0 && head.attempts == 0 && head.body_len > 0));
        assert_ne!(rows[0].0.stream, rows[1].0.stream);
        let event = trial.state.store.ledger_event(&rows[0].0).unwrap().unwrap();
        assert_eq!(event, letter(sid, rows[0].0.offset, DeadReason::Gone).event);
        let health = trial.ask("GET /v1/subscriptions/billing").send().await.json()["health"].clone();
        assert_eq!(health["ledger"]["rows"], 2, "its lane knows of them");
        let list = trial.ask("GET /v1/dead-letters").send().await.json();
        let id = list["items"][0]["id"].clone();
        let one = json!({ "filter": { "id": id } });
        let answers = tokio::join!(retry(&trial, "", one.clone()), retry(&trial, "", one.clone()));
        let retried = [answers.0, answers.1].map(|answer| answer.json()["retried"].as_u64().unwrap_or(0));
        assert_eq!(retried.iter().sum::<u64>(), 1, "asked for twice at once, it is sent once");
        retry(&trial, "", one).await.problem(404, "not-found");
    }

    #[tokio::test]
    async fn letters_that_are_sent_again_or_removed_give_their_lane_room_and_the_same_key_sends_them_once() {
        let trial = Trial::open().await;
        let sid = trial.given("billing", Tenant::None, Sid::new(1, 1)).await.sid;
        bury(&trial, (0..4).map(|offset| letter(sid, offset, DeadReason::Gone))).await;
        let weights = trial.state.store.dead_weights().unwrap();
        let entry = trial.state.directory.snapshot().get("billing").cloned().unwrap();
        entry.cell.act(|lane, turn| lane.letters_found(weights[&sid], turn));
        let health = async || trial.ask("GET /v1/subscriptions/billing").send().await.json()["health"].clone();
        assert_eq!(health().await["dead_letters"], json!({ "rows": 4, "bytes": weights[&sid].bytes }));
        let list = trial.ask("GET /v1/dead-letters").send().await.json();
        let one = json!({ "filter": { "id": list["items"][0]["id"] } });
        let keyed = || trial.ask("POST /v1/dead-letters/retry").header("idempotency-key", "k").json(&one).send();
        let (first, again) = (keyed().await, keyed().await);
        assert_eq!((&first.json()["retried"], again.json()), (&json!(1), first.json()));
        assert_eq!(health().await["dead_letters"]["rows"], 3);
        let path = format!("DELETE /v1/dead-letters/{}", list["items"][1]["id"].as_str().unwrap());
        assert_eq!(trial.ask(&path).send().await.status, 204);
        assert_eq!(health().await["dead_letters"]["rows"], 2);
        trial.ask("DELETE /v1/dead-letters").send().await.problem(400, "bad-request");
        let gone = trial.ask("DELETE /v1/dead-letters?subscription=billing").send().await.json();
        assert_eq!(gone, json!({ "removed": 2, "more": false }));
        assert_eq!(health().await["dead_letters"], json!({ "rows": 0, "bytes": 0 }));
    }

    #[tokio::test]
    async fn a_letter_whose_ledger_has_no_room_stays_one() {
        let trial = Trial::open().await;
        let sid = trial.given("billing", Tenant::None, Sid::new(1, 1)).await.sid;
        bury(&trial, [letter(sid, 1, DeadReason::Gone)]).await;
        let event = letter(sid, 2, DeadReason::Gone).event;
        let (first, due) = (clock::now(), clock::now().after(std::time::Duration::from_secs(600)));
        let head = LedgerHead { attempts: 1, first, due, last: None, ordering_key: None, body_len: 16 << 20 };
        let entry = trial.state.directory.snapshot().get("billing").cloned().unwrap();
        entry.cell.act(|lane, turn| lane.adopt(vec![(LedgerKey::of(&event, sid), head)], turn));
        let answer = retry(&trial, "", json!({ "filter": {} })).await.json();
        assert_eq!(answer, json!({ "matched": 1, "retried": 0, "waiting": 1, "more": false }));
        assert_eq!(left(&trial).await, 1);
    }

    #[tokio::test]
    async fn another_tenants_letters_are_neither_sent_again_nor_removed() {
        let trial = Trial::guarded().await;
        let (a, b) = (Sid::new(1, 1), Sid::new(1, 2));
        for (id, tenant, sid) in [("a", "t-1", a), ("b", "t-2", b)] {
            trial.given(id, Tenant::One(tenant.into()), sid).await;
        }
        bury(&trial, [a, b].map(|sid| letter(sid, 1, DeadReason::Gone))).await;
        assert_eq!(retry(&trial, "one", json!({ "filter": {} })).await.json()["retried"], 1);
        let list = trial.ask("GET /v1/dead-letters").token("boss").send().await.json();
        assert_eq!(list["items"][0]["subscription"], "b");
        let id = list["items"][0]["id"].as_str().unwrap();
        retry(&trial, "one", json!({ "filter": { "id": id } })).await.problem(404, "not-found");
        retry(&trial, "one", json!({ "filter": { "subscription": "b" } })).await.problem(404, "not-found");
        retry(&trial, "reader", json!({ "filter": {} })).await.problem(403, "forbidden");
        let path = format!("DELETE /v1/dead-letters/{id}");
        trial.ask(&path).token("one").send().await.problem(404, "not-found");
        assert_eq!(trial.ask(&path).token("two").send().await.status, 204);
        trial.ask(&path).token("two").send().await.problem(404, "not-found");
        assert_eq!(left(&trial).await, 0);
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_and_nothing_is_sent() {
        let trial = Trial::open().await;
        for (body, pointer) in [
            (json!({}), "/filter"),
            (json!({ "filter": { "reason": "bored" } }), "/filter/reason"),
            (json!({ "filter": { "reason": "retention_lost" } }), "/filter/reason"),
            (json!({ "filter": { "subscripton": "x" } }), "/filter/subscripton"),
            (json!({ "filter": {}, "dry_run": "yes" }), "/dry_run"),
        ] {
            let pointers = retry(&trial, "", body).await.pointers();
            assert_eq!(
                pointers.iter().filter(|found| *found == pointer || found.is_empty()).count(),
                1,
                "{pointers:?}"
            );
        }
    }
}
