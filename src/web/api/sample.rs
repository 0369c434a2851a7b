//! `POST /v1/subscriptions/{id}/test`: one attempt, made now, with the catalogue's example of the type, else with
//! made-up data. Nothing of it is kept or retried.

use crate::catalogue::published::Catalogue;
use crate::deliver;
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::EventId;
use crate::model::outcome::{FailureCause, Outcome};
use crate::model::record::Origin;
use crate::model::subscription::{Subscription, Tenant};
use crate::runtime::{clock, random};
use crate::web::api::asked::{Document, Id, object};
use crate::web::api::problem::{Kind, Problem};
use crate::web::api::shape;
use crate::web::api::subscriptions::seen;
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::{Extension, Json, extract};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::info;

/// An answer must come before the request's own deadline.
const PATIENCE: Duration = Duration::from_secs(25);
/// Where made-up events come from: no topic may be called so.
const TOPIC: &str = "(test)";

pub(crate) async fn send(
    extract::State(api): extract::State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    document: Document,
) -> Result<Json<Value>, Problem> {
    let entry = seen(&api, &caller, &id)?;
    if !entry.subscription.is_verified() {
        return Err(Problem::of(Kind::Unverified, "nothing is sent before: POST to its /verify"));
    }
    let pipeline = api.state.pipeline.load_full();
    let event = Emitted::new(event(&entry.subscription, asked(&document.value)?, pipeline.catalogue()));
    let (target, began) = (entry.cell.target(), Instant::now());
    let attempt = deliver::attempt(&api.state.transport, &target, &event, clock::now());
    let outcome = tokio::time::timeout(PATIENCE, attempt).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s; a test waits no longer", PATIENCE.as_secs());
        Outcome::Failed { cause: FailureCause::Timeout, detail }
    });
    info!(subscription = %id, by = %caller.name, %outcome, "test sent");
    let mut body = shape::outcome(&outcome);
    body["accepted"] = json!(outcome.accepted());
    body["duration_ms"] = json!(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    body["event"] = shape::event(&event.event);
    Ok(Json(body))
}

/// The type that was asked for.
fn asked(document: &Value) -> Result<Option<String>, Problem> {
    object(document, |fields, problems| {
        let field = fields.optional("type")?;
        let asked = field.string(problems)?;
        if asked.is_empty() || asked.len() > 256 {
            field.problem(problems, "is no type", "It has 1 to 256 characters");
        }
        Some(asked)
    })
}

/// An event of this type, else of the first type that the subscription names without a star.
fn event(subscription: &Subscription, asked: Option<String>, catalogue: &Catalogue) -> IntegrationEvent {
    let named = subscription.types.iter().find(|pattern| !pattern.contains('*')).cloned();
    let event_type = asked.or(named).unwrap_or_else(|| "hookline.test".into());
    let example = catalogue.get(&event_type).and_then(|one| one.examples.first()).cloned();
    let offset = i64::from_be_bytes(random::secret()) & i64::MAX;
    let origin = Origin { topic: TOPIC.into(), partition: 0, offset, timestamp: clock::now() };
    IntegrationEvent {
        id: EventId::derive(&origin, "test", 0),
        time: origin.timestamp,
        origin,
        mapping: "test".into(),
        ord: 0,
        source: "urn:hookline:test".into(),
        event_type: event_type.into(),
        subject: None,
        tenant: match &subscription.tenant {
            Tenant::One(tenant) => Some(tenant.clone()),
            Tenant::None | Tenant::All => None,
        },
        key: None,
        traceparent: None,
        extensions: Vec::new(),
        data: example.unwrap_or_else(|| json!({ "test": true })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::trial::Trial;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_test_carries_the_example_of_the_catalogue() {
        let trial = Trial::publishing("events: { com.acme.paid: { example: { amount: 10.10 } } }").await;
        let made = trial.create("boss", json!({ "types": ["com.acme.paid", "com.acme.other"] })).await;
        let entry = trial.state.directory.snapshot();
        let subscription = &entry.iter().next().unwrap().subscription;
        let pipeline = trial.state.pipeline.load();
        let data = |asked: Option<&str>| event(subscription, asked.map(str::to_owned), pipeline.catalogue()).data;
        assert_eq!(made.status, 201);
        assert_eq!(data(None).to_string(), r#"{"amount":10.10}"#);
        assert_eq!(data(Some("com.acme.other")), json!({ "test": true }));
    }

    #[tokio::test]
    async fn a_test_makes_one_signed_attempt_and_says_what_came_of_it() {
        let trial = Trial::open().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let made = trial.create("", json!({ "url": url, "types": ["com.acme.**", "com.acme.order.placed"] })).await;
        let test = format!("POST {}/test", made.header("location").unwrap());
        let receiver = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut request, mut chunk) = (String::new(), [0; 4096]);
            while !request.contains("\"test\":true") {
                let read = stream.read(&mut chunk).await.unwrap();
                request.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
            }
            let answer = "HTTP/1.1 422 no\r\ncontent-length: 3\r\nconnection: close\r\n\r\nwhy";
            stream.write_all(answer.as_bytes()).await.unwrap();
            request
        };
        let (answer, request) = tokio::join!(trial.ask(&test).json(&json!({})).send(), receiver);
        assert!(request.contains("webhook-signature: v1,") && request.contains("com.acme.order.placed"), "{request}");
        let body = answer.json();
        assert_eq!((answer.status, &body["status"], &body["accepted"]), (200, &json!(422), &json!(false)));
        assert_eq!((&body["response_head"], &body["error"]), (&json!("why"), &json!("status")));
        assert_eq!(body["event"]["type"], "com.acme.order.placed");
        drop(listener);
        let refused = trial.ask(&test).json(&json!({ "type": "x.y" })).send().await.json();
        assert_eq!((&refused["error"], &refused["event"]["type"]), (&json!("connect"), &json!("x.y")));
        let wrong = trial.ask(&test).json(&json!({ "typ": "x.y" })).send().await;
        assert_eq!(wrong.pointers(), ["/typ"]);
        let health = trial.ask(&format!("GET {}", made.header("location").unwrap())).send().await.json();
        assert_eq!(health["health"]["ledger"]["rows"], 0, "nothing of it is kept");
    }
}
