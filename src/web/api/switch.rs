//! `/v1/subscriptions/{id}/pause` and `/resume`: what a subscription is allowed to do.

use crate::model::subscription::{State, Subscription};
use crate::subscriptions::Directory;
use crate::subscriptions::error::DirectoryError;
use crate::subscriptions::skip::Skipped;
use crate::subscriptions::snapshot::Entry;
use crate::web::api::asked::{Id, Optional, Plain, object};
use crate::web::api::conditions::Condition;
use crate::web::api::once::whole;
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::shape;
use crate::web::api::subscriptions::{Answered, TRIES, changeable, refused, seen, tagged};
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::Extension;
use axum::extract;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use tracing::info;

/// What is wanted.
#[derive(Clone, Debug)]
enum Wish {
    /// Nothing is to be tried, for this reason.
    Pause(String),
    /// It is to go on where it stopped.
    Resume,
    /// It is to go on where intake stands: what lies between is skipped.
    ResumeNow,
}

/// Nothing is tried any more; what comes meanwhile stays in Kafka, behind a cursor.
pub(crate) async fn pause(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    _: Plain,
) -> Answered {
    let wish = Wish::Pause(format!("paused by {}", caller.name));
    turn(api, (caller, id), wish, Condition::read(&headers)).await
}

/// Attempts go on; one that was disabled is enabled again.
pub(crate) async fn resume(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    Optional(document): Optional,
) -> Answered {
    let wish = document.as_ref().map_or(Ok(Wish::Resume), resumption)?;
    turn(api, (caller, id), wish, Condition::read(&headers)).await
}

/// The subscription, if it may be put into this state. A declared one is read-only, but that we disabled it does not
/// stand in its file: it may be enabled again.
fn turnable(api: &Api, (caller, id): (&Caller, &str), wish: &Wish) -> Result<Arc<Entry>, Problem> {
    let entry = seen(api, caller, id)?;
    match (entry.subscription.status.state, wish) {
        (State::Disabled, Wish::Resume | Wish::ResumeNow) => Ok(entry),
        _ => changeable(api, caller, id),
    }
}

async fn turn(api: Arc<Api>, (caller, id): (Caller, String), wish: Wish, condition: Condition) -> Answered {
    let inner = Arc::clone(&api);
    whole(&api, async move {
        for _ in 0..TRIES {
            let entry = turnable(&inner, (&caller, &id), &wish)?;
            condition.check(entry.subscription.version)?;
            match turned(&inner.state.directory, &entry.subscription, &wish).await {
                Err(DirectoryError::Conflict { .. }) => {}
                Err(error) => return Err(refused(&error)),
                Ok((now, skipped)) => {
                    let mut body = shape::subscription(&now);
                    if let Some(skipped) = skipped {
                        body["skipped"] = skipped.iter().map(shown).collect();
                    }
                    info!(subscription = %id, status = now.status.state.as_str(), skipped = %body["skipped"],
                        by = %caller.name, "status changed");
                    return Ok(tagged(&now, body));
                }
            }
        }
        Err(Problem::of(Kind::Conflict, "others change it all the time: try again"))
    })
    .await
}

/// The subscription as it is then, and what was skipped.
async fn turned(
    directory: &Directory,
    subscription: &Arc<Subscription>,
    wish: &Wish,
) -> Result<(Arc<Subscription>, Option<Vec<Skipped>>), DirectoryError> {
    let status = match wish {
        Wish::Pause(reason) => (State::Paused, Some(reason.clone())),
        Wish::Resume => (State::Active, None),
        Wish::ResumeNow => {
            return directory.resume_now(subscription).await.map(|(now, skipped)| (now, Some(skipped)));
        }
    };
    Ok((directory.turn(subscription, status).await?, None))
}

fn shown(skipped: &Skipped) -> Value {
    let Skipped { at, from, to } = skipped;
    json!({ "topic": &*at.topic, "partition": at.partition, "from": from, "to": to })
}

/// `{"from": "cursor" | "now"}`.
fn resumption(document: &Value) -> Result<Wish, Problem> {
    let wish = object(document, |fields, problems| {
        let table = [("cursor", Wish::Resume), ("now", Wish::ResumeNow)];
        let table = table.each_ref().map(|(name, wish)| (*name, wish));
        fields.optional("from")?.one_of(&table, problems).cloned()
    });
    Ok(wish?.unwrap_or(Wish::Resume))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
    use crate::model::record::TopicPartition;
    use crate::model::subscription::Tenant;
    use crate::model::time::Timestamp;
    use crate::web::trial::Trial;

    #[tokio::test]
    async fn a_pause_says_who_and_since_when_and_outlives_the_process() {
        let trial = Trial::open().await;
        let made = trial.create("", json!({})).await;
        let path = made.header("location").unwrap().to_owned();
        let paused = trial.ask(&format!("POST {path}/pause")).send().await;
        assert_eq!((paused.status, paused.header("etag")), (200, Some("\"2\"")));
        let paused = paused.json();
        assert_eq!((&paused["status"], &paused["version"]), (&json!("paused"), &json!(2)));
        assert!(paused["status_reason"].as_str().unwrap().starts_with("paused by "), "{paused}");
        assert!(paused["status_since"].as_str() >= made.json()["status_since"].as_str());
        let health = trial.ask(&format!("GET {path}")).send().await.json()["health"].clone();
        assert_eq!(health["reason"], "paused");
        assert_eq!(trial.state.store.subscriptions().unwrap()[0].status.state, State::Paused);
        let again = trial.ask(&format!("POST {path}/pause")).send().await.json();
        assert_eq!(again, paused, "it is paused already");
        let resumed = trial.ask(&format!("POST {path}/resume")).json(&json!({})).send().await.json();
        assert_eq!(
            (&resumed["status"], &resumed["status_reason"], &resumed["version"]),
            (&json!("active"), &Value::Null, &json!(3))
        );
        let health = trial.ask(&format!("GET {path}")).send().await.json()["health"].clone();
        assert_eq!((&health["reason"], &health["breaker"]), (&Value::Null, &json!("closed")));
        assert_eq!(health["places"], json!({ "live": 0, "behind": 0, "joining": 0 }));
    }

    #[tokio::test]
    async fn a_resume_enables_what_was_disabled() {
        let trial = Trial::open().await;
        let entry = trial.given("billing", Tenant::None, crate::model::id::Sid::new(1, 1)).await;
        let why = (State::Disabled, Some("the endpoint answered 410 Gone".to_owned()));
        trial.state.directory.turn(&entry, why).await.unwrap();
        let shown = trial.ask("GET /v1/subscriptions/billing").send().await.json();
        assert_eq!((&shown["status"], &shown["health"]["reason"]), (&json!("disabled"), &json!("disabled")));
        let resumed = trial.ask("POST /v1/subscriptions/billing/resume").send().await.json();
        assert_eq!((&resumed["status"], &resumed["status_reason"]), (&json!("active"), &Value::Null));
    }

    #[tokio::test]
    async fn resumed_from_now_what_lies_between_is_skipped_and_the_answer_says_what() {
        let trial = Trial::open().await;
        let (sid, since) = (crate::model::id::Sid::new(1, 1), Timestamp::from_millis(1));
        let entry = trial.given("billing", Tenant::None, sid).await;
        let at = |partition| TopicPartition { topic: "shop.orders".into(), partition };
        let row = |offset| {
            let (mode, reason) = (CursorMode::Behind, BehindReason::Paused);
            CursorRow { mode, offset, near: None, since, reason, to: None }
        };
        trial.state.directory.turn(&entry, (State::Paused, None)).await.unwrap();
        let paused = &trial.state.directory.snapshot().get("billing").unwrap().subscription.clone();
        let cursors = [(at(0), row(5)), (at(1), row(7))];
        trial.state.store.put_subscription(paused, &cursors).await.unwrap();
        let epoch = trial.state.directory.hands().partitions.open(&at(0), 20);
        trial.state.directory.open(&at(0), epoch).unwrap();
        let resume = |body: Value| trial.ask("POST /v1/subscriptions/billing/resume").json(&body).send();
        assert_eq!(resume(json!({ "from": "later" })).await.pointers(), ["/from"]);
        assert_eq!(resume(json!({ "form": "now" })).await.pointers(), ["/form"]);
        let answer = resume(json!({ "from": "now" })).await.json();
        let skipped = json!([
            { "topic": "shop.orders", "partition": 0, "from": 5, "to": 20 },
            { "topic": "shop.orders", "partition": 1, "from": 7, "to": null },
        ]);
        assert_eq!((&answer["status"], &answer["skipped"]), (&json!("active"), &skipped));
        let left = trial.state.store.cursors().unwrap();
        let left = left.iter().map(|(key, row)| (key.at.partition, row.mode, row.offset)).collect::<Vec<_>>();
        assert_eq!(left, [(0, CursorMode::Live, 20)], "the other partition begins where the group stands");
        assert_eq!(resume(json!({ "from": "now" })).await.json()["skipped"], json!([]), "it is active");
        assert_eq!(resume(json!({ "from": "cursor" })).await.json()["skipped"], Value::Null);
    }

    #[tokio::test]
    async fn what_may_not_be_changed_may_not_be_paused_either() {
        let trial = Trial::guarded().await;
        let made = trial.create("one", json!({})).await;
        let pause = format!("POST {}/pause", made.header("location").unwrap());
        trial.ask(&pause).token("two").send().await.problem(404, "not-found");
        trial.ask(&pause).token("reader").send().await.problem(403, "forbidden");
        trial.ask(&pause).token("one").header("if-match", "\"7\"").send().await.problem(412, "precondition-failed");
        let foreign = trial.ask(&pause).token("one").header("origin", "https://evil.example");
        foreign.send().await.problem(415, "unsupported-media-type");
        let form = trial.ask(&pause).token("one").header("content-type", "text/plain").body("x");
        form.send().await.problem(415, "unsupported-media-type");
        let declared = trial.given("declared", Tenant::None, crate::model::id::Sid::new(1, 1)).await;
        let changed = Subscription { declared: true, version: 2, ..(*declared).clone() };
        trial.state.directory.update(changed, 1).await.unwrap();
        trial.ask("POST /v1/subscriptions/declared/pause").token("boss").send().await.problem(409, "read-only");
        trial.ask("POST /v1/subscriptions/declared/resume").token("boss").send().await.problem(409, "read-only");
    }

    #[tokio::test]
    async fn a_declared_subscription_that_was_disabled_may_be_enabled_again() {
        let trial = Trial::open().await;
        let made = trial.given("declared", Tenant::None, crate::model::id::Sid::new(1, 1)).await;
        let declared = Subscription { declared: true, version: 2, ..(*made).clone() };
        let declared = trial.state.directory.update(declared, 1).await.unwrap();
        trial.state.directory.turn(&declared, (State::Disabled, None)).await.unwrap();
        let resumed = trial.ask("POST /v1/subscriptions/declared/resume").send().await.json();
        assert_eq!((&resumed["status"], &resumed["declared"]), (&json!("active"), &json!(true)));
    }
}
