//! `POST /v1/subscriptions/{id}/secrets`: a new signing secret, shown once; the old ones sign beside it until the
//! overlap ends.

use crate::model::secret::SigningSecret;
use crate::model::subscription::Subscription;
use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::subscriptions::credentials::{self, SECRETS};
use crate::subscriptions::error::DirectoryError;
use crate::web::api::asked::{Document, Id, object};
use crate::web::api::conditions::{self, Condition};
use crate::web::api::idempotency::Answer;
use crate::web::api::once::{Request, once};
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::subscriptions::{Answered, TRIES, changeable, refused};
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, extract};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

/// How long old secrets go on signing when nothing is said, and at most. 0: they stop at once.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);
const OVERLAP_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) async fn rotate(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    document: Document,
) -> Answered {
    let overlap = overlap(&document.value)?;
    let request = Request { caller: &caller, headers: &headers, digest: document.digest };
    let (inner, asked, condition) = (Arc::clone(&api), caller.clone(), Condition::read(&headers));
    once(&api, request, async move { rotated(&inner, (&asked, &id), (condition, overlap)).await }).await
}

async fn rotated(
    api: &Api,
    (caller, id): (&Caller, &str),
    (condition, overlap): (Condition, Duration),
) -> Result<Answer, Problem> {
    for _ in 0..TRIES {
        let entry = changeable(api, caller, id)?;
        let (old, now) = (&entry.subscription, clock::now());
        condition.check(old.version)?;
        let changed = turned(old, overlap, now)?;
        match api.state.directory.update(changed, old.version).await {
            Err(DirectoryError::Conflict { .. }) => {}
            Err(error) => return Err(refused(&error)),
            Ok(changed) => {
                info!(subscription = %id, by = %caller.name, "signing secret rotated");
                let secret = changed.secrets[0].text.expose();
                let old = changed.secrets[1..].iter().filter_map(|secret| secret.expires).max();
                let body = json!({ "secret": secret, "old_expire_at": old.map(|time| time.to_string()) });
                let answer = Answer::json(StatusCode::CREATED, &body);
                return Ok(answer.with(header::ETAG, conditions::etag(changed.version)));
            }
        }
    }
    Err(Problem::of(Kind::Conflict, "others change it all the time: try again"))
}

/// The subscription with a new secret before the ones it has; those that sign no more are left out.
fn turned(old: &Subscription, overlap: Duration, now: Timestamp) -> Result<Subscription, Problem> {
    let end = now.after(overlap);
    let mut secrets = vec![credentials::fresh(old.signing, now)];
    for secret in &old.secrets {
        let expires = secret.expires.map_or(end, |expires| expires.min(end));
        if expires > now {
            secrets.push(SigningSecret { expires: Some(expires), ..secret.clone() });
        }
    }
    if secrets.len() > SECRETS {
        let what = format!("{SECRETS} secrets sign at a time: wait until an overlap ends, or shorten it");
        return Err(Problem::of(Kind::Conflict, what));
    }
    Ok(Subscription { secrets, version: old.version + 1, updated: now, ..old.clone() })
}

fn overlap(document: &Value) -> Result<Duration, Problem> {
    let asked = object(document, |fields, problems| {
        fields.optional("overlap")?.duration(Duration::ZERO..=OVERLAP_MOST, problems)
    });
    Ok(asked?.unwrap_or(OVERLAP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::trial::{Answer, Trial};

    async fn rotate(trial: &Trial, path: &str, body: Value) -> Answer {
        trial.ask(&format!("POST {path}/secrets")).json(&body).send().await
    }

    #[tokio::test]
    async fn sw_10_after_a_rotation_both_secrets_sign_until_the_overlap_ends() {
        let trial = Trial::open().await;
        let made = trial.create("", json!({})).await;
        let path = made.header("location").unwrap().to_owned();
        let answer = rotate(&trial, &path, json!({ "overlap": "1h" })).await;
        assert_eq!((answer.status, answer.header("etag")), (201, Some("\"2\"")));
        let new = answer.json()["secret"].as_str().unwrap().to_owned();
        let old = made.json()["secrets"][0].as_str().unwrap().to_owned();
        let stored = trial.state.store.subscriptions().unwrap().remove(0);
        let texts: Vec<_> = stored.secrets.iter().map(|secret| secret.text.expose()).collect();
        assert_eq!(texts, [new.as_str(), old.as_str()]);
        let ends = stored.secrets[1].expires.unwrap();
        assert_eq!((stored.secrets[0].expires, ends), (None, stored.updated.after(Duration::from_secs(3600))));
        assert_eq!(answer.json()["old_expire_at"], ends.to_string());
        let shown = trial.ask(&format!("GET {path}")).send().await;
        assert!(!shown.body.contains(&new) && !shown.body.contains(&old));
        rotate(&trial, &path, json!({ "overlap": "0" })).await;
        let stored = trial.state.store.subscriptions().unwrap().remove(0);
        assert_eq!((stored.secrets.len(), stored.version), (1, 3), "without overlap the old ones stop at once");
        assert_ne!(stored.secrets[0].text.expose(), new);
    }

    #[tokio::test]
    async fn no_more_secrets_sign_than_an_attempt_can_bear() {
        let trial = Trial::open().await;
        let made = trial.create("", json!({})).await;
        let path = made.header("location").unwrap().to_owned();
        for _ in 1..SECRETS {
            assert_eq!(rotate(&trial, &path, json!({})).await.status, 201);
        }
        rotate(&trial, &path, json!({})).await.problem(409, "conflict");
        assert_eq!(rotate(&trial, &path, json!({ "overlap": "0" })).await.status, 201);
        assert_eq!(rotate(&trial, &path, json!({ "overlap": "31d" })).await.pointers(), ["/overlap"]);
        assert_eq!(rotate(&trial, &path, json!({ "overlp": "1d" })).await.pointers(), ["/overlp"]);
    }

    #[tokio::test]
    async fn the_same_key_rotates_once() {
        let trial = Trial::open().await;
        let path = trial.create("", json!({})).await.header("location").unwrap().to_owned();
        let ask = || trial.ask(&format!("POST {path}/secrets")).header("idempotency-key", "k").json(&json!({})).send();
        let (first, again) = (ask().await, ask().await);
        assert_eq!(first.json(), again.json());
        assert_eq!(trial.state.store.subscriptions().unwrap()[0].version, 2);
    }
}
