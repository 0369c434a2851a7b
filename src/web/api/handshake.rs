//! `POST /v1/subscriptions/{id}/verify`: the endpoint is asked now whether it wants the events. And where an endpoint
//! of a CloudEvents web hook says yes later (`/v1/handshakes/{id}?grant=`, WH-7): whoever knows the grant needs no token.

use crate::deliver::handshake::{self, AllowedRate, Word};
use crate::model::verification::{Proof, Verification};
use crate::subscriptions::snapshot::Entry;
use crate::web::api::asked::{Id, Plain};
use crate::web::api::conditions::Condition;
use crate::web::api::once::whole;
use crate::web::api::problem::Problem;
use crate::web::api::shape;
use crate::web::api::subscriptions::{Answered, refused, seen, tagged};
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::extract::{self, RawQuery};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tracing::info;
use url::form_urlencoded;

/// Of a declared one, too: what its endpoint says does not stand in its file.
pub(crate) async fn verify(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    headers: HeaderMap,
    _: Plain,
) -> Answered {
    let inner = Arc::clone(&api);
    whole(&api, async move {
        let asked = Arc::clone(&seen(&inner, &caller, &id)?.subscription);
        Condition::read(&headers).check(asked.version)?;
        let state = &inner.state;
        let Some(word) = handshake::ask(&state.transport, &asked, &state.introduction).await else {
            return Err(Problem::field("/verification", "is `none`: its endpoint need not be asked"));
        };
        let now = state.directory.hear(&asked, &word).await.map_err(|error| refused(&error))?;
        let mut body = shape::subscription(&now);
        body["handshake"] = shown(&word);
        info!(subscription = %id, status = now.status.state.as_str(), handshake = %body["handshake"], by = %caller.name,
            "endpoint asked");
        Ok(tagged(&now, body))
    })
    .await
}

/// The endpoint says yes.
pub(crate) async fn grant(
    extract::State(api): extract::State<Arc<Api>>,
    Id(id): Id,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let inner = Arc::clone(&api);
    whole(&api, async move {
        let entry = granted(&inner, &id, query.as_deref()).ok_or_else(|| Problem::not_found("handshake"))?;
        let origin = Some(inner.state.introduction.origin.clone());
        let word = Word::Yes { origin, rate: AllowedRate::read(&headers) };
        inner.state.directory.hear(&entry.subscription, &word).await.map_err(|error| refused(&error))?;
        info!(subscription = %id, "its endpoint wants the events, as it said over the callback");
        Ok(Json(json!({ "verified": true })))
    })
    .await
}

/// The subscription whose endpoint knows this grant.
fn granted(api: &Api, id: &str, query: Option<&str>) -> Option<Arc<Entry>> {
    let snapshot = api.state.directory.snapshot();
    let entry = snapshot.get(id)?;
    let Verification { proof: Proof::CloudEvents, grant, .. } = entry.subscription.verification.as_ref()? else {
        return None;
    };
    let mut pairs = form_urlencoded::parse(query?.as_bytes());
    let (_, known) = pairs.find(|(name, _)| name == "grant")?;
    bool::from(known.as_bytes().ct_eq(grant.expose().as_bytes())).then(|| Arc::clone(entry))
}

fn shown(word: &Word) -> Value {
    match word {
        Word::Yes { .. } => json!({ "consent": true, "detail": null }),
        Word::No(why) | Word::Silence(why) => json!({ "consent": false, "detail": why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::handshake::Introduction;
    use crate::model::subscription::{State, Subscription};
    use crate::web::trial::{Answer, Trial};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers the next request at `listener` with these header lines; gives its head.
    async fn answers(listener: &TcpListener, lines: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut chunk) = (String::new(), [0; 4096]);
        while !request.contains("\r\n\r\n") {
            let read = stream.read(&mut chunk).await.unwrap();
            request.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
        let answer = format!("HTTP/1.1 200 ok\r\ncontent-length: 0\r\nconnection: close\r\n{lines}\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    }

    /// A subscription of tenant t-1 whose endpoint must say yes; gives its path.
    async fn made(trial: &Trial, listener: &TcpListener, more: Value) -> String {
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let mut order = json!({ "url": url, "verification": "cloudevents" });
        more.as_object().unwrap().iter().for_each(|(key, value)| order[key] = value.clone());
        let made = trial.create("one", order).await;
        assert_eq!((made.status, &made.json()["status"]), (201, &json!("unverified")), "{made:?}");
        made.header("location").unwrap().to_owned()
    }

    fn only(trial: &Trial) -> Arc<Subscription> {
        Arc::clone(&trial.state.directory.snapshot().iter().next().unwrap().subscription)
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    async fn ask(trial: &Trial, line: &str, token: &str) -> Answer {
        trial.ask(line).token(token).send().await
    }

    #[tokio::test]
    async fn wh_5_who_is_asked_now_and_says_yes_is_active_and_who_says_no_later_is_not() {
        let (trial, listener) = (Trial::guarded().await, listener().await);
        let path = made(&trial, &listener, json!({})).await;
        let verify = format!("POST {path}/verify");
        assert_eq!(ask(&trial, &verify, "two").await.status, 404);
        ask(&trial, &verify, "reader").await.problem(403, "forbidden");
        let (answer, asked) = tokio::join!(ask(&trial, &verify, "one"), answers(&listener, ""));
        assert!(asked.starts_with("OPTIONS /hooks HTTP/1.1") && asked.contains("webhook-request-origin: hookline"));
        let body = answer.json();
        assert_eq!((answer.status, &body["status"]), (200, &json!("unverified")));
        let why = "its answer to OPTIONS has no WebHook-Allowed-Origin";
        assert_eq!(
            (&body["handshake"], &body["status_reason"]),
            (&json!({ "consent": false, "detail": why }), &json!(why))
        );
        let test = trial.ask(&format!("POST {path}/test")).token("one").json(&json!({})).send().await;
        test.problem(409, "unverified");
        let health = ask(&trial, &format!("GET {path}"), "one").await.json();
        assert_eq!(health["health"]["reason"], "unverified");
        let yes = "WebHook-Allowed-Origin: hookline\r\nWebHook-Allowed-Rate: 120\r\n";
        let (answer, _) = tokio::join!(ask(&trial, &verify, "one"), answers(&listener, yes));
        let body = answer.json();
        assert_eq!((&body["status"], &body["allowed_per_minute"]), (&json!("active"), &json!(120)));
        assert_eq!(answer.header("etag"), Some(format!("\"{}\"", body["version"]).as_str()));
        let lane = |trial: &Trial| {
            trial.state.directory.snapshot().iter().next().unwrap().cell.act(|lane, _| lane.settings.per_minute)
        };
        assert_eq!((lane(&trial), &body["verified_at"]), (Some(120), &body["updated_at"]));
        let no_rate = "WebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: abc\r\n";
        let (answer, _) = tokio::join!(ask(&trial, &verify, "one"), answers(&listener, no_rate));
        let body = answer.json();
        assert_eq!((lane(&trial), &body["status"]), (Some(120), &json!("active")), "no rate, no change of limit");
        assert_eq!(body["status_reason"], "its WebHook-Allowed-Rate `abc` is no rate: it changes no limit");
        let (answer, _) = tokio::join!(ask(&trial, &verify, "one"), answers(&listener, ""));
        assert_eq!((&answer.json()["status"], lane(&trial)), (&json!("unverified"), None));
    }

    #[tokio::test]
    async fn silence_takes_no_consent_back_and_who_need_not_be_asked_is_told_so() {
        let (trial, listener) = (Trial::guarded().await, listener().await);
        let path = made(&trial, &listener, json!({})).await;
        let verify = format!("POST {path}/verify");
        tokio::join!(ask(&trial, &verify, "one"), answers(&listener, "WebHook-Allowed-Origin: *\r\n"));
        drop(listener);
        let body = ask(&trial, &verify, "one").await.json();
        assert_eq!((&body["status"], &body["handshake"]["consent"]), (&json!("active"), &json!(false)));
        assert!(body["handshake"]["detail"].as_str().unwrap().starts_with("connect: "), "{body}");
        let plain = trial.create("one", json!({})).await.header("location").unwrap().to_owned();
        assert_eq!(ask(&trial, &format!("POST {plain}/verify"), "one").await.pointers(), ["/verification"]);
    }

    #[tokio::test]
    async fn a_pause_is_not_ended_by_a_yes_nor_verification_by_a_resume() {
        let (trial, listener) = (Trial::guarded().await, listener().await);
        let path = made(&trial, &listener, json!({})).await;
        let turned =
            |action: &'static str| ask(&trial, Box::leak(format!("POST {path}/{action}").into_boxed_str()), "one");
        assert_eq!(turned("resume").await.json()["status"], "unverified");
        assert_eq!(turned("pause").await.json()["status"], "paused");
        assert_eq!(turned("resume").await.json()["status"], "unverified");
        assert_eq!(turned("pause").await.json()["status"], "paused");
        let (answer, _) = tokio::join!(turned("verify"), answers(&listener, "WebHook-Allowed-Origin: *\r\n"));
        assert_eq!((&answer.json()["status"], only(&trial).is_verified()), (&json!("paused"), true));
        assert_eq!(turned("resume").await.json()["status"], "active");
    }

    #[tokio::test]
    async fn wh_7_who_knows_the_grant_says_yes_later_without_a_token_by_get_or_post() {
        for method in ["GET", "POST"] {
            let (trial, listener) = (Trial::guarded().await, listener().await);
            let path = made(&trial, &listener, json!({ "rate": 5 })).await;
            let introduction =
                Introduction { origin: "a.b".into(), callback: Some("https://hooks.example.com/".parse().unwrap()) };
            let asked = only(&trial);
            let (_, request) =
                tokio::join!(handshake::ask(&trial.state.transport, &asked, &introduction), answers(&listener, ""));
            assert!(request.contains("webhook-request-rate: 300"), "{request}");
            let line = request.lines().find_map(|line| line.strip_prefix("webhook-request-callback: ")).unwrap();
            let target = line.strip_prefix("https://hooks.example.com").unwrap();
            for wrong in
                [&target[..target.len() - 1], target.split('?').next().unwrap(), "/v1/handshakes/sub_x?grant=x"]
            {
                trial.ask(&format!("{method} {wrong}")).send().await.problem(404, "not-found");
            }
            assert_eq!(only(&trial).status.state, State::Unverified);
            let answer = trial.ask(&format!("{method} {target}")).header("WebHook-Allowed-Rate", "60").send().await;
            assert_eq!((answer.status, answer.json()), (200, json!({ "verified": true })));
            let now = ask(&trial, &format!("GET {path}"), "one").await;
            assert_eq!((&now.json()["status"], &now.json()["allowed_per_minute"]), (&json!("active"), &json!(60)));
            assert!(!now.body.contains(target.split_once("grant=").unwrap().1), "{now:?}");
        }
    }
}
