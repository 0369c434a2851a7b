//! `POST /v1/quarantine/retry`, `POST` and `DELETE` of one and by filter: what was not understood passes the rules in
//! force again, or is let go.

use crate::decode;
use crate::model::problem::Problems;
use crate::model::quarantine::{Fault, FaultReason, Filter, Quarantined};
use crate::quarantine::{Becomes, Found};
use crate::registry::desk::Said;
use crate::runtime::clock;
use crate::store::error::StoreError;
use crate::store::space::Space;
use crate::subscriptions::again::{Again, Passed};
use crate::web::api::asked::{Document, Id, Plain, object};
use crate::web::api::idempotency::Answer;
use crate::web::api::once::{Request, once, whole};
use crate::web::api::page;
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::quarantine::filter;
use crate::web::api::stored;
use crate::web::auth::Caller;
use crate::web::state::Api;
use crate::yaml::fields::Fields;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;
use tracing::{error, info, warn};

/// Records that are passed at once: each may have a MiB.
const CHUNK: usize = 16;
/// Records that one request sends again or removes, at most.
const MOST: usize = 1_000;

/// What a request is about.
#[derive(Default)]
struct Wanted {
    filter: Filter,
    id: Option<String>,
    /// Where the request before this one ended.
    cursor: Option<String>,
    dry_run: bool,
}

/// The rows that fit.
struct Rows {
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
    caller.operator()?;
    let wanted = Wanted::read(&document.value)?;
    if wanted.dry_run {
        let rows = find(&api, &wanted).await?;
        return Ok(Json(told(&rows, Again::default())).into_response());
    }
    let request = Request { caller: &caller, headers: &headers, digest: document.digest };
    let (inner, by) = (Arc::clone(&api), Arc::clone(&caller.name));
    once(&api, request, async move {
        let rows = find(&inner, &wanted).await?;
        passed(&inner, rows, &by).await
    })
    .await
}

pub(crate) async fn retry_one(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    Plain(digest): Plain,
) -> Result<Response, Problem> {
    caller.operator()?;
    let request = Request { caller: &caller, headers: &headers, digest };
    let (inner, by) = (Arc::clone(&api), Arc::clone(&caller.name));
    once(&api, request, async move {
        let wanted = Wanted { id: Some(id), ..Wanted::default() };
        let rows = find(&inner, &wanted).await?;
        passed(&inner, rows, &by).await
    })
    .await
}

pub(crate) async fn forget(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    caller.operator()?;
    let (inner, by) = (Arc::clone(&api), Arc::clone(&caller.name));
    whole(&api, async move {
        if remove(&inner, vec![id.clone()]).await? == 0 {
            return Err(Problem::not_found("quarantined record"));
        }
        info!(record = %id, %by, "removed from the quarantine");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub(crate) async fn forget_some(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    caller.operator()?;
    let asked = page::filters(query.as_deref(), &["topic", "mapping", "reason"])?;
    if asked.is_empty() {
        return Err(Problem::of(Kind::BadRequest, "say which, by topic, mapping or reason"));
    }
    let wanted = Wanted { filter: filter(|name| asked.get(name).cloned())?, ..Wanted::default() };
    let (inner, by) = (Arc::clone(&api), Arc::clone(&caller.name));
    whole(&api, async move {
        let Rows { ids, more } = find(&inner, &wanted).await?;
        let removed = remove(&inner, ids).await?;
        info!(removed, %by, "removed from the quarantine");
        Ok(Json(json!({ "removed": removed, "more": more })))
    })
    .await
}

async fn find(api: &Api, wanted: &Wanted) -> Result<Rows, Problem> {
    let (filter, id, after) = (wanted.filter.clone(), wanted.id.clone(), wanted.cursor.clone());
    let asked_for_one = id.is_some();
    let rows = stored::read(api, move |store| {
        if let Some(id) = id {
            let row = store.quarantined_one(&id)?.filter(|row| filter.fits(row.topic(), &row.fault));
            return Ok(Rows { ids: row.map(|_| id).into_iter().collect(), more: false });
        }
        let mut ids = store.quarantine_ids(&filter, after.as_deref(), MOST + 1)?;
        let more = ids.len() > MOST;
        ids.truncate(MOST);
        Ok(Rows { ids, more })
    });
    match rows.await? {
        Rows { ids, .. } if asked_for_one && ids.is_empty() => Err(Problem::not_found("quarantined record")),
        rows => Ok(rows),
    }
}

/// Passes them by the rules in force now.
async fn passed(api: &Api, rows: Rows, by: &str) -> Result<Answer, Problem> {
    writable(api)?;
    let mut again = Again::default();
    for ids in rows.ids.chunks(CHUNK) {
        let (pipeline, desk) = (api.state.pipeline.load_full(), Arc::clone(&api.state.desk));
        let pass = move |row: &Quarantined| {
            let mut passage = pipeline.pass_again(&row.record, row.fault.mapping.as_deref());
            if let Some(schema) = passage.absent {
                let why = match desk.ask(schema, clock::now()) {
                    Said::Wait => format!("its schema {schema} is being looked up: send it again in a moment"),
                    Said::Nothing(why) => why,
                };
                passage.faults.push(Fault { mapping: row.fault.mapping.clone(), ..decode::fault(why) });
            }
            for fault in &passage.dropped {
                warn!(mapping = fault.mapping, "dropped out of the quarantine, as its mapping asks: {}", fault.detail);
            }
            Passed { events: passage.events, faults: passage.faults }
        };
        let passed = api.state.directory.pass_again(&api.state.quarantine, ids, pass).await;
        again += passed.map_err(|error| refused(&error))?;
    }
    let Again { retried, failed, waiting } = again;
    info!(retried, failed, waiting, by, "quarantined records passed the rules again");
    Ok(Answer::json(StatusCode::OK, &told(&rows, again)))
}

async fn remove(api: &Api, ids: Vec<String>) -> Result<usize, Problem> {
    writable(api)?;
    let quarantine = Arc::clone(&api.state.quarantine);
    let removing = tokio::task::spawn_blocking(move || {
        let (mut removed, mut durable) = (0, Vec::new());
        for id in &ids {
            let (done, waits) = tokio::sync::oneshot::channel();
            let gone = |_: &Quarantined| Some(Becomes::default());
            if quarantine.look(id, gone, move |result| drop(done.send(result)))? == Found::Yes {
                removed += 1;
                durable.push(waits);
            }
        }
        Ok((removed, durable))
    });
    let broke_down = |_| Problem::of(Kind::Internal, "the quarantine broke down");
    let (removed, durable) = removing.await.map_err(broke_down)?.map_err(|error| refused(&error))?;
    for waits in durable {
        waits.await.unwrap_or(Err(StoreError::Closed)).map_err(|error| refused(&error))?;
    }
    Ok(removed)
}

/// Who changes a row may wait for the store, and those who read wait for them: so not on a full disk.
fn writable(api: &Api) -> Result<(), Problem> {
    match api.state.store.space() {
        Space::Hard => Err(Problem::of(Kind::StoreUnavailable, "the disk is full: free space is below store.min_free")),
        Space::Soft | Space::Enough => Ok(()),
    }
}

fn told(rows: &Rows, again: Again) -> Value {
    let Again { retried, failed, waiting } = again;
    json!({
        "matched": rows.ids.len(),
        "retried": retried,
        "failed": failed,
        "waiting": waiting,
        "more": rows.more,
        "next_cursor": rows.ids.last().filter(|_| rows.more),
    })
}

fn refused(error: &StoreError) -> Problem {
    error!(%error, "the quarantine could not be changed");
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
        wanted.cursor = fields.optional("cursor").and_then(|field| field.string(problems));
        let mut filter = Fields::of(&fields.required("filter", problems)?, problems)?;
        wanted.filter.topic = filter.optional("topic").and_then(|field| field.string(problems));
        wanted.filter.mapping = filter.optional("mapping").and_then(|field| field.string(problems));
        let reasons = FaultReason::ALL.map(|reason| (reason.as_str(), reason));
        wanted.filter.reason = filter.optional("reason").and_then(|field| field.one_of(&reasons, problems));
        wanted.id = filter.optional("id").and_then(|field| field.string(problems));
        filter.finish(problems);
        Some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::written::Rules;
    use crate::model::id::{EventId, Sid};
    use crate::model::quarantine::{Fault, Owed};
    use crate::model::record::{Origin, Record, TopicPartition};
    use crate::model::subscription::Tenant;
    use crate::model::time::Timestamp;
    use crate::pipeline::Pipeline;
    use crate::web::trial::{Answer, Trial};
    use crate::yaml::reader;
    use std::collections::BTreeSet;

    const MENDED: &str = "[{ name: placed, from: shop.orders, emit: { type: com.acme.placed, data: '${payload.total}' } }, \
        { name: other, from: shop.orders, emit: { type: com.acme.other, data: '${payload.x}' } }]";

    fn at() -> TopicPartition {
        TopicPartition { topic: "shop.orders".into(), partition: 1 }
    }

    fn origin(offset: i64) -> Origin {
        Origin { topic: "shop.orders".into(), partition: 1, offset, timestamp: Timestamp::from_millis(5) }
    }

    /// A house that reads the partition, with these rules.
    async fn house(rules: &str) -> Trial {
        let trial = Trial::guarded().await;
        trial.state.directory.hands().partitions.open(&at(), 100);
        mend(&trial, rules);
        trial
    }

    /// Other rules from now on.
    fn mend(trial: &Trial, text: &str) {
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        rules.add_file(&reader::read(&"m.yaml".into(), &format!("mappings: {text}")).unwrap(), &mut problems);
        let mappings = rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems}");
        trial.state.pipeline.store(Arc::new(Pipeline::new(mappings, Vec::new(), 1 << 20)));
    }

    async fn keep(trial: &Trial, (offset, value): (i64, &'static str), (mapping, owed): (Option<&str>, Owed)) {
        let record = Record { origin: origin(offset), key: None, headers: Vec::new(), value: Some(value.into()) };
        let reason = if mapping.is_some() { FaultReason::Map } else { FaultReason::Decode };
        let mapping = mapping.map(str::to_owned);
        let fault = Fault { reason, mapping, field: None, expression: None, detail: "as it was".into() };
        let (done, told) = tokio::sync::oneshot::channel();
        trial.state.quarantine.keep(&record, (fault, owed), |result| done.send(result).unwrap());
        told.await.unwrap().unwrap();
    }

    fn all() -> Owed {
        Owed::to_live(Timestamp::from_millis(50), BTreeSet::new())
    }

    async fn retry(trial: &Trial, body: Value) -> Answer {
        trial.ask("POST /v1/quarantine/retry").token("boss").json(&body).send().await
    }

    async fn rows(trial: &Trial) -> Vec<Value> {
        let list = trial.ask("GET /v1/quarantine").token("boss").send().await.json();
        list["items"].as_array().unwrap().clone()
    }

    /// Who owes which event, as offsets by subscription.
    fn owed(trial: &Trial) -> Vec<(Sid, i64)> {
        let heads = trial.state.store.ledger_heads().unwrap();
        let mut owed: Vec<_> = heads.iter().map(|(key, _)| (key.sid, key.offset)).collect();
        owed.sort_unstable();
        owed
    }

    fn told(answer: &Answer) -> [i64; 4] {
        let body = answer.json();
        ["matched", "retried", "failed", "waiting"].map(|field| body[field].as_i64().unwrap())
    }

    #[tokio::test]
    async fn what_is_understood_now_is_owed_by_value_to_exactly_those_who_were_owed_the_record() {
        let trial = house(MENDED).await;
        let (old, behind, rider, young) = (Sid::new(1, 1), Sid::new(1, 2), Sid::new(60, 3), Sid::new(60, 4));
        for (id, sid) in [("old", old), ("behind", behind), ("rider", rider), ("young", young)] {
            trial.given(id, Tenant::None, sid).await;
        }
        trial.given("of-a-tenant", Tenant::One("t-1".into()), Sid::new(1, 5)).await;
        let value = r#"{"total":5}"#;
        let live = Owed::to_live(Timestamp::from_millis(50), BTreeSet::from([behind]));
        keep(&trial, (7, value), (Some("placed"), live)).await;
        keep(
            &trial,
            (7, value),
            (Some("placed"), Owed::to_riders(BTreeSet::from([rider]), Timestamp::from_millis(70))),
        )
        .await;
        keep(
            &trial,
            (8, value),
            (Some("placed"), Owed::to_riders(BTreeSet::from([behind]), Timestamp::from_millis(70))),
        )
        .await;
        assert_eq!(
            rows(&trial).await.iter().map(|row| row["for"].clone()).collect::<Vec<_>>(),
            [json!("all"), json!(["behind"])]
        );
        let dry = retry(&trial, json!({ "filter": { "mapping": "placed" }, "dry_run": true })).await;
        assert_eq!((told(&dry), owed(&trial).len()), ([2, 0, 0, 0], 0));
        assert_eq!(told(&retry(&trial, json!({ "filter": { "mapping": "placed" } })).await), [2, 2, 0, 0]);
        assert_eq!(owed(&trial), [(old, 7), (behind, 8), (rider, 7)]);
        assert!(rows(&trial).await.is_empty() && trial.state.quarantine.weight().rows == 0);
        let heads = trial.state.store.ledger_heads().unwrap();
        let streams: BTreeSet<_> = heads.iter().map(|(key, _)| key.stream).collect();
        assert!(streams.len() == 3 && !streams.contains(&0), "each in a stream of its own");
        let event = trial.state.store.ledger_event(&heads[0].0).unwrap().unwrap();
        assert_eq!((&event.id, &event.data), (&EventId::derive(&event.origin, "placed", 0), &json!(5)));
        let health = trial.ask("GET /v1/subscriptions/old").token("boss").send().await.json()["health"].clone();
        assert_eq!(health["ledger"]["rows"], 1, "its lane knows of it");
    }

    #[tokio::test]
    async fn who_went_behind_before_the_record_gets_it_from_the_log_and_not_twice() {
        use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
        let trial = house(MENDED).await;
        let (before, past) = (Sid::new(1, 1), Sid::new(1, 2));
        for (id, sid, offset) in [("before", before, 6), ("past", past, 8)] {
            let since = Timestamp::from_millis(1);
            let (mode, reason) = (CursorMode::Behind, BehindReason::Slow);
            let row = CursorRow { mode, offset, near: None, since, reason, to: None };
            trial.given(id, Tenant::None, sid).await;
            let entry = trial.state.directory.snapshot().get(id).cloned().unwrap();
            let epoch = trial.state.directory.hands().partitions.with(&at(), |progress| progress.epoch()).unwrap();
            let place = crate::lane::signal::PlaceKey { at: at(), stream: 0 };
            entry.cell.act(|lane, turn| lane.begin(place, (epoch, row), turn));
        }
        keep(&trial, (7, r#"{"total":5}"#), (Some("placed"), all())).await;
        assert_eq!(told(&retry(&trial, json!({ "filter": {} })).await), [1, 1, 0, 0]);
        assert_eq!(owed(&trial), [(past, 7)]);
    }

    #[tokio::test]
    async fn what_still_fails_stays_with_its_new_reason() {
        let trial = house(MENDED).await;
        let sid = trial.given("billing", Tenant::None, Sid::new(1, 1)).await.sid;
        keep(&trial, (7, "{}"), (Some("placed"), all())).await;
        keep(&trial, (8, r#"{"total":5}"#), (None, all())).await;
        let id = rows(&trial).await[0]["id"].as_str().unwrap().to_owned();
        let answer = trial.ask(&format!("POST /v1/quarantine/{id}/retry")).token("boss").send().await;
        assert_eq!(told(&answer), [1, 0, 1, 0]);
        let row = rows(&trial).await.remove(0);
        assert_eq!((&row["id"], &row["for"], &row["field"]), (&json!(id), &json!("all"), &json!("emit.data")));
        assert_ne!(row["detail"], "as it was");
        // It can be decoded now: what one mapping makes of it is owed, what the other cannot make stays.
        assert_eq!(told(&retry(&trial, json!({ "filter": { "reason": "decode" } })).await), [1, 0, 1, 0]);
        assert_eq!(owed(&trial), [(sid, 8)]);
        let left: Vec<_> =
            rows(&trial).await.iter().map(|row| (row["origin"]["offset"].clone(), row["mapping"].clone())).collect();
        assert_eq!(left, [(json!(7), json!("placed")), (json!(8), json!("other"))]);
        mend(&trial, &MENDED.replace("${payload.x}", "${payload.total}"));
        assert_eq!(told(&retry(&trial, json!({ "filter": { "mapping": "other" } })).await), [1, 1, 0, 0]);
        assert_eq!(owed(&trial), [(sid, 8), (sid, 8)], "the mapping that had its turn does not run again");
    }

    #[tokio::test]
    async fn asked_for_twice_it_is_sent_once() {
        let trial = house(MENDED).await;
        trial.given("billing", Tenant::None, Sid::new(1, 1)).await;
        for offset in 0..40 {
            keep(&trial, (offset, r#"{"total":5}"#), (Some("placed"), all())).await;
        }
        let ask = || trial.ask("POST /v1/quarantine/retry").token("boss").json(&json!({ "filter": {} })).send();
        let (one, other) = tokio::join!(ask(), ask());
        assert_eq!(told(&one)[1] + told(&other)[1], 40);
        assert_eq!(owed(&trial).len(), 40);
        keep(&trial, (50, r#"{"total":5}"#), (Some("placed"), all())).await;
        let id = rows(&trial).await[0]["id"].as_str().unwrap().to_owned();
        let path = format!("POST /v1/quarantine/{id}/retry");
        let keyed = |path: &str| trial.ask(path).token("boss").header("idempotency-key", "k").send();
        let (first, again) = (keyed(&path).await, keyed(&path).await);
        assert_eq!((told(&first), again.json()), ([1, 1, 0, 0], first.json()));
        assert_eq!((again.header("idempotency-replayed"), owed(&trial).len()), (Some("true"), 41));
        trial.ask(&path).token("boss").send().await.problem(404, "not-found");
        keyed("POST /v1/quarantine/quar_AAAA/retry").await.problem(422, "idempotency-key-reused");
    }

    #[tokio::test]
    async fn what_finds_no_room_waits_where_it_is() {
        let trial = house(MENDED).await;
        let sid = trial.given("billing", Tenant::None, Sid::new(1, 1)).await.sid;
        keep(&trial, (7, r#"{"total":5}"#), (Some("placed"), all())).await;
        let entry = trial.state.directory.snapshot().get("billing").cloned().unwrap();
        let event =
            crate::web::api::dead_letters::tests::letter(sid, 1, crate::model::dead_letter::DeadReason::Gone).event;
        let (key, now) = (crate::model::delivery::LedgerKey::of(&event, sid), crate::runtime::clock::now());
        let due = now.after(std::time::Duration::from_secs(600));
        let head = |body_len| crate::model::delivery::LedgerHead {
            attempts: 1,
            first: now,
            due,
            last: None,
            ordering_key: None,
            body_len,
        };
        entry.cell.act(|lane, turn| lane.adopt(vec![(key.clone(), head(16 << 20))], turn));
        assert_eq!(told(&retry(&trial, json!({ "filter": {} })).await), [1, 0, 0, 1]);
        assert_eq!((rows(&trial).await.len(), owed(&trial).len()), (1, 0));
        entry.cell.act(|lane, turn| lane.forget(&at(), turn));
        trial.state.directory.hands().partitions.close(&at());
        assert_eq!(told(&retry(&trial, json!({ "filter": {} })).await), [1, 0, 0, 1], "nobody reads its partition");
        trial.state.directory.hands().partitions.open(&at(), 100);
        assert_eq!(told(&retry(&trial, json!({ "filter": {} })).await), [1, 1, 0, 0]);
    }

    #[tokio::test]
    async fn records_are_let_go_one_by_one_or_by_filter_and_never_all_by_mistake() {
        let trial = house(MENDED).await;
        for offset in 0..5 {
            keep(&trial, (offset, "{"), (None, all())).await;
        }
        keep(&trial, (9, "{}"), (Some("placed"), all())).await;
        let id = rows(&trial).await[0]["id"].as_str().unwrap().to_owned();
        let delete = |path: &str, token: &str| trial.ask(&format!("DELETE {path}")).token(token).send();
        let one = format!("/v1/quarantine/{id}");
        assert_eq!(delete(&one, "boss").await.status, 204);
        delete(&one, "boss").await.problem(404, "not-found");
        delete("/v1/quarantine", "boss").await.problem(400, "bad-request");
        delete("/v1/quarantine?limit=5", "boss").await.problem(400, "bad-request");
        delete("/v1/quarantine?reason=decode", "one").await.problem(403, "forbidden");
        delete("/v1/quarantine?reason=decode", "reader").await.problem(403, "forbidden");
        let gone = delete("/v1/quarantine?reason=decode", "boss").await.json();
        assert_eq!(gone, json!({ "removed": 4, "more": false }));
        assert_eq!((rows(&trial).await.len(), trial.state.quarantine.weight().rows), (1, 1));
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_and_only_operators_may() {
        let trial = house(MENDED).await;
        for (body, pointer) in [
            (json!({}), "/filter"),
            (json!({ "filter": { "reason": "bored" } }), "/filter/reason"),
            (json!({ "filter": { "subscription": "x" } }), "/filter/subscription"),
            (json!({ "filter": {}, "dry_run": "yes" }), "/dry_run"),
        ] {
            assert!(retry(&trial, body).await.pointers().iter().any(|found| found == pointer), "{pointer}");
        }
        let ask =
            |token: &str| trial.ask("POST /v1/quarantine/retry").token(token).json(&json!({ "filter": {} })).send();
        ask("one").await.problem(403, "forbidden");
        ask("reader").await.problem(403, "forbidden");
        retry(&trial, json!({ "filter": { "id": "quar_AAAA" } })).await.problem(404, "not-found");
    }
}
