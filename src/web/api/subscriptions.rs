//! `/v1/subscriptions`: create, read, list, change, delete.

use crate::model::subscription::{Start, Subscription};
use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::runtime::status::Report;
use crate::store::space::Space;
use crate::subscriptions::error::DirectoryError;
use crate::subscriptions::health::{Behind, Health, Standing};
use crate::subscriptions::snapshot::Entry;
use crate::subscriptions::written;
use crate::web::api::asked::{Document, Id};
use crate::web::api::conditions::{self, Condition};
use crate::web::api::idempotency::Answer;
use crate::web::api::once::{Request, once, whole};
use crate::web::api::page::{Asked, Page};
use crate::web::api::past;
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::shape::{self, Made};
use crate::web::auth::Caller;
use crate::web::state::Api;
use crate::yaml::node::Node;
use axum::extract::{self, RawQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info};

/// How often a change without `If-Match` is tried when others change the same subscription.
pub(crate) const TRIES: usize = 5;

pub(crate) type Answered = Result<Response, Problem>;

pub(crate) async fn create(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    document: Document,
) -> Answered {
    let request = Request { caller: &caller, headers: &headers, digest: document.digest };
    let (inner, asked) = (Arc::clone(&api), caller.clone());
    once(&api, request, async move { made(&inner, &asked, document.value).await }).await
}

pub(crate) async fn list(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    let asked = Asked::read(query.as_deref(), &[])?;
    let snapshot = api.state.directory.snapshot();
    let after = asked.after.as_deref();
    let mine = snapshot.iter().map(|entry| &entry.subscription).filter(|one| caller.sees(&one.tenant));
    let mut rest = mine.filter(|one| after.is_none_or(|after| one.id.as_str() > after));
    let page: Vec<_> = rest.by_ref().take(asked.limit).collect();
    let more = rest.next().is_some();
    let last = page.last().filter(|_| more).map(|one| one.id.clone());
    Ok(Page { items: page.into_iter().map(|one| shape::subscription(one)).collect(), last })
}

pub(crate) async fn show(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Answered {
    let entry = seen(&api, &caller, &id)?;
    let mut body = shape::subscription(&entry.subscription);
    body["health"] = health(&api, &entry);
    Ok(tagged(&entry.subscription, body))
}

pub(crate) async fn change(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    document: Document,
) -> Answered {
    let inner = Arc::clone(&api);
    whole(&api, async move {
        let changed = changed(&inner, &caller, &id, (Condition::read(&headers), &document.value)).await?;
        info!(subscription = %changed.id, version = changed.version, by = %caller.name, "subscription changed");
        Ok(tagged(&changed, shape::subscription(&changed)))
    })
    .await
}

pub(crate) async fn delete(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
) -> Answered {
    let entry = changeable(&api, &caller, &id)?;
    Condition::read(&headers).check(entry.subscription.version)?;
    let inner = Arc::clone(&api);
    whole(&api, async move {
        inner.state.directory.delete(&id).await.map_err(|error| refused(&error))?;
        info!(subscription = %id, by = %caller.name, "subscription deleted");
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

async fn made(api: &Api, caller: &Caller, mut document: Value) -> Result<Answer, Problem> {
    bind_tenant(caller, &mut document)?;
    let by_user = document.get("secrets").is_some_and(|secrets| !secrets.is_null());
    let node = Node::from_json(&"request".into(), &document);
    let subscription = written::create(&node, &api.state.guard, clock::now());
    let subscription = subscription.map_err(|problems| Problem::invalid(&problems, &document))?;
    reachable(api, &subscription).await?;
    let begin = (subscription.start, clock::now());
    let cursors = match begin.0 {
        Start::Now => Vec::new(),
        Start::Earliest | Start::At(_) => past::look(api, move |past, topics| past.cursors(topics, begin)).await?,
    };
    let created = api.state.directory.create(subscription, cursors).await.map_err(|error| refused(&error))?;
    info!(subscription = %created.id, tenant = %created.tenant, by = %caller.name, "subscription created");
    let mut body = shape::subscription(&created);
    body["secrets"] = shape::secrets(&created, if by_user { Made::ByUser } else { Made::Here });
    let location = HeaderValue::from_str(&format!("/v1/subscriptions/{}", created.id));
    let location = location.expect("a new id is of letters and digits");
    let answer = Answer::json(StatusCode::CREATED, &body).with(header::LOCATION, location);
    Ok(answer.with(header::ETAG, conditions::etag(created.version)))
}

/// Changes what is there now. Without a condition, who loses a race against another change begins again.
async fn changed(
    api: &Api,
    caller: &Caller,
    id: &str,
    (condition, patch): (Condition, &Value),
) -> Result<Arc<Subscription>, Problem> {
    let node = Node::from_json(&"request".into(), patch);
    for _ in 0..TRIES {
        let entry = changeable(api, caller, id)?;
        let old = &entry.subscription;
        condition.check(old.version)?;
        let changed = written::change(old, &node, &api.state.guard, clock::now());
        let changed = changed.map_err(|problems| Problem::invalid(&problems, patch))?;
        if changed.url != old.url {
            reachable(api, &changed).await?;
        }
        match api.state.directory.update(changed, old.version).await {
            Err(DirectoryError::Conflict { .. }) => {}
            other => return other.map_err(|error| refused(&error)),
        }
    }
    Err(Problem::of(Kind::Conflict, "others change it all the time: try again"))
}

/// A tenant's token makes that tenant's subscriptions, also when it does not say so.
fn bind_tenant(caller: &Caller, document: &mut Value) -> Result<(), Problem> {
    let (Some(own), Some(fields)) = (caller.tenant(), document.as_object_mut()) else { return Ok(()) };
    match fields.get("tenant") {
        Some(Value::String(tenant)) if tenant != own => {
            Err(Problem::of(Kind::Forbidden, "the token is bound to another tenant"))
        }
        None | Some(Value::Null) => {
            fields.insert("tenant".into(), json!(own));
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// The addresses behind the endpoint's name may be called (SEC-1), and there is room to store.
pub(crate) async fn reachable(api: &Api, subscription: &Subscription) -> Result<(), Problem> {
    if api.state.store.space() == Space::Hard {
        return Err(refused(&DirectoryError::Full));
    }
    let judged = api.state.guard.resolve_and_judge(&subscription.url).await;
    judged.map_err(|refusal| Problem::field("/url", refusal.to_string()))
}

pub(crate) fn seen(api: &Api, caller: &Caller, id: &str) -> Result<Arc<Entry>, Problem> {
    let snapshot = api.state.directory.snapshot();
    let entry = snapshot.get(id).filter(|entry| caller.sees(&entry.subscription.tenant));
    entry.cloned().ok_or_else(|| Problem::not_found("subscription"))
}

pub(crate) fn changeable(api: &Api, caller: &Caller, id: &str) -> Result<Arc<Entry>, Problem> {
    let entry = seen(api, caller, id)?;
    if entry.subscription.declared {
        return Err(Problem::of(Kind::ReadOnly, "it is declared in a file: change it there"));
    }
    Ok(entry)
}

pub(crate) fn refused(error: &DirectoryError) -> Problem {
    match error {
        DirectoryError::NotFound => Problem::not_found("subscription"),
        DirectoryError::Conflict { found, .. } => conditions::stale(*found),
        DirectoryError::Store(error) => {
            error!(%error, "a change could not be stored");
            Problem::of(Kind::StoreUnavailable, "the store takes no writes")
        }
        DirectoryError::Full => Problem::of(Kind::StoreUnavailable, error.to_string()),
        DirectoryError::Target(error) => Problem::field("", error.to_string()),
    }
}

fn health(api: &Api, entry: &Entry) -> Value {
    let health = Health::of(entry.subscription.status.state, &entry.cell);
    let report = api.state.board.read();
    let cursors = health.cursors.iter().map(|behind| cursor(behind, &report));
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let millis = |took: Option<Duration>| took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    json!({
        "places": { "live": health.live, "behind": health.behind, "joining": health.joining },
        "reason": Some(health.standing).filter(|standing| *standing != Standing::Live).map(Standing::as_str),
        "breaker": health.breaker,
        "in_flight": health.in_flight,
        "queued": health.queued,
        "ledger": { "rows": health.rows, "bytes": health.bytes, "oldest": time(health.oldest) },
        "dead_letters": { "rows": health.letters.rows, "bytes": health.letters.bytes },
        "full": health.full,
        "cursors": cursors.collect::<Vec<_>>(),
        "last_success_at": time(health.last_success),
        "last_failure_at": time(health.last_failure),
        "failing_since": time(health.failing_since),
        "consecutive_failures": health.consecutive_failures,
        "p50_ms": millis(health.p50),
        "p99_ms": millis(health.p99),
    })
}

fn cursor(behind: &Behind, report: &Report) -> Value {
    let Behind { at, offset, near } = behind;
    let end = report.partitions.get(at).and_then(|partition| partition.end);
    let headroom = report.beginnings.get(at).and_then(|beginning| beginning.headroom((*offset, *near)));
    json!({
        "topic": &*at.topic,
        "partition": at.partition,
        "offset": offset,
        "end": end,
        "retention_headroom_s": headroom.map(|headroom| headroom.as_secs()),
    })
}

pub(crate) fn tagged(subscription: &Subscription, body: Value) -> Response {
    ([(header::ETAG, conditions::etag(subscription.version))], Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::broker::Broker;
    use crate::kafka::settings::KafkaSettings;
    use crate::model::id::Sid;
    use crate::model::record::TopicPartition;
    use crate::model::subscription::Tenant;
    use crate::runtime::status::{Beginning, PartitionReport};
    use crate::web::trial::{Answer, Trial, order};

    fn path(answer: &Answer) -> String {
        answer.header("location").unwrap().to_owned()
    }

    async fn get(trial: &Trial, path: &str) -> Answer {
        trial.ask(&format!("GET {path}")).send().await
    }

    #[tokio::test]
    async fn a_create_answers_with_place_version_and_everything_that_was_said() {
        let trial = Trial::open().await;
        let more = json!({
            "name": "Billing", "description": "d", "metadata": { "team": "billing" }, "format": "standard",
            "filter": "event.data.total > 100", "headers": { "x-source": "acme" }, "timeout": "5s", "concurrency": 3,
            "retry": { "schedule": ["1s", "90s"], "max_age": "2d", "jitter": 0.5 }, "tenant": "m-1",
        });
        let answer = trial.create("", more.clone()).await;
        assert_eq!((answer.status, answer.header("etag")), (201, Some("\"1\"")));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let made = answer.json();
        assert_eq!(path(&answer), format!("/v1/subscriptions/{}", made["id"].as_str().unwrap()));
        assert!(made["id"].as_str().unwrap().starts_with("sub_"));
        for (key, value) in more.as_object().unwrap() {
            assert_eq!(&made[key], value, "{key}");
        }
        assert_eq!(
            (&made["status"], &made["version"], &made["declared"]),
            (&json!("active"), &json!(1), &json!(false))
        );
        let got = get(&trial, &path(&answer)).await;
        assert_eq!((got.status, got.header("etag")), (200, Some("\"1\"")));
        let (mut got, mut made) = (got.json(), made);
        assert_eq!(got["health"]["ledger"], json!({ "rows": 0, "bytes": 0, "oldest": null }));
        assert_eq!((&got["health"]["in_flight"], &got["health"]["reason"]), (&json!(0), &Value::Null));
        let unknown = ["last_success_at", "last_failure_at", "failing_since", "p50_ms", "p99_ms"];
        assert!(unknown.iter().all(|key| got["health"].get(key) == Some(&Value::Null)), "{}", got["health"]);
        assert_eq!(got["health"]["consecutive_failures"], json!(0));
        got.as_object_mut().unwrap().remove("health");
        made.as_object_mut().unwrap().remove("secrets");
        assert_eq!(got, made);
    }

    #[tokio::test]
    async fn p9_secrets_are_shown_once_and_credentials_never() {
        let trial = Trial::open().await;
        let auth = json!({ "basic": { "username": "u", "password": "hunter2" } });
        let answer = trial.create("", json!({ "auth": auth })).await;
        let made = answer.json();
        let secret = made["secrets"][0].as_str().unwrap().to_owned();
        assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
        assert_eq!(made["auth"], json!({ "kind": "basic" }));
        let patch = trial.ask(&format!("PATCH {}", path(&answer))).json(&json!({ "name": "x" })).send().await;
        let list = get(&trial, "/v1/subscriptions").await;
        for (what, text) in [("get", get(&trial, &path(&answer)).await), ("list", list), ("patch", patch)] {
            assert_eq!(text.status, 200);
            assert!(!text.body.contains(&secret) && !text.body.contains("secrets"), "{what}");
            assert!(!text.body.contains("hunter2") && text.body.contains("\"auth\":{\"kind\":\"basic\"}"), "{what}");
        }
        assert!(!answer.body.contains("hunter2"));
    }

    #[tokio::test]
    async fn sec_8_a_secret_that_was_given_is_shown_by_its_ends_only() {
        let trial = Trial::open().await;
        let given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let made = trial.create("", json!({ "secrets": [given] })).await.json();
        assert_eq!(made["secrets"], json!(["whsec_...LaSw"]));
        let wrong = trial.create("", json!({ "secrets": ["whsec_hunter2hunter2"] })).await;
        assert!(wrong.status == 422 && !wrong.body.contains("hunter2"), "{wrong:?}");
    }

    #[tokio::test]
    async fn with_ed25519_the_public_key_can_always_be_read() {
        let trial = Trial::open().await;
        let answer = trial.create("", json!({ "signing": { "scheme": "ed25519" } })).await;
        let (made, got) = (answer.json(), get(&trial, &path(&answer)).await);
        assert!(made["secrets"][0].as_str().unwrap().starts_with("whsk_"));
        assert!(got.json()["public_keys"][0].as_str().unwrap().starts_with("whpk_"));
        assert!(!got.body.contains("whsk_"));
    }

    #[tokio::test]
    async fn all_mistakes_are_told_at_once_each_with_its_pointer() {
        let trial = Trial::open().await;
        let wrong = json!({
            "types": ["com.acme.order", ""], "tiemout": "5s", "headers": { "webhook-id": "x" }, "concurrency": 0,
            "retry": { "max_age": "soon" }, "format": "xml2", "name": 5,
        });
        let answer = trial.ask("POST /v1/subscriptions").json(&wrong).send().await;
        let pointers = answer.pointers();
        for pointer in
            ["/types/1", "/tiemout", "/headers/webhook-id", "/concurrency", "/retry/max_age", "/format", "/name"]
        {
            assert!(pointers.iter().any(|other| other == pointer), "{pointer} is not in {pointers:?}");
        }
        assert!(answer.body.contains("timeout") && answer.body.contains("url"), "{}", answer.body);
        assert_eq!(trial.ask("POST /v1/subscriptions").json(&json!([1])).send().await.pointers(), [""]);
    }

    #[tokio::test]
    async fn what_comes_later_is_refused_and_not_left_out() {
        let trial = Trial::open().await;
        let answer = trial.create("", json!({ "format": "xml" })).await;
        assert_eq!(answer.pointers(), ["/format"], "{}", answer.body);
        assert!(answer.body.contains("not yet available"), "{}", answer.body);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_subscription_that_begins_in_the_past_has_its_cursors_before_the_answer() {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 3).unwrap();
        let brokers = broker.servers().to_owned();
        let trial = Trial::reading(KafkaSettings { brokers, ..KafkaSettings::default() }, "shop.orders").await;
        let ours = TopicPartition { topic: "shop.orders".into(), partition: 1 };
        trial.state.directory.hands().partitions.open(&ours, 0);
        let answer = trial.create("", json!({ "start": "earliest" })).await;
        assert_eq!((answer.status, &answer.json()["start"]), (201, &json!("earliest")));
        let cursors = trial.state.store.cursors().unwrap();
        assert_eq!(
            cursors.iter().map(|(key, row)| (key.at.partition, row.offset)).collect::<Vec<_>>(),
            [(0, 0), (1, 0), (2, 0)]
        );
        let health = get(&trial, &path(&answer)).await.json()["health"].clone();
        assert_eq!((&health["reason"], &health["places"]["behind"]), (&json!("starting"), &json!(1)));
        let cursor = |end: Option<i64>, headroom: Option<u64>| json!([{ "topic": "shop.orders", "partition": 1, "offset": 0, "end": end, "retention_headroom_s": headroom }]);
        assert_eq!(health["cursors"], cursor(None, None));
        trial.state.board.update(|report| {
            report.partitions.insert(ours.clone(), PartitionReport { end: Some(7), ..PartitionReport::default() });
            report.beginnings.insert(ours, Beginning { low: 0, first: None });
        });
        assert_eq!(get(&trial, &path(&answer)).await.json()["health"]["cursors"], cursor(Some(7), Some(0)));
        trial.create("", json!({ "start": "now" })).await;
        assert_eq!(trial.state.store.cursors().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn when_the_past_cannot_be_looked_up_nothing_is_made() {
        let trial = Trial::open().await;
        trial.create("", json!({ "start": "earliest" })).await.problem(503, "kafka-unavailable");
        let future = trial.create("", json!({ "start": "2999-01-01T00:00:00Z" })).await;
        assert_eq!(future.pointers(), ["/start"]);
        assert_eq!(trial.state.store.subscriptions().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn p8_an_endpoint_that_may_not_be_called_is_refused() {
        let trial = Trial::open().await;
        let urls =
            ["http://10.0.0.1/x", "https://169.254.169.254/", "https://localhost/", "ftp://127.0.0.1/", "nonsense"];
        for url in urls {
            assert_eq!(trial.create("", json!({ "url": url })).await.pointers(), ["/url"], "{url}");
        }
        let made = trial.create("", json!({})).await;
        let patch = trial.ask(&format!("PATCH {}", path(&made))).json(&json!({ "url": urls[0] })).send().await;
        assert_eq!(patch.pointers(), ["/url"]);
        // A name that resolves to nothing is refused now (SEC-1); `.invalid` never resolves (RFC 6761).
        assert_eq!(trial.create("", json!({ "url": "https://hooks.invalid/" })).await.pointers(), ["/url"]);
    }

    #[tokio::test]
    async fn a_change_is_a_merge_patch_and_makes_a_new_version() {
        let trial = Trial::open().await;
        let made = trial.create("", json!({ "name": "a", "metadata": { "x": "1", "y": "2" } })).await;
        let patch = json!({ "name": null, "metadata": { "y": null, "z": "3" }, "types": ["com.other"] });
        let changed = trial.ask(&format!("PATCH {}", path(&made))).json(&patch).send().await;
        assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")));
        let body = changed.json();
        assert_eq!((&body["name"], &body["types"]), (&Value::Null, &json!(["com.other"])));
        assert_eq!(body["metadata"], json!({ "x": "1", "z": "3" }));
        assert_eq!(get(&trial, &path(&made)).await.json()["version"], 2);
        let patch = json!({ "types": [], "nmae": "b" });
        let wrong = trial.ask(&format!("PATCH {}", path(&made))).json(&patch).send().await;
        assert_eq!(wrong.pointers(), ["/nmae", "/types"]);
        assert_eq!(get(&trial, &path(&made)).await.json()["version"], 2);
        let tenant = trial.ask(&format!("PATCH {}", path(&made))).json(&json!({ "tenant": "m-2" })).send().await;
        assert_eq!(tenant.pointers(), ["/tenant"]);
    }

    #[tokio::test]
    async fn a_change_bound_to_another_version_is_refused_with_the_present_one() {
        let trial = Trial::open().await;
        let made = path(&trial.create("", json!({})).await);
        let patch = |tag: &str| {
            let ask = trial.ask(&format!("PATCH {made}")).header("if-match", tag);
            ask.json(&json!({ "name": "x" })).send()
        };
        assert_eq!(patch("\"1\"").await.status, 200);
        for tag in ["\"1\"", "W/\"2\"", "2", "\"\"", "\"3\", \"1\""] {
            let answer = patch(tag).await;
            answer.problem(412, "precondition-failed");
            assert_eq!(answer.header("etag"), Some("\"2\""));
        }
        assert_eq!(patch("\"9\", \"2\"").await.status, 200);
        assert_eq!(patch("*").await.status, 200);
        let delete = |tag| trial.ask(&format!("DELETE {made}")).header("if-match", tag).send();
        delete("\"1\"").await.problem(412, "precondition-failed");
        assert_eq!(delete("\"4\"").await.status, 204);
    }

    #[tokio::test]
    async fn changes_at_the_same_time_are_all_applied() {
        let trial = Arc::new(Trial::open().await);
        let made = path(&trial.create("", json!({})).await);
        let patches = ["a", "b", "c", "d"]
            .map(|key| trial.ask(&format!("PATCH {made}")).json(&json!({ "metadata": { key: "1" } })).send());
        let [a, b, c, d] = patches;
        let answers = tokio::join!(a, b, c, d);
        assert_eq!([answers.0.status, answers.1.status, answers.2.status, answers.3.status], [200; 4]);
        let got = get(&trial, &made).await.json();
        assert_eq!((&got["version"], got["metadata"].as_object().unwrap().len()), (&json!(5), 4));
    }

    #[tokio::test]
    async fn what_is_deleted_is_gone() {
        let trial = Trial::open().await;
        let made = path(&trial.create("", json!({})).await);
        let deleted = trial.ask(&format!("DELETE {made}")).send().await;
        assert_eq!((deleted.status, deleted.body.as_str()), (204, ""));
        get(&trial, &made).await.problem(404, "not-found");
        trial.ask(&format!("DELETE {made}")).send().await.problem(404, "not-found");
        trial.ask(&format!("PATCH {made}")).json(&json!({})).send().await.problem(404, "not-found");
        assert_eq!(trial.state.store.subscriptions().unwrap().len(), 0);
    }

    #[tokio::test]
    async fn what_is_declared_in_a_file_is_read_only() {
        let trial = Trial::open().await;
        let declared = trial.given("sub_billing", Tenant::None, Sid::new(1, 1)).await;
        let changed = Subscription { declared: true, version: 2, ..(*declared).clone() };
        trial.state.directory.update(changed, 1).await.unwrap();
        assert_eq!(get(&trial, "/v1/subscriptions/sub_billing").await.json()["declared"], true);
        let patch = trial.ask("PATCH /v1/subscriptions/sub_billing").json(&json!({ "name": "x" }));
        patch.send().await.problem(409, "read-only");
        trial.ask("DELETE /v1/subscriptions/sub_billing").send().await.problem(409, "read-only");
    }

    #[tokio::test]
    async fn pages_give_each_subscription_once_and_end() {
        let trial = Trial::open().await;
        for number in 0..7 {
            trial.given(&format!("s-{number}"), Tenant::None, Sid::new(1, number)).await;
        }
        let (mut ids, mut query) = (Vec::new(), "limit=3".to_owned());
        for _ in 0..3 {
            let page = get(&trial, &format!("/v1/subscriptions?{query}")).await.json();
            ids.extend(page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(cursor) => query = format!("limit=3&cursor={cursor}"),
                None => query.clear(),
            }
        }
        assert_eq!((query.as_str(), ids), ("", (0..7).map(|number| format!("s-{number}")).collect()));
        let whole = get(&trial, "/v1/subscriptions?limit=7").await.json();
        assert_eq!((whole["items"].as_array().unwrap().len(), &whole["next_cursor"]), (7, &Value::Null));
    }

    #[tokio::test]
    async fn what_a_list_does_not_know_is_refused() {
        let trial = Trial::open().await;
        for query in
            ["limit=0", "limit=201", "limit=x", "limit=-1", "cursor=%25", "limit=1&limit=2", "tenat=x", "cursor=_w"]
        {
            get(&trial, &format!("/v1/subscriptions?{query}")).await.problem(400, "bad-request");
        }
    }

    #[tokio::test]
    async fn the_same_key_makes_one_subscription_and_the_same_answer() {
        let trial = Trial::guarded().await;
        let post = |token: &str, key: &str, name: &str| {
            let ask = trial.ask("POST /v1/subscriptions").token(token).header("idempotency-key", key);
            ask.json(&order(json!({ "name": name }))).send()
        };
        let (first, again) = (post("one", "k-1", "a").await, post("one", "k-1", "a").await);
        assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
        assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
        assert_eq!((again.json(), path(&again)), (first.json(), path(&first)));
        assert_eq!(again.header("etag"), first.header("etag"));
        post("one", "k-1", "b").await.problem(422, "idempotency-key-reused");
        let other = post("two", "k-1", "a").await;
        assert_ne!(other.json()["id"], first.json()["id"]);
        post("one", "", "a").await.problem(400, "bad-request");
        post("one", &"k".repeat(256), "a").await.problem(400, "bad-request");
        assert_eq!(trial.state.directory.snapshot().iter().count(), 2);
    }

    #[tokio::test]
    async fn a_key_whose_request_was_refused_may_be_used_again() {
        let trial = Trial::open().await;
        let post = |body: Value| trial.ask("POST /v1/subscriptions").header("idempotency-key", "k").json(&body).send();
        post(json!({ "types": ["a"] })).await.problem(422, "invalid");
        assert_eq!(post(order(json!({}))).await.status, 201);
    }

    #[tokio::test]
    async fn when_the_store_takes_nothing_a_change_is_refused_and_not_half_done() {
        let trial = Trial::open().await;
        trial.state.store.close().unwrap();
        trial.create("", json!({})).await.problem(503, "store-unavailable");
        assert_eq!(get(&trial, "/v1/subscriptions").await.json()["items"], json!([]));
    }
}
