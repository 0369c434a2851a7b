//! The operations listener: `/metrics`, `/livez`, `/readyz`. No authentication, no secrets, nothing that changes.
//!
//! `/livez` looks at no dependency (HZ-2): an outage of Kafka never restarts the process. `/readyz` says what is
//! missing. Programs read the status, 200 or 503; the lines are for people.

use crate::runtime::clock;
use crate::web::checks::{self, Check};
use crate::web::state::State;
use crate::web::totals;
use axum::Router;
use axum::extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Text format 0.0.4, as Prometheus asks for it (PM-4).
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

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
    answer(&[checks::alive(&state.board.read(), clock::now())])
}

async fn ready(extract::State(state): extract::State<State>) -> Response {
    answer(&checks::readiness(&state.board.read()))
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
    use crate::model::problem::Problems;
    use crate::model::record::TopicPartition;
    use crate::model::time::Timestamp;
    use crate::runtime::status::{Cause, Health, PartitionReport, Reload, Taken};
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
    async fn a_scrape_tells_readiness_refused_reloads_and_limits() {
        let trial = Trial::open().await;
        let scrape = async |series: &str| {
            let answer = trial.ask_ops("GET /metrics").send().await;
            let line = answer.body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{series} is not in {}", answer.body)).parse::<f64>().unwrap()
        };
        for check in ["kafka", "store", "process"] {
            assert_eq!(scrape(&format!("hookline_ready{{check=\"{check}\"}}")).await, 1.0, "{check}");
        }
        assert_eq!(scrape("hookline_config_last_reload_successful").await, 1.0);
        assert_eq!(scrape("hookline_quarantine_limit_bytes").await, f64::from(256 << 20));
        assert_eq!(scrape("hookline_store_min_free_bytes").await, 0.0);
        let tried = |taken| Reload { at: clock::now(), cause: Cause::Files, taken, problems: Problems::default() };
        trial.state.board.update(|report| {
            (report.kafka, report.reload) = (Health::Bad("no broker answers".into()), Some(tried(Taken::Refused)));
        });
        assert_eq!(scrape("hookline_ready{check=\"kafka\"}").await, 0.0);
        assert_eq!(scrape("hookline_ready{check=\"store\"}").await, 1.0);
        assert_eq!(scrape("hookline_config_last_reload_successful").await, 0.0);
        trial.state.board.update(|report| report.reload = Some(tried(Taken::Unchanged)));
        assert_eq!(scrape("hookline_config_last_reload_successful").await, 1.0);
    }

    #[tokio::test]
    async fn pm_3_topics_that_are_read_and_mappings_in_force_are_there_with_0_before_their_first_record() {
        let text = "mappings: [{ name: order-placed, from: shop.orders, emit: { type: com.acme.any } }]";
        let trial = Trial::publishing(text).await;
        trial.state.board.update(|report| {
            let at = TopicPartition { topic: "shop.orders".into(), partition: 0 };
            report.partitions.insert(at, PartitionReport::default());
        });
        let body = trial.ask_ops("GET /metrics").send().await.body;
        assert!(body.contains("hookline_records_consumed_total{topic=\"shop.orders\"} 0\n"), "{body}");
        let quarantined = "hookline_records_quarantined_total{reason=\"decode\",topic=\"shop.orders\"} 0\n";
        assert!(body.contains(quarantined), "{body}");
        assert!(body.contains("hookline_events_emitted_total{mapping=\"order-placed\"} 0\n"), "{body}");
    }

    #[tokio::test]
    async fn the_operations_listener_has_nothing_of_the_api() {
        let trial = Trial::open().await;
        assert_eq!(trial.ask_ops("GET /v1/subscriptions").send().await.status, 404);
        assert_eq!(trial.ask_ops("POST /livez").send().await.status, 405);
        assert_eq!(trial.ask("GET /metrics").send().await.status, 404);
    }
}
