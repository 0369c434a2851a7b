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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::{FailureCause, Outcome};
    use crate::model::record::TopicPartition;
    use crate::runtime::status::PartitionReport;
    use crate::web::trial::Trial;
    use serde_json::json;

    #[tokio::test]
    async fn a_process_whose_parts_work_is_alive_and_ready_and_asks_for_no_token() {
        let trial = Trial::guarded().await;
        let live = trial.ask_ops("GET /livez").send().await;
        assert_eq!((live.status, live.body.as_str()), (200, "intake: ok\n"));
        let ready = trial.ask_ops("GET /readyz").send().await;
        assert_eq!((ready.status, ready.body.as_str()), (200, "kafka: ok\nstore: ok\nprocess: ok\n"));
    }

    #[tokio::test]
    async fn hz_2_what_is_missing_makes_it_unready_and_leaves_it_alive() {
        let trial = Trial::open().await;
        trial.state.board.update(|report| report.kafka = Health::Bad("no broker answers".into()));
        let ready = trial.ask_ops("GET /readyz").send().await;
        assert_eq!((ready.status, ready.body.as_str()), (503, "kafka: no broker answers\nstore: ok\nprocess: ok\n"));
        trial.state.board.update(|report| {
            (report.kafka, report.store) = (Health::Good, Health::Bad("the disk is full".into()));
        });
        let ready = trial.ask_ops("GET /readyz").send().await;
        assert!(ready.status == 503 && ready.body.contains("store: the disk is full\n"), "{ready:?}");
        assert_eq!(trial.ask_ops("GET /livez").send().await.status, 200);
    }

    #[tokio::test]
    async fn hz_2_a_stop_makes_it_unready_at_once() {
        let trial = Trial::open().await;
        trial.state.board.update(|report| report.stopping = true);
        let ready = trial.ask_ops("GET /readyz").send().await;
        assert!(ready.status == 503 && ready.body.ends_with("process: a stop was asked for\n"), "{ready:?}");
    }

    #[test]
    fn before_anything_was_reported_it_is_not_ready() {
        assert!(readiness(&Report::default()).iter().any(|check| check.wrong.is_some()));
    }

    #[tokio::test]
    async fn an_intake_without_a_sign_of_life_for_60_s_is_dead() {
        let trial = Trial::open().await;
        let beat = |millis| trial.state.board.update(|report| report.intake_beat = Timestamp::from_millis(millis));
        beat(clock::now().as_millis() - 61_000);
        let live = trial.ask_ops("GET /livez").send().await;
        assert!(live.status == 503 && live.body.starts_with("intake: no sign of life for 61 s"), "{live:?}");
        beat(clock::now().as_millis() - 30_000);
        assert_eq!(trial.ask_ops("GET /livez").send().await.status, 200);
    }

    #[test]
    fn a_process_that_stops_is_not_taken_for_dead() {
        let report = Report { stopping: true, ..Report::default() };
        assert_eq!(alive(&report, Timestamp::from_millis(1_000_000)).wrong, None);
    }

    #[tokio::test]
    async fn pm_4_a_scrape_has_the_type_that_prometheus_asks_for_and_what_is_true_now() {
        let trial = Trial::open().await;
        trial.create("", json!({})).await;
        trial.state.metrics.records_consumed("shop.orders", 4);
        trial.state.board.update(|report| {
            let at = TopicPartition { topic: "shop.orders".into(), partition: 2 };
            let (oldest, now) = (Some(Timestamp::from_millis(clock::now().as_millis() - 5_000)), Some(110));
            let partition = PartitionReport {
                position: 105,
                watermark: 100,
                end: now,
                unsettled: 3,
                oldest,
                paused: None,
                jump: None,
            };
            report.partitions.insert(at, partition);
        });
        let answer = trial.ask_ops("GET /metrics").send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(TEXT)));
        let value = |series: &str| {
            let line = answer.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{series} is not in {}", answer.body)).parse::<f64>().unwrap()
        };
        assert!(value("hookline_records_consumed_total{topic=\"shop.orders\"}") == 4.0);
        assert!(value("hookline_partition_lag_records{partition=\"2\",topic=\"shop.orders\"}") == 10.0);
        assert!(value("hookline_partition_unsettled{partition=\"2\",topic=\"shop.orders\"}") == 3.0);
        assert!(value("hookline_partition_watermark_age_seconds{partition=\"2\",topic=\"shop.orders\"}") >= 5.0);
        assert!(value("hookline_subscriptions{status=\"active\"}") == 1.0);
        assert!(value("hookline_subscriptions{status=\"disabled\"}") == 0.0);
        assert!(value("hookline_config_generation") == 1.0);
        assert!(value("hookline_store_free_bytes") > 0.0 && value("hookline_store_bytes") > 0.0);
    }

    #[tokio::test]
    async fn the_series_of_a_subscription_go_with_it() {
        let trial = Trial::open().await;
        let path = trial.create("", json!({})).await.header("location").unwrap().to_owned();
        let id = path.rsplit('/').next().unwrap();
        let failed = Outcome::Failed { cause: FailureCause::Connect, detail: "refused".into() };
        trial.state.directory.snapshot().get(id).unwrap().cell.tally.count(&failed);
        let series = [("attempts_total", 1), ("failures_total", 1), ("ledger_bytes", 0), ("lag_records", 0)];
        let text = trial.ask_ops("GET /metrics").send().await.body;
        for (name, value) in series {
            let line = format!("hookline_subscription_{name}{{subscription=\"{id}\"}} {value}");
            assert!(text.lines().any(|one| one == line), "{line}");
        }
        assert_eq!(trial.ask(&format!("DELETE {path}")).send().await.status, 204);
        assert!(!trial.ask_ops("GET /metrics").send().await.body.contains(id));
    }

    #[tokio::test]
    async fn the_operations_listener_has_nothing_of_the_api() {
        let trial = Trial::open().await;
        assert_eq!(trial.ask_ops("GET /v1/subscriptions").send().await.status, 404);
        assert_eq!(trial.ask_ops("POST /livez").send().await.status, 405);
        assert_eq!(trial.ask("GET /metrics").send().await.status, 404);
    }
}
