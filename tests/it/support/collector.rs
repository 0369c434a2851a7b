//! A collector of traces on a real socket: takes OTLP over HTTP, and reads it by OpenTelemetry's own .proto text with another
//! decoder than ours.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use std::{
    future,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{net::TcpListener, runtime::Runtime};

/// A span as it came.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty: nothing caused it.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) state: String,
    /// Traces and ids.
    pub(crate) links: Vec<(String, String)>,
    /// `service.name` of the resource.
    pub(crate) service: String,
    pub(crate) failed: bool,
    /// Whether its cause is somebody else's work.
    pub(crate) remote: bool,
    pub(crate) times: [u64; 2],
    attributes: Value,
}

/// How it takes what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Taking,
    /// It answers nothing, ever.
    Hanging,
}

/// A collector that runs. Dropping it closes it.
pub(crate) struct Collector {
    address: SocketAddr,
    inner: Arc<Inner>,
    runtime: Option<Runtime>,
}

struct Inner {
    request: MessageDescriptor,
    manner: Manner,
    asked: AtomicU64,
    heads: Mutex<Vec<HeaderMap>>,
    spans: Mutex<Vec<Span>>,
}

// === impl Collector ===

impl Collector {
    pub(crate) fn start(manner: Manner) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp");
        let file = folder.join("opentelemetry/proto/collector/trace/v1/trace_service.proto");
        let pool = DescriptorPool::from_file_descriptor_set(protox::compile([file], [folder]).unwrap()).unwrap();
        let request = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest";
        let inner = Arc::new(Inner {
            request: pool.get_message_by_name(request).unwrap(),
            manner,
            asked: AtomicU64::new(0),
            heads: Mutex::default(),
            spans: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, inner, runtime: Some(runtime) }
    }

    /// How `tracing.otlp` names it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.inner.asked.load(Ordering::SeqCst)
    }

    /// Everything that it has taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.inner.spans.lock().unwrap().clone()
    }

    /// The headers of all requests.
    pub(crate) fn heads(&self) -> Vec<HeaderMap> {
        self.inner.heads.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Span ===

impl Span {
    /// An attribute's value as text; empty when it is not there.
    pub(crate) fn attribute(&self, key: &str) -> String {
        let all = self.attributes.as_array().unwrap().iter();
        let found = all.filter(|one| one["key"] == key).map(|one| &one["value"]).next();
        let value = found.and_then(|value| value.as_object()?.values().next());
        value.map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// All that it says, as text.
    pub(crate) fn text(&self) -> String {
        format!("{self:?}")
    }

    fn read(span: &Value, service: &str) -> Self {
        let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
        let time = |key: &str| text(key).parse().unwrap();
        let all = |key: &str| span[key].as_array().cloned().unwrap_or_default();
        Self {
            trace: hex(&span["traceId"]),
            id: hex(&span["spanId"]),
            parent: hex(&span["parentSpanId"]),
            name: text("name"),
            kind: text("kind"),
            state: text("traceState"),
            links: all("links").iter().map(|link| (hex(&link["traceId"]), hex(&link["spanId"]))).collect(),
            service: service.to_owned(),
            failed: span["status"]["code"] == "STATUS_CODE_ERROR",
            remote: span["flags"].as_u64().unwrap() & 0x200 != 0,
            times: [time("startTimeUnixNano"), time("endTimeUnixNano")],
            attributes: span["attributes"].clone(),
        }
    }
}

fn hex(base64: &Value) -> String {
    let bytes = STANDARD.decode(base64.as_str().unwrap_or_default()).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn take(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    inner.asked.fetch_add(1, Ordering::SeqCst);
    if inner.manner == Manner::Hanging {
        future::pending::<()>().await;
    }
    if uri.path() != "/v1/traces" || headers.get("content-type").is_none_or(|kind| kind != "application/x-protobuf") {
        return StatusCode::NOT_FOUND;
    }
    let Ok(request) = DynamicMessage::decode(inner.request.clone(), body) else { return StatusCode::BAD_REQUEST };
    let request = serde_json::to_value(request).unwrap();
    let mut spans = inner.spans.lock().unwrap();
    for resource in request["resourceSpans"].as_array().unwrap() {
        let names = resource["resource"]["attributes"].as_array().unwrap().iter();
        let service = names.filter(|one| one["key"] == "service.name").map(|one| &one["value"]["stringValue"]).next();
        for scope in resource["scopeSpans"].as_array().unwrap() {
            let read = scope["spans"].as_array().unwrap().iter();
            spans.extend(read.map(|span| Span::read(span, service.unwrap().as_str().unwrap())));
        }
    }
    inner.heads.lock().unwrap().push(headers);
    StatusCode::OK
}
