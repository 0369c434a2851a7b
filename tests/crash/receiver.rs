//! A subscriber with a book and with moods: well, slow, failing, hanging.
//!
//! The book knows of each delivery when it was accepted, how often, and whether two requests with its id were out at the
//! same time; of each key, whether first acceptances came in the order of the log.

use crate::dice::mix;
use crate::support::{account::verifies, shop::SECRET};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Runtime};

/// How a path answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// 200 at once.
    Well,
    /// 200 after so many milliseconds.
    Slow(u64),
    /// 503.
    Failing,
    /// Nothing, ever.
    Hanging,
    /// 413 for every order whose number this divides, which no retry can mend; else 200 at once.
    Picky(u64),
}

/// What became of one order at one path.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) accepted: Vec<Instant>,
}

/// The book of one path.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) orders: HashMap<u64, Line>,
    /// When requests came, answered in whatever way.
    pub(crate) requests: Vec<Instant>,
    /// What must never be, in words.
    pub(crate) wrong: Vec<String>,
    pub(crate) twins: u64,
    last: HashMap<u64, u64>,
    out: HashSet<String>,
    attempts: HashMap<String, u64>,
}

struct Inner {
    books: Mutex<BTreeMap<String, Book>>,
    moods: Mutex<HashMap<String, Mood>>,
    keys: u64,
    /// Requests in ten thousand that are answered by 500 although all is well.
    failing: AtomicU64,
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    runtime: Option<Runtime>,
}

// === impl Receiver ===

impl Receiver {
    /// Well, at every path; orders `n` with the same `n % keys` have the same key.
    pub(crate) fn new(keys: u64) -> Self {
        let (books, moods, failing) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        let inner = Arc::new(Inner { books, moods, keys, failing });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, inner, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn mood(&self, path: &str, mood: Mood) {
        self.inner.moods.lock().unwrap().insert(path.into(), mood);
    }

    /// So many of ten thousand requests fail with 500.
    pub(crate) fn fail(&self, of_ten_thousand: u64) {
        self.inner.failing.store(of_ten_thousand, Ordering::Relaxed);
    }

    /// Looks into the book of `path`; be short.
    pub(crate) fn book<T>(&self, path: &str, look: impl FnOnce(&Book) -> T) -> T {
        look(self.inner.books.lock().unwrap().entry(path.into()).or_default())
    }

    /// Whether no request is out: all that were are answered, or it has seen that their connection is gone.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.books.lock().unwrap().values().all(|book| book.out.is_empty())
    }

    pub(crate) fn arrived(&self, path: &str) -> u64 {
        self.book(path, |book| book.orders.len() as u64)
    }

    pub(crate) fn twins(&self, path: &str) -> u64 {
        self.book(path, |book| book.twins)
    }

    /// The first of `orders` that never came to `path`, and how many did not.
    pub(crate) fn lost(&self, path: &str, orders: u64) -> Vec<u64> {
        self.book(path, |book| (0..orders).filter(|n| !book.orders.contains_key(n)).collect())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

// === impl Inner ===

impl Inner {
    /// Enters a request; gives what to do with it.
    fn begin(&self, path: &str, id: &str, headers: &HeaderMap, body: &[u8]) -> Mood {
        let mood = self.moods.lock().unwrap().get(path).copied().unwrap_or(Mood::Well);
        let mut books = self.books.lock().unwrap();
        let book = books.entry(path.into()).or_default();
        book.requests.push(Instant::now());
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !verifies(SECRET, [id, header("webhook-timestamp")], body, header("webhook-signature")) {
            book.wrong.push(format!("{id} is not signed"));
        }
        if !book.out.insert(id.into()) {
            book.wrong.push(format!("INV-6: two requests with {id} at the same time"));
        }
        let attempt = book.attempts.entry(id.into()).or_default();
        *attempt += 1;
        let dice = id.bytes().fold(*attempt, |mixed, byte| mix(mixed ^ u64::from(byte)));
        if mood != Mood::Hanging && dice % 10_000 < self.failing.load(Ordering::Relaxed) {
            return Mood::Failing;
        }
        mood
    }

    /// INV-4: first acceptances of a key come in the order of the log.
    fn accept(&self, path: &str, id: &str, body: &[u8]) {
        let Some(order) = order_of(body) else {
            return self.wrong(path, format!("{id} names no order"));
        };
        let mut books = self.books.lock().unwrap();
        let book = books.entry(path.into()).or_default();
        if let Some(line) = book.orders.get_mut(&order) {
            line.accepted.push(Instant::now());
            book.twins += 1;
            if line.id != id {
                book.wrong.push(format!("order {order} came as {} and as {id}", line.id));
            }
            return;
        }
        book.orders.insert(order, Line { id: id.into(), accepted: vec![Instant::now()] });
        let last = book.last.entry(order % self.keys).or_default();
        if path.starts_with("/key") && *last > order {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
            book.wrong
                .push(format!("INV-4: order {order} ({id}) was first accepted after {last} of the same key, at {now}"));
        }
        *last = order.max(*last);
    }

    fn wrong(&self, path: &str, what: String) {
        self.books.lock().unwrap().entry(path.into()).or_default().wrong.push(what);
    }
}

/// A request that is out, until it is answered or its connection is closed.
struct Out<'a> {
    inner: &'a Inner,
    path: &'a str,
    id: &'a str,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        if let Some(book) = self.inner.books.lock().unwrap().get_mut(self.path) {
            book.out.remove(self.id);
        }
    }
}

async fn take(State(inner): State<Arc<Inner>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_string();
    let path = uri.path();
    let mood = inner.begin(path, &id, &headers, &body);
    let _out = Out { inner: &inner, path, id: &id };
    match mood {
        Mood::Failing => return StatusCode::SERVICE_UNAVAILABLE,
        Mood::Hanging => return future::pending().await,
        Mood::Slow(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        Mood::Picky(many) if order_of(&body).is_some_and(|order| order.is_multiple_of(many)) => {
            return StatusCode::PAYLOAD_TOO_LARGE;
        }
        Mood::Picky(_) => {}
        Mood::Well => {}
    }
    inner.accept(path, &id, &body);
    StatusCode::OK
}

/// The order's number: the digits after `"order_id":"o-`.
fn order_of(body: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = br#""order_id":"o-"#;
    let at = body.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit()).copied().collect();
    String::from_utf8(digits).ok()?.parse().ok()
}
