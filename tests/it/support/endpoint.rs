//! A subscriber's endpoint: fast, verifies every signature, keeps the books, and answers as its script says.
//!
//! One listener serves all subscribers of a test, each by a path of its own. For bad habits on the wire (resets, drips,
//! huge answers) there is `receiver`; this one speaks good HTTP.

use super::{
    account::{Account, verifies},
    shop::SECRET,
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use std::{
    collections::HashMap,
    future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};
use tokio::{net::TcpListener, runtime::Runtime};

/// How many webhooks are kept whole; beyond, only the books grow.
const KEPT: usize = 1_000;

/// A webhook as it came.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// 1 for the first request with this id at this path.
    pub(crate) attempt: u32,
    /// When it was whole.
    pub(crate) at: Instant,
}

/// What the endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This status, at once.
    Status(u16),
    /// 503, at once, and when to come back: after so many seconds.
    Busy(u16),
    /// Nothing, ever.
    Hang,
}

/// A running endpoint. Dropping it closes it.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    runtime: Option<Runtime>,
}

struct Inner {
    account: Account,
    seen: Mutex<Seen>,
    script: Box<dyn Fn(&Webhook) -> Answer + Send + Sync>,
}

#[derive(Default)]
struct Seen {
    webhooks: Vec<Webhook>,
    requests: HashMap<String, u64>,
    attempts: HashMap<(String, String), u32>,
}

// === impl Endpoint ===

impl Endpoint {
    /// An endpoint that accepts everything.
    pub(crate) fn accepting() -> Self {
        Self::scripted(|_| Answer::Status(200))
    }

    /// An endpoint that answers as `script` says. It is asked once for each request.
    pub(crate) fn scripted(script: impl Fn(&Webhook) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    /// As [`Endpoint::scripted`], at an address of one's choice.
    pub(crate) fn on(address: SocketAddr, script: impl Fn(&Webhook) -> Answer + Send + Sync + 'static) -> Self {
        let inner = Arc::new(Inner { account: Account::default(), seen: Mutex::default(), script: Box::new(script) });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).expect("the endpoint's port is free");
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, inner, runtime: Some(runtime) }
    }

    /// The URL of a subscriber's path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The books.
    pub(crate) fn account(&self) -> &Account {
        &self.inner.account
    }

    /// How many requests came to `path`, answered in whatever way.
    pub(crate) fn requests(&self, path: &str) -> u64 {
        self.inner.seen.lock().unwrap().requests.get(path).copied().unwrap_or(0)
    }

    /// The first webhooks that came to `path`, answered in whatever way.
    pub(crate) fn webhooks(&self, path: &str) -> Vec<Webhook> {
        self.inner.seen.lock().unwrap().webhooks.iter().filter(|webhook| webhook.path == path).cloned().collect()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Webhook ===

impl Webhook {
    /// A header's value; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it was signed with the tests' secret.
    pub(crate) fn verifies(&self) -> bool {
        verifies(SECRET, [&self.id, self.header("webhook-timestamp")], &self.body, self.header("webhook-signature"))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

// === impl Inner ===

impl Inner {
    fn take(&self, mut webhook: Webhook) -> Answer {
        {
            let mut seen = self.seen.lock().unwrap();
            let attempts = seen.attempts.entry((webhook.path.clone(), webhook.id.clone())).or_default();
            *attempts += 1;
            webhook.attempt = *attempts;
            *seen.requests.entry(webhook.path.clone()).or_default() += 1;
            if seen.webhooks.len() < KEPT {
                seen.webhooks.push(webhook.clone());
            }
        }
        if !webhook.verifies() {
            self.account.unsigned(&webhook.path);
        }
        let answer = (self.script)(&webhook);
        if let Answer::Status(200..=299) = answer {
            self.account.accepted(&webhook.path, &webhook.id, &webhook.body);
        }
        answer
    }
}

async fn take(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_string();
    let webhook = Webhook { path: uri.path().to_string(), id, headers, body, attempt: 0, at: Instant::now() };
    match inner.take(webhook) {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Busy(seconds) => {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds.to_string())]).into_response()
        }
        Answer::Hang => future::pending().await,
    }
}
