//! The operations listener: `/metrics`, `/livez`, `/readyz`. No authentication, no secrets, nothing that changes.
//!
//! `/livez` looks at no dependency (HZ-2): an outage of Kafka never restarts the process. `/readyz` says what is
//! missing. Programs read the status, 200 or 503; the lines are for people.

use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::runtime::status::{Health, Report};
use crate::web::state::State;
use crate::web::totals;
use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::time::Duration;

/// How long intake may not go round its loop. A round takes 100 ms; a call into librdkafka, some seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Text format 0.0.4, as Prometheus asks for it (PM-4).
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether something holds.
#[derive(Debug, PartialEq, Eq)]
struct Check {
    name: &'static str,
    /// What is wrong, when it does not.
    wrong: Option<String>,
}

pub(crate) fn router(state: State) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .fallback(async || (StatusCode::NOT_FOUND, "/metrics /livez /readyz\n"))
        .with_state(state)
}

async fn metrics(extract::State(state): extract::State<State>) -> Response {
    let scrape = move || state.metrics.scrape(&totals::gauges(&state));
    match tokio::task::spawn_blocking(scrape).await {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be put together\n").into_response(),
    }
}

async fn live(extract::State(state): extract::State<State>) -> Response {
    answer(&[alive(&state.board.read(), clock::now())])
}

async fn ready(extract::State(state): extract::State<State>) -> Response {
    answer(&readiness(&state.board.read()))
}

/// Whether our own loop goes round. A process that stops has no loop to look at, and ends by itself.
fn alive(report: &Report, now: Timestamp) -> Check {
    let silent = now.since(report.intake_beat);
    let stuck = !report.stopping && silent > SILENCE;
    Check { name: "intake", wrong: stuck.then(|| format!("no sign of life for {} s", silent.as_secs())) }
}

fn readiness(report: &Report) -> [Check; 3] {
    let check = |name, health: &Health| match health {
        Health::Good => Check { name, wrong: None },
        Health::Bad(why) => Check { name, wrong: Some(why.clone()) },
    };
    let stopping = report.stopping.then(|| "a stop was asked for".into());
    [check("kafka", &report.kafka), check("store", &report.store), Check { name: "process", wrong: stopping }]
}

fn answer(checks: &[Check]) -> Response {
    let good = checks.iter().all(|check| check.wrong.is_none());
    let lines = checks.iter().map(|check| match &check.wrong {
        None => format!("{}: ok\n", check.name),
        Some(why) => format!("{}: {why}\n", check.name),
    });
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    ([(header::CACHE_CONTROL, "no-store")], (status, lines.collect::<String>())).into_response()
}
