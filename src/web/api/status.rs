//! `/v1/status`: how the process is, in one answer, for operators.

use crate::model::jump::Jump;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::runtime::status::{Health, PartitionReport, Reload, Report};
use crate::web::api::problem::{Kind, Problem};
use crate::web::auth::Caller;
use crate::web::state::{self, Api};
use crate::web::totals::Totals;
use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    caller.operator()?;
    let state = api.state.clone();
    let body = tokio::task::spawn_blocking(move || body(&state)).await;
    body.map(Json).map_err(|_| Problem::of(Kind::Internal, "the status could not be put together"))
}

fn body(state: &state::State) -> Value {
    let (report, totals, now) = (state.board.read(), Totals::of(&state.directory), clock::now());
    let quarantine = state.quarantine.weight();
    let counts = |counts: &[(&'static str, u64)]| -> Map<String, Value> {
        counts.iter().map(|(name, n)| ((*name).into(), json!(n))).collect()
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": report.started.to_string(),
        "uptime_s": now.since(report.started).as_secs(),
        "generation": report.generation,
        "reload": report.reload.as_ref().map(reload),
        "stopping": report.stopping,
        "kafka": health(&report.kafka),
        "partitions": report.partitions.iter().map(partition).collect::<Vec<_>>(),
        "subscriptions": counts(&totals.subscriptions),
        "lanes": counts(&totals.lanes),
        "cursors": totals.cursors,
        "deliveries": { "in_flight": totals.in_flight, "queued": totals.queued },
        "dead_letters": { "rows": totals.letters.rows, "bytes": totals.letters.bytes },
        "quarantine": { "rows": quarantine.rows, "bytes": quarantine.bytes },
        "ledger": { "rows": totals.rows, "bytes": totals.bytes, "oldest": totals.oldest.map(text) },
        "store": store(&report, state.store.disk().free()),
        "schema_registry": report.registry.as_ref().map(health),
        "backpressure": report.backpressure,
        "open_bytes": state.directory.hands().partitions.bytes(),
    })
}

fn reload(reload: &Reload) -> Value {
    json!({
        "at": text(reload.at),
        "cause": reload.cause.as_str(),
        "result": reload.taken.as_str(),
        "problems": reload.problems.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn store(report: &Report, free: u64) -> Value {
    let mut store = health(&report.store);
    store["free_bytes"] = json!(free);
    store
}

fn health(health: &Health) -> Value {
    match health {
        Health::Good => json!({ "ok": true, "reason": null }),
        Health::Bad(reason) => json!({ "ok": false, "reason": reason }),
    }
}

fn partition((at, report): (&TopicPartition, &PartitionReport)) -> Value {
    json!({
        "topic": &*at.topic,
        "partition": at.partition,
        "position": report.position,
        "watermark": report.watermark,
        "end": report.end,
        "lag": report.end.map(|end| (end - report.watermark).max(0)),
        "unsettled": report.unsettled,
        "oldest_unsettled_at": report.oldest.map(text),
        "paused": report.paused,
        "jump": report.jump.map(jump),
    })
}

fn jump(jump: Jump) -> Value {
    json!({ "from": jump.from, "to": jump.to, "reason": jump.reason.as_str(), "at": text(jump.at) })
}

fn text(time: Timestamp) -> String {
    time.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::jump::JumpReason;
    use crate::model::problem::{Place, Problems};
    use crate::runtime::status::{Cause, Taken};
    use crate::web::trial::Trial;

    #[tokio::test]
    async fn the_status_says_how_far_each_partition_is_and_what_is_wrong() {
        let trial = Trial::open().await;
        trial.create("", json!({})).await;
        trial.state.board.update(|report| {
            let at = TopicPartition { topic: "shop.orders".into(), partition: 2 };
            let oldest = Some(Timestamp::from_millis(1_000));
            let jump =
                Jump { from: Some(90), to: 80, reason: JumpReason::Truncated, at: Timestamp::from_millis(2_000) };
            let partition = PartitionReport {
                position: 105,
                watermark: 100,
                end: Some(110),
                unsettled: 3,
                oldest,
                paused: Some("quarantine"),
                jump: Some(jump),
            };
            report.partitions.insert(at, partition);
            report.kafka = Health::Bad("no broker answers".into());
            report.registry = Some(Health::Bad("schema 7 is waited for".into()));
            report.backpressure = Some("bytes");
        });
        let status = trial.ask("GET /v1/status").send().await.json();
        let expected = json!([{
            "topic": "shop.orders", "partition": 2, "position": 105, "watermark": 100, "end": 110, "lag": 10,
            "unsettled": 3, "oldest_unsettled_at": "1970-01-01T00:00:01.000Z", "paused": "quarantine",
            "jump": { "from": 90, "to": 80, "reason": "truncated", "at": "1970-01-01T00:00:02.000Z" },
        }]);
        assert_eq!(status["partitions"], expected);
        assert_eq!(status["schema_registry"], json!({ "ok": false, "reason": "schema 7 is waited for" }));
        assert_eq!(status["kafka"], json!({ "ok": false, "reason": "no broker answers" }));
        assert_eq!((&status["store"]["ok"], &status["backpressure"]), (&json!(true), &json!("bytes")));
        assert_eq!(status["subscriptions"], json!({ "active": 1, "paused": 0, "disabled": 0, "unverified": 0 }));
        let lanes = json!({ "live": 1, "failing": 0, "slow": 0, "full": 0, "paused": 0, "disabled": 0, "unverified": 0, "starting": 0 });
        assert_eq!((&status["lanes"], &status["cursors"]), (&lanes, &json!(0)));
        assert_eq!((&status["version"], &status["generation"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(1)));
        assert_eq!(status["ledger"], json!({ "rows": 0, "bytes": 0, "oldest": null }));
        assert_eq!(status["quarantine"], json!({ "rows": 0, "bytes": 0 }));
        assert!(status["uptime_s"].as_u64().unwrap() < 3_600);
    }

    #[tokio::test]
    async fn the_status_says_why_the_last_configuration_was_not_taken() {
        let trial = Trial::open().await;
        assert_eq!(trial.ask("GET /v1/status").send().await.json()["reload"], Value::Null);
        let mut problems = Problems::default();
        problems.add(&Place::whole("orders.yaml"), "mappings[0].from", "is missing", "");
        let reload = Reload { at: Timestamp::from_millis(1_000), cause: Cause::Files, taken: Taken::Refused, problems };
        trial.state.board.update(|report| report.reload = Some(reload));
        let expected = json!({
            "at": "1970-01-01T00:00:01.000Z", "cause": "files", "result": "refused",
            "problems": ["orders.yaml: mappings[0].from: is missing"],
        });
        assert_eq!(trial.ask("GET /v1/status").send().await.json()["reload"], expected);
    }
}
