//! A schema registry on a real socket, which holds what `tests/fixtures/registry/frames.json` says, and can be away.

use super::{
    broker::{self, Sample},
    ports,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rdkafka::message::OwnedHeaders;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::runtime::Runtime;

/// The only user it knows, as `authorization` says it: `hookline:s3cret`.
const USER: &str = "Basic aG9va2xpbmU6czNjcmV0";

/// A registry. It is away until it is brought up; dropping it closes it.
pub(crate) struct Registry {
    address: SocketAddr,
    inner: Arc<Inner>,
    runtime: Option<Runtime>,
}

struct Inner {
    held: Value,
    asked: AtomicU64,
}

/// A record as Confluent's client for Python wrote it.
pub(crate) struct Frame {
    pub(crate) name: String,
    pub(crate) format: String,
    pub(crate) sample: Sample,
    pub(crate) headers: OwnedHeaders,
    pub(crate) payload: Value,
}

// === impl Registry ===

impl Registry {
    /// A registry that is away.
    pub(crate) fn away() -> Self {
        let inner = Inner { held: fixture()["schemas"].clone(), asked: AtomicU64::new(0) };
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        Self { address, inner: Arc::new(inner), runtime: None }
    }

    /// How `schema_registry` names it.
    pub(crate) fn settings(&self) -> Value {
        json!({ "url": format!("http://{}", self.address), "username": "hookline", "password": "s3cret" })
    }

    /// Brings it up.
    pub(crate) fn up(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(self.address)).unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&self.inner));
        runtime.spawn(async move { axum::serve(listener, app).await });
        self.runtime = Some(runtime);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.inner.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// All records of the fixture, for partition 0.
pub(crate) fn frames() -> Vec<Frame> {
    let bytes = |base64: &Value| STANDARD.decode(base64.as_str().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let frame = |frame: &Value| Frame {
        name: text(&frame["name"]),
        format: text(&frame["format"]),
        sample: Sample { partition: 0, key: text(&frame["name"]), value: bytes(&frame["value"]) },
        headers: {
            let all: Vec<_> = frame["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| (text(&one["name"]), bytes(&one["value"])))
                .collect();
            broker::headers(all.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
        },
        payload: frame["payload"].clone(),
    };
    fixture()["frames"].as_array().unwrap().iter().map(frame).collect()
}

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../fixtures/registry/frames.json")).unwrap()
}

async fn answer(State(inner): State<Arc<Inner>>, headers: HeaderMap, uri: Uri) -> (StatusCode, String) {
    inner.asked.fetch_add(1, Ordering::SeqCst);
    if headers.get("authorization").is_none_or(|user| user != USER) {
        return (StatusCode::UNAUTHORIZED, json!({ "error_code": 401, "message": "Unauthorized" }).to_string());
    }
    let path = uri.path().replace("%2F", "/");
    let named = |schema: &&Value| {
        let text = |key: &str| schema[key].as_str().map_or_else(|| schema[key].to_string(), str::to_owned);
        path == format!("/schemas/ids/{}", text("id"))
            || path == format!("/schemas/guids/{}", text("guid"))
            || path == format!("/subjects/{}/versions/{}", text("subject"), text("version"))
    };
    match inner.held.as_array().unwrap().iter().find(named) {
        Some(schema) => (StatusCode::OK, schema.to_string()),
        None => (StatusCode::NOT_FOUND, json!({ "error_code": 40403, "message": "Schema not found" }).to_string()),
    }
}
