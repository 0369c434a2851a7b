//! `/v1/status`: how the process is, in one answer, for operators.

use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::runtime::status::{Health, PartitionReport, Report};
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
    let counts: Map<String, Value> = totals.subscriptions.iter().map(|(name, n)| ((*name).into(), json!(n))).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": report.started.to_string(),
        "uptime_s": now.since(report.started).as_secs(),
        "generation": report.generation,
        "stopping": report.stopping,
        "kafka": health(&report.kafka),
        "partitions": report.partitions.iter().map(partition).collect::<Vec<_>>(),
        "subscriptions": counts,
        "lanes": counts,
        "deliveries": { "in_flight": totals.in_flight, "queued": totals.queued },
        "ledger": { "rows": totals.rows, "bytes": totals.bytes, "oldest": totals.oldest.map(text) },
        "store": store(&report, state.store.free_bytes()),
        "backpressure": report.backpressure,
        "open_bytes": state.directory.hands().partitions.bytes(),
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
    })
}

fn text(time: Timestamp) -> String {
    time.to_string()
}
