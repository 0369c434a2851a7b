//! `/v1/quarantine`: records that could not be decoded or mapped, with their place, bytes and reason. For operators:
//! a record that was not understood has no tenant.

use crate::model::quarantine::{FaultReason, Filter, Owed, Quarantined};
use crate::model::record::Header;
use crate::web::api::asked::Id;
use crate::web::api::dead_letters::Names;
use crate::web::api::page::{self, Asked, Page};
use crate::web::api::problem::Problem;
use crate::web::api::{shape, stored};
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    caller.operator()?;
    let asked = Asked::read(query.as_deref(), &["topic", "mapping", "reason"])?;
    let (after, limit) = (asked.after("quar_")?, asked.limit);
    let (filter, names) = (filter(|name| asked.filter(name).map(str::to_owned))?, names(&api));
    stored::read(&api, move |store| {
        let mut ids = store.quarantine_ids(&filter, after.as_deref(), limit + 1)?;
        let more = ids.len() > limit;
        ids.truncate(limit);
        let mut page = Page { items: Vec::new(), last: ids.last().filter(|_| more).cloned() };
        for id in &ids {
            // One that went meanwhile is not there any more.
            page.items.extend(store.quarantined_one(id)?.map(|row| head(id, &row, &names)));
        }
        Ok(page)
    })
    .await
}

pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    caller.operator()?;
    let wanted = id.clone();
    let row = stored::read(&api, move |store| store.quarantined_one(&wanted)).await?;
    let row = row.ok_or_else(|| Problem::not_found("quarantined record"))?;
    let mut body = head(&id, &row, &names(&api));
    body["key"] = shape::bytes(row.record.key.as_deref());
    body["headers"] = row.record.headers.iter().map(header).collect();
    body["value"] = shape::bytes(row.record.value.as_deref());
    Ok(Json(body))
}

/// What `topic`, `mapping` and `reason` of a query select.
pub(crate) fn filter(asked: impl Fn(&str) -> Option<String>) -> Result<Filter, Problem> {
    let reason = asked("reason").map(|text| {
        let reason = FaultReason::ALL.into_iter().find(|reason| reason.as_str() == text);
        let all = FaultReason::ALL.map(FaultReason::as_str).join(", ");
        reason.ok_or_else(|| page::bad("reason", &format!("must be one of {all}")))
    });
    Ok(Filter { topic: asked("topic"), mapping: asked("mapping"), reason: reason.transpose()? })
}

fn names(api: &Api) -> Names {
    let snapshot = api.state.directory.snapshot();
    snapshot.iter().map(|entry| (entry.subscription.sid, entry.subscription.id.clone())).collect()
}

/// A quarantined record without its bytes.
fn head(id: &str, row: &Quarantined, names: &Names) -> Value {
    json!({
        "id": id,
        "quarantined_at": row.at.to_string(),
        "reason": row.fault.reason.as_str(),
        "mapping": row.fault.mapping,
        "field": row.fault.field,
        "expression": row.fault.expression,
        "detail": row.fault.detail,
        "origin": shape::origin(&row.record.origin),
        "size": row.record.size(),
        "for": owed(&row.owed, names),
    })
}

/// Who waits for it: `all` that were live when it was read, or those whose readers passed it.
fn owed(owed: &Owed, names: &Names) -> Value {
    match owed.live {
        Some(_) => json!("all"),
        None => owed.riders.iter().filter_map(|sid| names.get(sid)).map(|id| json!(id)).collect(),
    }
}

fn header(header: &Header) -> Value {
    json!({ "name": header.name, "value": shape::bytes(header.value.as_deref()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quarantine::Fault;
    use crate::model::record::{Origin, Record};
    use crate::model::time::Timestamp;
    use crate::store::batch::Batch;
    use crate::web::trial::Trial;
    use bytes::Bytes;
    use std::collections::BTreeSet;

    fn row(offset: i64) -> Quarantined {
        let origin = Origin { topic: "shop.orders".into(), partition: 1, offset, timestamp: Timestamp::from_millis(5) };
        let headers = vec![
            Header { name: "a".into(), value: Some(Bytes::from_static(b"\xff")) },
            Header { name: "b".into(), value: None },
        ];
        let value = Some(Bytes::from_static(b"{\"id\": hunter2"));
        let fault = Fault {
            reason: FaultReason::Map,
            mapping: Some("order-placed".into()),
            field: Some("emit.data.total".into()),
            expression: Some("payload.total".into()),
            detail: "there is no total".into(),
        };
        let (record, at) = (Record { origin, key: None, headers, value }, Timestamp::from_millis(9));
        Quarantined { record, at, fault, owed: Owed::to_live(at, BTreeSet::new()) }
    }

    async fn keep(trial: &Trial, offsets: std::ops::Range<i64>) {
        let mut batch = Batch::new();
        for offset in offsets {
            batch.quarantine(&row(offset));
        }
        trial.state.store.durable(batch).await.unwrap();
    }

    #[tokio::test]
    async fn p7_a_quarantined_record_shows_place_and_reason_and_by_itself_its_bytes() {
        let trial = Trial::open().await;
        keep(&trial, 7..8).await;
        let list = trial.ask("GET /v1/quarantine").send().await;
        assert!(!list.body.contains("hunter2"), "{}", list.body);
        let one = &list.json()["items"][0];
        assert_eq!((&one["reason"], &one["mapping"]), (&json!("map"), &json!("order-placed")));
        assert_eq!((&one["field"], &one["expression"]), (&json!("emit.data.total"), &json!("payload.total")));
        assert_eq!((&one["detail"], &one["origin"]["offset"]), (&json!("there is no total"), &json!(7)));
        assert_eq!(one["for"], "all");
        let id = one["id"].as_str().unwrap();
        let shown = trial.ask(&format!("GET /v1/quarantine/{id}")).send().await.json();
        assert_eq!(shown["value"], json!({ "base64": "eyJpZCI6IGh1bnRlcjI=", "text": "{\"id\": hunter2" }));
        assert_eq!(shown["key"], Value::Null);
        let headers = json!([
            { "name": "a", "value": { "base64": "/w==", "text": null } }, { "name": "b", "value": null },
        ]);
        assert_eq!(shown["headers"], headers);
    }

    #[tokio::test]
    async fn pages_give_each_record_once_and_end() {
        let trial = Trial::open().await;
        keep(&trial, 0..50).await;
        for limit in [1, 16, 17, 50, 200] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = trial.ask(&format!("GET /v1/quarantine?limit={limit}{cursor}")).send().await.json();
                let items = page["items"].as_array().unwrap();
                assert!(!items.is_empty() && items.len() <= limit);
                found.extend(items.iter().map(|one| one["origin"]["offset"].as_i64().unwrap()));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(found, (0..50).collect::<Vec<_>>(), "{limit}");
        }
    }

    #[tokio::test]
    async fn a_list_may_be_of_a_topic_a_mapping_or_a_reason() {
        let trial = Trial::open().await;
        keep(&trial, 0..5).await;
        for (query, many) in [
            ("topic=shop.orders", 5),
            ("topic=shop.order", 0),
            ("mapping=order-placed&reason=map", 5),
            ("mapping=other", 0),
            ("reason=decode", 0),
        ] {
            let page = trial.ask(&format!("GET /v1/quarantine?{query}")).send().await.json();
            assert_eq!(page["items"].as_array().unwrap().len(), many, "{query}");
        }
        let problem = trial.ask("GET /v1/quarantine?reason=bored").send().await.problem(400, "bad-request");
        assert!(problem["detail"].as_str().unwrap().contains("decode, map, limit, event"), "{problem}");
    }

    #[tokio::test]
    async fn what_is_not_in_quarantine_is_not_there() {
        let trial = Trial::open().await;
        assert_eq!(trial.ask("GET /v1/quarantine").send().await.json(), json!({ "items": [], "next_cursor": null }));
        for id in ["quar_AAAA", "dead_AAAA", "x"] {
            trial.ask(&format!("GET /v1/quarantine/{id}")).send().await.problem(404, "not-found");
        }
    }
}
