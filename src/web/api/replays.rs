//! `/v1/subscriptions/{id}/replays`: what the log still holds, sent again.

use crate::model::id::Sid;
use crate::model::problem::Problems;
use crate::model::replay::Replay;
use crate::model::subscription::Start;
use crate::model::time::Timestamp;
use crate::runtime::{clock, random};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::subscriptions::order;
use crate::subscriptions::replays::{self, Progress};
use crate::subscriptions::snapshot::Entry;
use crate::web::api::asked::{Document, Id, object};
use crate::web::api::counted::{self, Counted};
use crate::web::api::idempotency::Answer;
use crate::web::api::once::{Request, once, whole};
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::subscriptions::{Answered, seen};
use crate::web::api::{past, stored};
use crate::web::auth::Caller;
use crate::web::state::Api;
use crate::yaml::fields::Fields;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Json, extract};
use serde_json::{Value, json};
use std::sync::Arc;
use tracing::{error, info};

/// Replays of one subscription that are kept, those that are over too: the oldest of these go first.
const MOST: usize = 100;
/// Replays of one subscription at a time.
const RUNNING: usize = 10;

/// What is asked for.
struct Wanted {
    from: Start,
    to: Option<Timestamp>,
    types: Vec<String>,
    dry_run: bool,
}

pub(crate) async fn create(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    document: Document,
) -> Answered {
    let entry = seen(&api, &caller, &id)?;
    let wanted = Wanted::read(&document.value, clock::now())?;
    if wanted.dry_run {
        let replay = wanted.replay(&api, entry.subscription.sid).await?;
        let Counted { matched, offsets } = counted::count(&api, &replay).await?;
        let body = json!({
            "id": null, "state": "dry_run", "types": types(&replay),
            "matched": matched, "counted": offsets, "total": replay.total(),
        });
        return Ok(Json(body).into_response());
    }
    let (inner, by) = (Arc::clone(&api), Arc::clone(&caller.name));
    once(&api, Request { caller: &caller, headers: &headers, digest: document.digest }, async move {
        let replay = wanted.replay(&inner, entry.subscription.sid).await?;
        make_room(&inner, &entry).await?;
        let begun = replays::begin(inner.state.directory.hands(), &entry.cell, &replay).await;
        begun.map_err(|error| refused(&error))?;
        info!(subscription = %id, replay = replay.id(), %by, "replay begun");
        let (replay, progress) = stored::read(&inner, move |store| with_progress(store, replay)).await?;
        let location = format!("/v1/subscriptions/{id}/replays/{}", replay.id());
        let location = HeaderValue::from_str(&location).map_err(|_| Problem::not_found("subscription"))?;
        Ok(Answer::json(StatusCode::ACCEPTED, &shown(&replay, progress)).with(header::LOCATION, location))
    })
    .await
}

pub(crate) async fn list(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    let entry = seen(&api, &caller, &id)?;
    let all = all(&api, &entry).await?;
    let items: Vec<_> = all.iter().map(|(replay, progress)| shown(replay, *progress)).collect();
    Ok(Json(json!({ "items": items, "next_cursor": null })))
}

pub(crate) async fn show(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let (_, (replay, progress)) = find(&api, &caller, path).await?;
    Ok(Json(shown(&replay, progress)))
}

pub(crate) async fn cancel(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (entry, (replay, _)) = find(&api, &caller, path).await?;
    let inner = Arc::clone(&api);
    whole(&api, async move {
        let ended = replays::call_off(inner.state.directory.hands(), &entry.cell, &replay).await;
        ended.map_err(|error| refused(&error))?;
        info!(subscription = %entry.subscription.id, replay = replay.id(), by = %caller.name, "replay called off");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// Refuses one too many; forgets the oldest of those that are over.
async fn make_room(api: &Api, entry: &Entry) -> Result<(), Problem> {
    let all = all(api, entry).await?;
    let (running, over): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, progress)| progress.open > 0);
    if running.len() >= RUNNING {
        return Err(Problem::of(Kind::Conflict, format!("{RUNNING} replays run: wait, or cancel one")));
    }
    for (replay, _) in over.iter().take((running.len() + over.len() + 1).saturating_sub(MOST)) {
        let ended = replays::call_off(api.state.directory.hands(), &entry.cell, replay).await;
        ended.map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// All replays of a subscription, the oldest first.
async fn all(api: &Api, entry: &Entry) -> Result<Vec<(Replay, Progress)>, Problem> {
    let sid = entry.subscription.sid;
    let read =
        move |store: &Store| store.replays(Some(sid))?.into_iter().map(|replay| with_progress(store, replay)).collect();
    stored::read(api, read).await
}

fn with_progress(store: &Store, replay: Replay) -> Result<(Replay, Progress), StoreError> {
    let progress = replays::progress(store, &replay)?;
    Ok((replay, progress))
}

async fn find(
    api: &Api,
    caller: &Caller,
    Path((id, wanted)): Path<(String, String)>,
) -> Result<(Arc<Entry>, (Replay, Progress)), Problem> {
    let entry = seen(api, caller, &id)?;
    let found = all(api, &entry).await?.into_iter().find(|(replay, _)| replay.id() == wanted);
    Ok((entry, found.ok_or_else(|| Problem::not_found("replay"))?))
}

fn shown(replay: &Replay, progress: Progress) -> Value {
    json!({
        "id": replay.id(),
        "state": if progress.open > 0 { "running" } else { "finished" },
        "from": replay.from.to_string(),
        "to": replay.to.map(|time| time.to_string()),
        "types": types(replay),
        "created_at": replay.created.to_string(),
        "delivered": progress.settled,
        "total": replay.total(),
    })
}

/// The patterns that were asked for; null: all types.
fn types(replay: &Replay) -> Value {
    if replay.types.is_empty() { Value::Null } else { json!(replay.types) }
}

fn refused(error: &StoreError) -> Problem {
    error!(%error, "a replay could not be stored");
    Problem::of(Kind::StoreUnavailable, "the store takes no writes")
}

// === impl Wanted ===

impl Wanted {
    /// What is asked for, of this subscription, looked up in the log.
    async fn replay(&self, api: &Api, sid: Sid) -> Result<Replay, Problem> {
        let (from, to, types) = (self.from, self.to, self.types.clone());
        let stretches = past::look(api, move |past, topics| past.stretches(topics, (from, to))).await?;
        let stream = u128::from_be_bytes(random::sid().to_bytes());
        Ok(Replay { sid, stream, from, to, types, created: clock::now(), stretches })
    }

    fn read(document: &Value, now: Timestamp) -> Result<Self, Problem> {
        let wanted = object(document, |fields, problems| Self::fields(fields, now, problems));
        wanted?.ok_or_else(|| Problem::field("", "is no replay"))
    }

    fn fields(fields: &mut Fields<'_>, now: Timestamp, problems: &mut Problems) -> Option<Self> {
        let from = fields.required("from", problems).and_then(|field| {
            let from = Start::parse(field.text(problems)?).filter(|from| *from != Start::Now);
            if from.is_none() {
                field.problem(problems, "must be `earliest` or a time", "Times are as in RFC 3339");
            } else if matches!(from, Some(Start::At(time)) if time > now) {
                field.problem(problems, "is in the future", "");
            }
            from
        });
        let to = fields.optional("to").and_then(|field| {
            let to = Timestamp::parse(field.text(problems)?);
            match (to, from) {
                (None, _) => field.problem(problems, "must be a time", "Times are as in RFC 3339"),
                (Some(to), Some(Start::At(from))) if to <= from => field.problem(problems, "is not after `from`", ""),
                (Some(to), _) if to > now => field.problem(problems, "is in the future", "Leave it out: up to now"),
                (Some(_), _) => {}
            }
            to
        });
        let types = fields.optional("types").map(|field| order::types(&field, problems)).unwrap_or_default();
        let dry_run = fields.optional("dry_run").and_then(|field| field.boolean(problems)).unwrap_or_default();
        Some(Self { from: from?, to, types, dry_run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::broker::Broker;
    use crate::kafka::settings::KafkaSettings;
    use crate::kafka::writer::{Draft, Writer};
    use crate::model::cursor::{BehindReason, CursorKey, CursorRow};
    use crate::model::delivery::{LedgerHead, LedgerKey};
    use crate::model::record::TopicPartition;
    use crate::model::subscription::Tenant;
    use crate::store::batch::Batch;
    use crate::web::api::dead_letters::tests::letter;
    use crate::web::trial::{Answer, Trial};

    const PATH: &str = "/v1/subscriptions/billing/replays";

    /// A shop whose only partition has five records, and one subscription.
    async fn shop() -> (Trial, Broker) {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 1).unwrap();
        let kafka = KafkaSettings { brokers: broker.servers().into(), ..KafkaSettings::default() };
        let writer = Writer::new(&kafka).unwrap();
        for _ in 0..5 {
            let draft = Draft { topic: "shop.orders".into(), key: None, headers: Vec::new(), value: Some("{}".into()) };
            writer.write(&draft).await.unwrap();
        }
        let trial = Trial::reading(kafka, "shop.orders").await;
        trial.given("billing", Tenant::None, crate::model::id::Sid::new(1, 1)).await;
        trial.state.directory.hands().partitions.open(&at(), 5);
        (trial, broker)
    }

    fn at() -> TopicPartition {
        TopicPartition { topic: "shop.orders".into(), partition: 0 }
    }

    async fn post(trial: &Trial, body: Value) -> Answer {
        trial.ask(&format!("POST {PATH}")).json(&body).send().await
    }

    fn cursors(trial: &Trial) -> Vec<(CursorKey, CursorRow)> {
        trial.state.store.cursors().unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replay_is_a_place_of_its_own_from_its_beginning_to_the_end_of_the_log() {
        let (trial, _broker) = shop().await;
        let dry = post(&trial, json!({ "from": "earliest", "dry_run": true })).await;
        assert_eq!((dry.status, &dry.json()["total"]), (200, &json!(5)));
        assert!(cursors(&trial).is_empty());
        let answer = post(&trial, json!({ "from": "earliest" })).await;
        let made = answer.json();
        assert_eq!((answer.status, &made["state"], &made["total"]), (202, &json!("running"), &json!(5)));
        let id = made["id"].as_str().unwrap();
        assert_eq!(answer.header("location"), Some(format!("{PATH}/{id}").as_str()));
        assert!(id.starts_with("rpl_"));
        let (key, row) = cursors(&trial).remove(0);
        assert!(key.stream != 0 && row.reason == BehindReason::Replay);
        assert_eq!((row.offset, row.to), (0, Some(5)));
        let health = trial.ask("GET /v1/subscriptions/billing").send().await.json()["health"].clone();
        assert_eq!((&health["places"]["behind"], &health["reason"]), (&json!(1), &Value::Null));
        let mut batch = Batch::new();
        batch.cursor(&key, &CursorRow { offset: 3, ..row });
        trial.state.store.durable(batch).await.unwrap();
        let shown = trial.ask(&format!("GET {PATH}/{id}")).send().await.json();
        assert_eq!((&shown["delivered"], &shown["state"]), (&json!(3), &json!("running")));
        let mut batch = Batch::new();
        batch.drop_cursor(&key);
        trial.state.store.durable(batch).await.unwrap();
        let list = trial.ask(&format!("GET {PATH}")).send().await.json();
        assert_eq!((&list["items"][0]["delivered"], &list["items"][0]["state"]), (&json!(5), &json!("finished")));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replay_may_be_of_some_types_and_a_dry_run_counts_what_it_would_send() {
        let (trial, _broker) = shop().await;
        for (types, matched) in [(json!(null), 5), (json!(["com.acme.*"]), 5), (json!(["com.acme.order", "x.**"]), 0)] {
            let dry = post(&trial, json!({ "from": "earliest", "types": types, "dry_run": true })).await.json();
            let expected =
                json!({ "id": null, "state": "dry_run", "types": types, "matched": matched, "counted": 5, "total": 5 });
            assert_eq!(dry, expected);
        }
        let made = post(&trial, json!({ "from": "earliest", "types": ["com.acme.order"] })).await.json();
        let path = format!("GET {PATH}/{}", made["id"].as_str().unwrap());
        assert_eq!(trial.ask(&path).send().await.json()["types"], json!(["com.acme.order"]));
        let (sid, stream) = (cursors(&trial)[0].0.sid, cursors(&trial)[0].0.stream);
        assert_eq!(trial.state.store.replays(Some(sid)).unwrap()[0].types, ["com.acme.order"], "it outlives a restart");
        let event = |name: &str| {
            let event = letter(sid, 1, crate::model::dead_letter::DeadReason::Gone).event;
            Arc::new(crate::model::event::Emitted::new(crate::model::event::IntegrationEvent {
                event_type: name.into(),
                ..event
            }))
        };
        let again =
            crate::subscriptions::Directory::load(Arc::clone(trial.state.directory.hands()), Default::default());
        let cell = Arc::clone(&again.unwrap().snapshot().get("billing").unwrap().cell);
        let events = [event("com.acme.order"), event("com.acme.any")];
        let meant = |stream| cell.narrowed.meant(stream, &events).len();
        assert_eq!((meant(stream), meant(0), meant(stream + 1)), (1, 2, 2));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replay_that_is_called_off_leaves_nothing_and_hurts_nothing_else() {
        let (trial, _broker) = shop().await;
        let id = post(&trial, json!({ "from": "earliest" })).await.json()["id"].as_str().unwrap().to_owned();
        let key = cursors(&trial).remove(0).0;
        let event = letter(key.sid, 1, crate::model::dead_letter::DeadReason::Gone).event;
        let (mut batch, mut rows) = (Batch::new(), Vec::new());
        for stream in [key.stream, 0] {
            let row = LedgerKey { at: at(), stream, ..LedgerKey::of(&event, key.sid) };
            let time = clock::now().after(std::time::Duration::from_secs(60));
            let (first, due, ordering_key) = (time, time, None);
            let head = LedgerHead { attempts: 1, first, due, last: None, ordering_key, body_len: 0 };
            batch.park(&row, &head, &event);
            rows.push((row, head));
        }
        trial.state.store.durable(batch).await.unwrap();
        let entry = trial.state.directory.snapshot().get("billing").cloned().unwrap();
        entry.cell.act(|lane, turn| lane.adopt(rows, turn));
        assert_eq!(trial.ask(&format!("DELETE {PATH}/{id}")).send().await.status, 204);
        let left = trial.state.store.ledger_heads().unwrap();
        assert_eq!((left.len(), left[0].0.stream), (1, 0));
        assert!(cursors(&trial).is_empty());
        let counts = entry.cell.act(|lane, _| lane.counts());
        assert_eq!((counts.rows, counts.behind), (1, 0), "the lane forgot it, too");
        trial.ask(&format!("GET {PATH}/{id}")).send().await.problem(404, "not-found");
        trial.ask(&format!("DELETE {PATH}/{id}")).send().await.problem(404, "not-found");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn so_many_replays_run_at_a_time_and_they_go_with_their_subscription() {
        let (trial, _broker) = shop().await;
        for _ in 0..RUNNING {
            assert_eq!(post(&trial, json!({ "from": "earliest" })).await.status, 202);
        }
        post(&trial, json!({ "from": "earliest" })).await.problem(409, "conflict");
        let sid = trial.state.directory.snapshot().get("billing").unwrap().subscription.sid;
        assert_eq!(trial.ask("DELETE /v1/subscriptions/billing").send().await.status, 204);
        trial.state.store.durable(Batch::new()).await.unwrap();
        assert!(trial.state.store.replays(Some(sid)).unwrap().is_empty() && cursors(&trial).is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_replayed_is_refused() {
        let trial = Trial::guarded().await;
        trial.given("billing", Tenant::One("t-1".into()), crate::model::id::Sid::new(1, 1)).await;
        let (old, older) = ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z");
        for (body, pointer) in [
            (json!({ "from": "now" }), "/from"),
            (json!({ "from": "2999-01-01T00:00:00Z" }), "/from"),
            (json!({ "from": old, "to": older }), "/to"),
            (json!({ "from": old, "to": "2999-01-01T00:00:00Z" }), "/to"),
            (json!({ "from": old, "types": ["a*"] }), "/types/0"),
            (json!({ "from": old, "types": [] }), "/types"),
            (json!({ "from": old, "until": old }), "/until"),
        ] {
            let answer = trial.ask(&format!("POST {PATH}")).token("one").json(&body).send().await;
            assert_eq!(answer.pointers(), [pointer], "{body}");
        }
        let ask = |token: &str| trial.ask(&format!("POST {PATH}")).token(token).json(&json!({ "from": old })).send();
        ask("two").await.problem(404, "not-found");
        ask("reader").await.problem(403, "forbidden");
        ask("one").await.problem(503, "kafka-unavailable");
    }
}
