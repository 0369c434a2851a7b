//! `/v1/quarantine`: records that could not be decoded or mapped, with their place, bytes and reason. For operators:
//! a record that was not understood has no tenant.

use crate::model::quarantine::Quarantined;
use crate::model::record::Header;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::web::api::asked::Id;
use crate::web::api::page::{Asked, Page};
use crate::web::api::problem::Problem;
use crate::web::api::{shape, stored};
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;

/// Rows read at once: each holds a whole record, of which a list shows only the head.
const CHUNK: usize = 16;

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    caller.operator()?;
    let asked = Asked::read(query.as_deref(), &[])?;
    let (after, limit) = (asked.after("quar_")?, asked.limit);
    stored::read(&api, move |store| page(store, after, limit)).await
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
    let mut body = head(&id, &row);
    body["key"] = shape::bytes(row.record.key.as_deref());
    body["headers"] = row.record.headers.iter().map(header).collect();
    body["value"] = shape::bytes(row.record.value.as_deref());
    Ok(Json(body))
}

fn page(store: &Store, mut after: Option<String>, limit: usize) -> Result<Page, StoreError> {
    let mut page = Page { items: Vec::new(), last: None };
    loop {
        let rows = store.quarantined(after.as_deref(), CHUNK)?;
        let ended = rows.len() < CHUNK;
        for (id, row) in rows {
            if page.items.len() == limit {
                page.last = after;
                return Ok(page);
            }
            page.items.push(head(&id, &row));
            after = Some(id);
        }
        if ended {
            return Ok(page);
        }
    }
}

/// A quarantined record without its bytes.
fn head(id: &str, row: &Quarantined) -> Value {
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
    })
}

fn header(header: &Header) -> Value {
    json!({ "name": header.name, "value": shape::bytes(header.value.as_deref()) })
}
