//! For tests: both listeners on free ports over a store in a directory of its own, and a client that speaks bytes.

use crate::catalogue::written::Events;
use crate::deliver::handshake::Introduction;
use crate::egress::client::HttpTransport;
use crate::egress::guard::Guard;
use crate::egress::settings::{EgressSettings, Entry};
use crate::kafka::settings::KafkaSettings;
use crate::map::written::Rules;
use crate::metrics::Metrics;
use crate::model::id::Sid;
use crate::model::problem::Problems;
use crate::model::secret::Secret;
use crate::model::subscription::{Subscription, Tenant};
use crate::pipeline::Pipeline;
use crate::progress::partitions::Partitions;
use crate::quarantine::Quarantine;
use crate::quarantine::settings::QuarantineSettings;
use crate::registry::desk::Desk;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::{Board, Health};
use crate::store::Store;
use crate::store::settings::StoreSettings;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::{Directory, written};
use crate::web::reload::{Asked, Reloads};
use crate::web::settings::{ApiSettings, MetricsSettings, Scope, Token};
use crate::web::state::State;
use crate::web::{WebError, bind};
use crate::yaml::node::Node;
use crate::yaml::reader;
use arc_swap::ArcSwap;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Both listeners, at work.
pub(crate) struct Trial {
    pub(crate) api: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) state: State,
    pub(crate) shutdown: Shutdown,
    /// Reloads that are asked for; nobody answers by himself.
    pub(crate) reloads: mpsc::Receiver<Asked>,
    pub(crate) served: JoinHandle<Result<(), WebError>>,
    _directory: TempDir,
}

/// A request to send.
pub(crate) struct Ask {
    to: SocketAddr,
    head: String,
    host: String,
    body: Option<Vec<u8>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

/// Tokens of each scope: `boss`, `reader`, and `one` and `two` of the tenants `t-1` and `t-2`.
pub(crate) fn tokens() -> Vec<Token> {
    let scopes = [
        ("boss", Scope::Admin),
        ("reader", Scope::Read),
        ("one", Scope::Tenant("t-1".into())),
        ("two", Scope::Tenant("t-2".into())),
    ];
    scopes.map(|(name, scope)| Token { name: name.into(), token: Secret::new(format!("{name}-token")), scope }).into()
}

/// What is known of the rooms below, over an empty store in `directory`.
pub(crate) fn state(directory: &TempDir) -> State {
    let settings = StoreSettings { path: directory.path().join("store"), min_free: 0, ..StoreSettings::default() };
    let store = Store::open(&settings, Box::new(|_| {})).unwrap();
    let metrics = Metrics::new();
    let quarantine = Quarantine::open(store.clone(), metrics.clone(), QuarantineSettings::default()).unwrap();
    let hands = Hands::new(store.clone(), Arc::new(Partitions::default()), metrics.clone());
    let allow = vec![Entry::Net("127.0.0.0/8".parse().unwrap())];
    let egress = EgressSettings { allow_http: true, allow, ..EgressSettings::default() };
    let (guard, transport) = (Guard::new(egress.clone()), HttpTransport::new(&egress).unwrap());
    let board = Board::default();
    board.update(|report| {
        (report.started, report.intake_beat, report.generation) = (clock::now(), clock::now(), 1);
        (report.kafka, report.store) = (Health::Good, Health::Good);
    });
    let directory = Directory::load(Arc::new(hands), Default::default()).unwrap();
    let kafka = KafkaSettings { brokers: "127.0.0.1:1".into(), ..KafkaSettings::default() };
    let pipeline = Arc::new(ArcSwap::from_pointee(Pipeline::new(
        Rules::default().finish(&mut Problems::default()),
        Vec::new(),
        1 << 20,
    )));
    let (reloads, _) = Reloads::new(); // nobody reloads
    let quarantine = Arc::new(quarantine);
    let desk = Arc::new(Desk::new(None));
    let introduction = Introduction::default();
    State {
        directory,
        store,
        board,
        metrics,
        per_subscription: true,
        desk,
        quarantine,
        guard,
        transport,
        kafka,
        pipeline,
        introduction,
        reloads,
    }
}

// === impl Trial ===

impl Trial {
    /// Listeners without tokens.
    pub(crate) async fn open() -> Self {
        Self::with(Vec::new(), |_| {}).await
    }

    /// Listeners with the tokens of [`tokens`].
    pub(crate) async fn guarded() -> Self {
        Self::with(tokens(), |_| {}).await
    }

    /// Listeners without tokens, over this Kafka and a mapping that reads `topic`.
    pub(crate) async fn reading(kafka: KafkaSettings, topic: &str) -> Self {
        let text = format!("mappings: [{{ name: any, from: {topic}, emit: {{ type: com.acme.any }} }}]");
        let (mut rules, mut problems) = (Rules::default(), Problems::default());
        rules.add_file(&reader::read(&"any.yaml".into(), &text).unwrap(), &mut problems);
        let mappings = rules.finish(&mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let pipeline = Pipeline::new(mappings, Vec::new(), 1 << 20);
        Self::with(Vec::new(), |state| {
            state.kafka = kafka;
            state.pipeline.store(Arc::new(pipeline));
        })
        .await
    }

    /// Listeners with the tokens of [`tokens`], over the rules and the catalogue of a mapping file.
    pub(crate) async fn publishing(text: &str) -> Self {
        let (mut rules, mut events, mut problems) = (Rules::default(), Events::default(), Problems::default());
        let node = reader::read(&"rules.yaml".into(), text).unwrap();
        rules.add_file(&node, &mut problems);
        events.add_file(&node, &mut problems);
        let pipeline = Pipeline::new(rules.finish(&mut problems), Vec::new(), 1 << 20);
        assert!(problems.is_empty(), "{problems:?}");
        let pipeline = pipeline.publishing(events.finish(), Default::default());
        Self::with(tokens(), |state| state.pipeline.store(Arc::new(pipeline))).await
    }

    async fn with(tokens: Vec<Token>, change: impl FnOnce(&mut State)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (asks, reloads) = Reloads::new();
        let mut state = State { reloads: asks, ..state(&directory) };
        change(&mut state);
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = bind(
            &ApiSettings { listen: free, tokens },
            &MetricsSettings { listen: free, ..MetricsSettings::default() },
        )
        .await
        .unwrap();
        let (api, ops, shutdown) = (listeners.api, listeners.ops, Shutdown::default());
        #[allow(clippy::disallowed_methods, reason = "a test that awaits it, or ends with it")]
        let served = tokio::spawn(listeners.serve(state.clone(), shutdown.clone()));
        Self { api, ops, state, shutdown, reloads, served, _directory: directory }
    }

    /// A request to the API: `GET /v1/status`.
    pub(crate) fn ask(&self, line: &str) -> Ask {
        Ask { to: self.api, head: format!("{line} HTTP/1.1\r\n"), host: "localhost".into(), body: None }
    }

    /// A request to the operations listener.
    pub(crate) fn ask_ops(&self, line: &str) -> Ask {
        Ask { to: self.ops, ..self.ask(line) }
    }

    /// A subscription made over the API by `token`; gives its answer.
    pub(crate) async fn create(&self, token: &str, more: Value) -> Answer {
        self.ask("POST /v1/subscriptions").token(token).json(&order(more)).send().await
    }

    /// A subscription of `tenant` put into the directory, past the API.
    pub(crate) async fn given(&self, id: &str, tenant: Tenant, sid: Sid) -> Arc<Subscription> {
        let node = Node::from_json(&"test".into(), &order(json!({})));
        let subscription = written::create(&node, &self.state.guard, clock::now()).unwrap();
        let subscription = Subscription { id: id.into(), tenant, sid, ..subscription };
        self.state.directory.create(subscription, Vec::new()).await.unwrap()
    }
}

/// The smallest order, and `more` over it.
pub(crate) fn order(more: Value) -> Value {
    let mut order = json!({ "url": "http://127.0.0.1:9/hooks", "types": ["com.acme.**"] });
    for (key, value) in more.as_object().unwrap() {
        order[key] = value.clone();
    }
    order
}

// === impl Ask ===

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn token(self, name: &str) -> Self {
        self.header("authorization", &format!("Bearer {name}-token"))
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        self = self.header("content-length", &body.len().to_string());
        self.body = Some(body);
        self
    }

    /// The bytes of the request; the connection closes behind the answer.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let head = format!("{}host: {}\r\nconnection: close\r\n\r\n", self.head, self.host);
        [head.into_bytes(), self.body.unwrap_or_default()].concat()
    }

    pub(crate) async fn send(self) -> Answer {
        let to = self.to;
        Answer::to(to, &self.bytes()).await
    }
}

// === impl Answer ===

impl Answer {
    /// What is answered to `request`; it must ask to close the connection.
    pub(crate) async fn to(to: SocketAddr, request: &[u8]) -> Self {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// That this is a problem of this kind; gives it.
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((self.status, problem["type"].as_str()), (status, Some(slug)), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }

    /// The pointers of a problem's errors.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let problem = self.problem(422, "invalid");
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}
