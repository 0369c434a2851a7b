//! `POST /v1/dead-letters/retry` and `DELETE /v1/dead-letters/{id}`: what was given up is sent again, or forgotten.

use crate::model::dead_letter::DeadReason;
use crate::model::id::Sid;
use crate::model::problem::Problems;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::web::api::asked::{Document, Id};
use crate::web::api::dead_letters::scope;
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::{lost, stored};
use crate::web::auth::Caller;
use crate::web::state::Api;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Node;
use axum::extract::State;
use axum::http::StatusCode;
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
    document: Document,
) -> Result<Json<Value>, Problem> {
    let wanted = Wanted::read(&document.value)?;
    let (names, sids) = scope(&api.state.directory.snapshot(), &caller, wanted.subscription.as_deref())?;
    let (reason, id) = (wanted.reason, wanted.id.clone());
    let is_mine = move |sid: Sid| names.contains_key(&sid) && sids.as_ref().is_none_or(|sids| sids.contains(&sid));
    let found = stored::read(&api, move |store| find(store, (reason, id.as_deref()), is_mine)).await?;
    if wanted.id.is_some() && found.ids.is_empty() {
        return Err(Problem::not_found("dead letter"));
    }
    let (matched, more) = (found.ids.len(), found.more);
    if wanted.dry_run {
        return Ok(Json(json!({ "matched": matched, "retried": 0, "more": more })));
    }
    let inner = Arc::clone(&api);
    let work = async move {
        let mut retried = 0;
        for ids in found.ids.chunks(CHUNK) {
            retried += inner.state.directory.send_again(ids).await.map_err(|error| refused(&error))?;
        }
        info!(retried, by = %caller.name, "dead letters are sent again");
        Ok(Json(json!({ "matched": matched, "retried": retried, "more": more })))
    };
    api.unbroken(work).await.unwrap_or_else(|_| Err(Problem::of(Kind::Internal, "the change broke down")))
}

pub(crate) async fn forget(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let (names, _) = scope(&api.state.directory.snapshot(), &caller, None)?;
    let all = caller.tenant().is_none();
    let wanted = id.clone();
    let batch = stored::read(&api, move |store| {
        let mut batch = Batch::new();
        if wanted.starts_with(lost::PREFIX) {
            let range = lost::find(store, names.into_keys(), &wanted)?;
            return Ok(range.map(|range| {
                batch.drop_lost(&range);
                batch
            }));
        }
        let letter = store.dead_letter(&wanted)?.filter(|letter| all || names.contains_key(&letter.sid));
        Ok(letter.map(|letter| {
            batch.drop_dead_letter(&letter);
            batch
        }))
    });
    let batch = batch.await?.ok_or_else(|| Problem::not_found("dead letter"))?;
    api.state.store.durable(batch).await.map_err(|error| refused(&error))?;
    info!(dead_letter = %id, by = %caller.name, "dead letter removed");
    Ok(StatusCode::NO_CONTENT)
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
        let (node, mut problems) = (Node::from_json(&"request".into(), document), Problems::default());
        let wanted = Self::fields(&Field::new(&node, ""), &mut problems);
        let wanted = problems.or(wanted).map_err(|problems| Problem::invalid(&problems, document))?;
        Ok(wanted.unwrap_or_default())
    }

    fn fields(field: &Field<'_>, problems: &mut Problems) -> Option<Self> {
        let mut wanted = Self::default();
        let mut fields = Fields::of(field, problems)?;
        if let Some(field) = fields.optional("dry_run") {
            wanted.dry_run = field.boolean(problems).unwrap_or_default();
        }
        let filter = fields.required("filter", problems);
        fields.finish(problems);
        let mut filter = Fields::of(&filter?, problems)?;
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
    use crate::model::record::TopicPartition;
    use crate::model::subscription::Tenant;
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
        assert_eq!(retry(&trial, "", gone).await.json(), json!({ "matched": 2, "retried": 0, "more": false }));
        assert_eq!((left(&trial).await, trial.state.store.ledger_heads().unwrap().len()), (3, 0), "a dry run");
        let gone = json!({ "filter": { "reason": "gone", "subscription": "billing" } });
        assert_eq!(retry(&trial, "", gone).await.json(), json!({ "matched": 2, "retried": 2, "more": false }));
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
