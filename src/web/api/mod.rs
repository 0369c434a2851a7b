//! The API: its resources, and what is the same for all of them: who asks, how long it may take, which headers an
//! answer has. The way in: [`wrap`] (id, deadline, headers) -> panics are caught -> [`admit`] (token) -> a resource.

mod asked;
mod conditions;
mod counted;
mod dead_letters;
mod event_types;
mod handshake;
pub(crate) mod idempotency;
mod lost;
mod mappings;
mod mending;
mod once;
mod page;
mod past;
pub(crate) mod problem;
mod quarantine;
mod reload;
mod replays;
mod revival;
mod rotation;
mod sample;
mod shape;
mod status;
mod stored;
mod subscriptions;
mod switch;

use crate::runtime::random;
use crate::web::api::asked::BODY;
use crate::web::api::problem::{Kind, Problem};
use crate::web::state::Api;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, debug, error, info_span};

/// A request and its answer, whole; a flush of the store takes milliseconds, a lookup of a name some seconds.
const DEADLINE: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The resources.
fn resources() -> [(&'static str, MethodRouter<Arc<Api>>); 22] {
    use subscriptions::{change, create, delete, list, show};
    [
        ("/v1/subscriptions", get(list).post(create)),
        ("/v1/subscriptions/{id}", get(show).patch(change).delete(delete)),
        ("/v1/subscriptions/{id}/pause", post(switch::pause)),
        ("/v1/subscriptions/{id}/resume", post(switch::resume)),
        ("/v1/subscriptions/{id}/verify", post(handshake::verify)),
        ("/v1/subscriptions/{id}/secrets", post(rotation::rotate)),
        ("/v1/subscriptions/{id}/test", post(sample::send)),
        ("/v1/subscriptions/{id}/replays", get(replays::list).post(replays::create)),
        ("/v1/subscriptions/{id}/replays/{replay}", get(replays::show).delete(replays::cancel)),
        ("/v1/dead-letters", get(dead_letters::list).delete(revival::forget_some)),
        ("/v1/dead-letters/retry", post(revival::retry)),
        ("/v1/dead-letters/{id}", get(dead_letters::show).delete(revival::forget)),
        ("/v1/quarantine", get(quarantine::list).delete(mending::forget_some)),
        ("/v1/quarantine/retry", post(mending::retry)),
        ("/v1/quarantine/{id}", get(quarantine::show).delete(mending::forget)),
        ("/v1/quarantine/{id}/retry", post(mending::retry_one)),
        ("/v1/reload", post(reload::reload)),
        ("/v1/event-types", get(event_types::list)),
        ("/asyncapi.json", get(event_types::document)),
        ("/v1/mappings", get(mappings::list)),
        ("/v1/mappings/preview", post(mappings::preview)),
        ("/v1/status", get(status::show)),
    ]
}

/// Where an endpoint says yes.
const HANDSHAKES: &str = "/v1/handshakes/{id}";

pub(crate) fn router(api: Arc<Api>) -> Router {
    let routes = resources().into_iter().fold(Router::new(), |routes, (path, methods)| routes.route(path, methods));
    finish(routes, api)
}

/// Adds what is the same for all.
fn finish(routes: Router<Arc<Api>>, api: Arc<Api>) -> Router {
    routes
        .fallback(async |uri: Uri| Problem::of(Kind::NotFound, format!("there is nothing at {}", uri.path())))
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), admit))
        // Not behind `admit`: an endpoint has a grant, and no token.
        .route(HANDSHAKES, get(handshake::grant).post(handshake::grant).fallback(not_allowed))
        .layer(CatchPanicLayer::custom(broke_down))
        .layer(middleware::from_fn(wrap))
        .with_state(api)
}

async fn not_allowed(method: Method) -> Problem {
    Problem::of(Kind::MethodNotAllowed, format!("{method} is not available here"))
}

/// Lets a request in when its token allows it; a resource learns who asks.
async fn admit(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    match api.tokens.admit(request.method(), request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Gives a request an id, a deadline and a line in the log; gives its answer the headers that all have. The log has
/// the path without its query, and no body.
async fn wrap(request: Request, next: Next) -> Response {
    let (id, began) = (request_id(request.headers()), Instant::now());
    let name = id.to_str().unwrap_or_default().to_owned();
    let span = info_span!("request", id = name, method = %request.method(), path = request.uri().path());
    let answer = async {
        let answer = tokio::time::timeout(DEADLINE, next.run(request)).await;
        let answer = answer.unwrap_or_else(|_| {
            let what = format!("no answer within {} s; a change may still come about", DEADLINE.as_secs());
            Problem::of(Kind::Timeout, what).into_response()
        });
        debug!(status = answer.status().as_u16(), took = ?began.elapsed(), "answered");
        answer
    };
    let mut answer = answer.instrument(span).await;
    let headers = answer.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The caller's id when it can stand in a log, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain)
    };
    headers.get(REQUEST_ID).filter(fit).cloned().unwrap_or_else(|| {
        let id = format!("req_{:016x}", u64::from_be_bytes(random::secret()));
        HeaderValue::from_str(&id).expect("letters and digits")
    })
}

/// What broke down stays out of log and answer: it may hold anything.
fn broke_down(_: Box<dyn Any + Send>) -> Response {
    error!("a request broke down");
    Problem::of(Kind::Internal, "the request broke down").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::auth::Tokens;
    use crate::web::trial::{self, Answer, Trial};
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn an_unknown_path_and_an_unknown_method_are_problems() {
        let trial = Trial::open().await;
        let problem = trial.ask("GET /v1/nothing").send().await.problem(404, "not-found");
        assert_eq!(problem["detail"], "there is nothing at /v1/nothing");
        trial.ask("POST /v1/subscriptions/x/stop").send().await.problem(404, "not-found");
        let answer = trial.ask("PUT /v1/subscriptions").send().await;
        answer.problem(405, "method-not-allowed");
        let mut allowed: Vec<_> = answer.header("allow").unwrap().split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    }

    /// The calls in the tables of docs/api.md: `METHOD /path` in code, paths without their query.
    fn documented() -> BTreeSet<String> {
        let page = include_str!("../../../docs/api.md");
        let codes =
            page.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2));
        let call = |code: &str| {
            let (method, path) = code.split_once(' ')?;
            let known = ["GET", "POST", "PATCH", "PUT", "DELETE"].contains(&method) && path.starts_with('/');
            known.then(|| format!("{method} {}", path.split(['?', ' ']).next().unwrap()))
        };
        codes.filter_map(call).collect()
    }

    #[tokio::test]
    async fn the_page_names_every_call_that_there_is_and_no_other() {
        let trial = Trial::open().await;
        let mut there = BTreeSet::new();
        for path in resources().map(|(path, _)| path).into_iter().chain([HANDSHAKES]) {
            // No resource has it, so each tells what it has.
            let answer = trial.ask(&format!("TRACE {}", path.replace(['{', '}'], "x"))).send().await;
            answer.problem(405, "method-not-allowed");
            let allowed = answer.header("allow").unwrap().split(',');
            there.extend(allowed.filter(|method| *method != "HEAD").map(|method| format!("{method} {path}")));
        }
        assert_eq!(documented(), there);
    }

    #[tokio::test]
    async fn an_answer_names_the_request_by_the_callers_id_or_by_a_new_one() {
        let trial = Trial::open().await;
        let named = trial.ask("GET /v1/status").header("x-request-id", "deploy-7_a.b").send().await;
        assert_eq!(named.header("x-request-id"), Some("deploy-7_a.b"));
        for odd in ["a b", "ä", "", &"x".repeat(65), "a\"b"] {
            let answer = trial.ask("GET /nothing").header("x-request-id", odd).send().await;
            let id = answer.header("x-request-id").unwrap();
            assert!(id.starts_with("req_") && id.len() == 20, "{id}");
        }
    }

    #[tokio::test]
    async fn no_answer_is_cached_or_taken_for_something_else() {
        let trial = Trial::guarded().await;
        for ask in [trial.ask("GET /v1/subscriptions").token("boss"), trial.ask("GET /v1/subscriptions")] {
            let answer = ask.send().await;
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
    }

    #[tokio::test]
    async fn a_request_that_breaks_down_is_a_problem_and_hurts_no_other() {
        async fn broken() -> Response {
            panic!("hunter2");
        }
        let directory = tempfile::tempdir().unwrap();
        let routes = resources().into_iter().fold(Router::new(), |routes, (path, methods)| routes.route(path, methods));
        let api = Api::new(trial::state(&directory), Tokens::default());
        let router = finish(routes.route("/broken", get(broken)), api);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        #[allow(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(axum::serve(listener, router).into_future());
        let request = |path| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = Answer::to(at, request("/broken").as_bytes()).await;
        answer.problem(500, "internal");
        assert!(answer.header("x-request-id").is_some() && !answer.body.contains("hunter2"));
        assert_eq!(Answer::to(at, request("/v1/status").as_bytes()).await.status, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_answered_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let api = Api::new(trial::state(&directory), Tokens::default());
        let router = finish(Router::new().route("/long", get(std::future::pending::<Response>)), api);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        #[allow(clippy::disallowed_methods, reason = "it ends with the test")]
        tokio::spawn(axum::serve(listener, router).into_future());
        let request = b"GET /long HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        Answer::to(at, request).await.problem(503, "timeout");
    }
}
