//! `/v1/subscriptions/{id}/pause` and `/resume`: what a subscription is allowed to do.

use crate::model::subscription::State;
use crate::subscriptions::error::DirectoryError;
use crate::subscriptions::snapshot::Entry;
use crate::web::api::asked::{Id, Plain};
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
use std::sync::Arc;
use tracing::info;

/// Nothing is tried any more; what comes meanwhile stays in Kafka, behind a cursor.
pub(crate) async fn pause(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    _: Plain,
) -> Answered {
    let reason = format!("paused by {}", caller.name);
    turn(api, (caller, id), (State::Paused, Some(reason)), Condition::read(&headers)).await
}

/// Attempts go on; one that was disabled is enabled again.
pub(crate) async fn resume(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    _: Plain,
) -> Answered {
    turn(api, (caller, id), (State::Active, None), Condition::read(&headers)).await
}

/// The subscription, if it may be put into this state. A declared one is read-only, but that we disabled it does not
/// stand in its file: it may be enabled again.
fn turnable(api: &Api, (caller, id): (&Caller, &str), to: State) -> Result<Arc<Entry>, Problem> {
    let entry = seen(api, caller, id)?;
    match (entry.subscription.status.state, to) {
        (State::Disabled, State::Active) => Ok(entry),
        _ => changeable(api, caller, id),
    }
}

async fn turn(
    api: Arc<Api>,
    (caller, id): (Caller, String),
    status: (State, Option<String>),
    condition: Condition,
) -> Answered {
    let inner = Arc::clone(&api);
    whole(&api, async move {
        for _ in 0..TRIES {
            let entry = turnable(&inner, (&caller, &id), status.0)?;
            condition.check(entry.subscription.version)?;
            match inner.state.directory.turn(&entry.subscription, status.clone()).await {
                Err(DirectoryError::Conflict { .. }) => {}
                Err(error) => return Err(refused(&error)),
                Ok(now) => {
                    info!(subscription = %id, status = now.status.state.as_str(), by = %caller.name, "status changed");
                    return Ok(tagged(&now, shape::subscription(&now)));
                }
            }
        }
        Err(Problem::of(Kind::Conflict, "others change it all the time: try again"))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::subscription::{Subscription, Tenant};
    use crate::web::trial::Trial;
    use serde_json::{Value, json};

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
