//! A local receiver of webhooks, as a careful subscriber would write one: says that it wants them when it is asked,
//! verifies, answers, tells what came.
//!
//! Shared by `hookline listen` and `hookline demo`. What comes goes into a bounded channel: when who prints it is
//! slower than who sends it, answers wait. It reads no more of a body than [`BODY`].

use crate::deliver::handshake::{ALLOWED_ORIGIN, ALLOWED_RATE, CHALLENGE};
use crate::deliver::sign::{self, Signed, Verifier, VerifyError};
use crate::deliver::target::{REQUEST_ORIGIN, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use url::form_urlencoded;

/// The most bytes of a body that are read; a longer one is answered with 413. Four times the largest event by default.
pub const BODY: usize = 4 << 20;
/// Webhooks that may wait to be printed; then answers wait.
const WAITING: usize = 256;

/// How a receiver answers.
#[derive(Clone, Debug)]
pub struct Answers {
    /// What it verifies with.
    pub keys: Keys,
    /// What it answers to what is authentic, or not verified.
    pub status: StatusCode,
    /// How long it thinks before.
    pub delay: Duration,
}

/// What a receiver verifies with.
#[derive(Clone, Debug)]
pub enum Keys {
    /// Nothing: everything is taken.
    None,
    /// One key.
    One(Verifier),
    /// A key per path; other paths are not found.
    Paths(HashMap<String, Verifier>),
}

/// What came.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// When.
    pub at: Timestamp,
    /// `POST`, as long as it is a webhook or somebody's mistake.
    pub method: Method,
    /// The path it was sent to.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Whether it is authentic.
    pub verdict: Verdict,
    /// What it was answered.
    pub status: StatusCode,
}

/// Whether a webhook is authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There was no key to verify with.
    Unverified,
    /// A signature fits.
    Verified,
    /// It is not authentic; answered with 401.
    Refused(VerifyError),
    /// Its body was too long, or broke off.
    Unread,
    /// Nobody listens at its path.
    Unknown,
    /// It is none: it asked whether webhooks are wanted, and they are.
    Asked,
}

/// A receiver that listens, and does not serve yet.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
}

struct Desk {
    answers: Answers,
    came: mpsc::Sender<Webhook>,
}

// === impl Receiver ===

impl Receiver {
    /// Listens on `wanted`; port 0 takes a free one.
    ///
    /// # Errors
    /// The port is in use, or may not be used.
    pub async fn bind(wanted: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(wanted).await;
        let listener = listener.with_context(|| format!("cannot listen on {wanted}; try another --port"))?;
        let address = listener.local_addr().context("the listener has no address")?;
        Ok(Self { address, listener })
    }

    /// Serves until the stop; gives what comes. The future must be polled for anything to come.
    pub fn serve(
        self,
        answers: Answers,
        shutdown: Shutdown,
    ) -> (mpsc::Receiver<Webhook>, impl Future<Output = anyhow::Result<()>> + Send) {
        let (came, comes) = mpsc::channel(WAITING);
        let app = Router::new().fallback(take).with_state(Arc::new(Desk { answers, came }));
        let serving = async move {
            tokio::select! {
                biased;
                () = shutdown.stopped() => Ok(()), // who is still being answered is cut off
                served = axum::serve(self.listener, app) => served.context("the receiver broke down"),
            }
        };
        (comes, serving)
    }
}

/// Takes one request: reads, verifies, tells, answers.
async fn take(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (at, consent) = (clock::now(), consent(&parts));
    let (body, verdict) = match read(&parts.headers, body).await {
        Some(body) if consent.is_some() && desk.answers.knows(parts.uri.path()) => (body, Verdict::Asked),
        Some(body) => {
            let verdict = desk.answers.judge(parts.uri.path(), (&parts.headers, &body), at);
            (body, verdict)
        }
        None => (Bytes::new(), Verdict::Unread),
    };
    if !desk.answers.delay.is_zero() {
        tokio::time::sleep(desk.answers.delay).await;
    }
    let status = match verdict {
        Verdict::Unverified | Verdict::Verified => desk.answers.status,
        Verdict::Asked => StatusCode::OK,
        Verdict::Refused(_) => StatusCode::UNAUTHORIZED,
        Verdict::Unread => StatusCode::PAYLOAD_TOO_LARGE,
        Verdict::Unknown => StatusCode::NOT_FOUND,
    };
    let path = parts.uri.path().to_string();
    let webhook = Webhook { at, method: parts.method, path, headers: parts.headers, body, verdict, status };
    drop(desk.came.send(webhook).await); // nobody prints any more: the process stops
    match (verdict, consent) {
        (Verdict::Asked, Some(consent)) => consent,
        _ => status.into_response(),
    }
}

/// The yes to whoever asks whether webhooks are wanted: the origin said back to OPTIONS (WH-5), or the token of a
/// challenge. As text, so that a browser that is led here runs nothing.
fn consent(parts: &Parts) -> Option<Response> {
    match parts.method {
        Method::OPTIONS => {
            let origin = parts.headers.get(REQUEST_ORIGIN)?.clone();
            Some([(ALLOWED_ORIGIN, origin), (ALLOWED_RATE, HeaderValue::from_static("*"))].into_response())
        }
        Method::GET => {
            let mut pairs = form_urlencoded::parse(parts.uri.query()?.as_bytes());
            let (_, token) = pairs.find(|(name, _)| name == CHALLENGE)?;
            let text = [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
            Some((text, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], token.into_owned()).into_response())
        }
        _ => None,
    }
}

/// The whole body; `None` when it is too long or breaks off. A length that is told in advance is believed.
async fn read(headers: &HeaderMap, body: Body) -> Option<Bytes> {
    let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > BODY) {
        return None;
    }
    axum::body::to_bytes(body, BODY).await.ok()
}

// === impl Answers ===

impl Answers {
    fn knows(&self, path: &str) -> bool {
        match &self.keys {
            Keys::None | Keys::One(_) => true,
            Keys::Paths(keys) => keys.contains_key(path),
        }
    }

    fn judge(&self, path: &str, (headers, body): (&HeaderMap, &[u8]), now: Timestamp) -> Verdict {
        let key = match &self.keys {
            Keys::None => return Verdict::Unverified,
            Keys::One(key) => key,
            Keys::Paths(keys) => match keys.get(path) {
                Some(key) => key,
                None => return Verdict::Unknown,
            },
        };
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let (id, timestamp, signature) = (text(&WEBHOOK_ID), text(&WEBHOOK_TIMESTAMP), text(&WEBHOOK_SIGNATURE));
        match sign::verify(std::slice::from_ref(key), &Signed { id, timestamp, signature, body }, now) {
            Ok(()) => Verdict::Verified,
            Err(error) => Verdict::Refused(error),
        }
    }
}

// === impl Webhook ===

impl Webhook {
    /// The text of a header, as far as it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::handshake::{self, Introduction, Word};
    use crate::deliver::sign::message::{Made, Message};
    use crate::egress::client::HttpTransport;
    use crate::egress::guard::Guard;
    use crate::egress::settings::{EgressSettings, Entry};
    use crate::subscriptions::written;
    use crate::yaml::node::Node;
    use serde_json::json;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn answers(keys: Keys) -> Answers {
        Answers { keys, status: StatusCode::OK, delay: Duration::ZERO }
    }

    /// Sends bytes over a real socket, in pieces; gives the status that came back.
    fn send(address: SocketAddr, pieces: Vec<Vec<u8>>) -> u16 {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for piece in pieces {
            if stream.write_all(&piece).is_err() {
                break; // it was answered before the end
            }
        }
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
    }

    fn signed(path: &str, body: &str) -> Vec<u8> {
        let key = sign::parse(SECRET, Made::Elsewhere).unwrap();
        let timestamp = clock::now().as_seconds();
        let signature = sign::sign([&key].into_iter(), &Message { id: "evt_a", timestamp, body: body.as_bytes() });
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nwebhook-id: evt_a\r\nwebhook-timestamp: {timestamp}\r\n\
             webhook-signature: {signature}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    async fn bound() -> Receiver {
        Receiver::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
    }

    /// What the receiver says to these requests, and what it tells of them.
    async fn said(answers: Answers, requests: Vec<Vec<Vec<u8>>>) -> (Vec<u16>, Vec<Webhook>) {
        let (receiver, shutdown) = (bound().await, Shutdown::default());
        let address = receiver.address;
        let (mut comes, serving) = receiver.serve(answers, shutdown.clone());
        let client = tokio::task::spawn_blocking(move || {
            let statuses = requests.into_iter().map(|pieces| send(address, pieces)).collect();
            shutdown.stop();
            statuses
        });
        serving.await.unwrap();
        let statuses = client.await.unwrap();
        let mut webhooks = Vec::new();
        while let Ok(webhook) = comes.try_recv() {
            webhooks.push(webhook);
        }
        (statuses, webhooks)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_signed_is_taken_and_what_is_not_is_answered_with_401() {
        let keys = Keys::One(sign::parse_verifier(SECRET).unwrap());
        let good = signed("/a", "{}");
        let forged = String::from_utf8(good.clone()).unwrap().replace("{}", "[]").into_bytes();
        let bare = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_vec();
        let (statuses, webhooks) = said(answers(keys), vec![vec![good], vec![forged], vec![bare]]).await;
        assert_eq!(statuses, [200, 401, 401]);
        let verdicts: Vec<_> = webhooks.iter().map(|webhook| webhook.verdict).collect();
        let refused = Verdict::Refused;
        let expected = [Verdict::Verified, refused(VerifyError::NoMatch), refused(VerifyError::MissingHeader)];
        assert_eq!(verdicts, expected);
        assert_eq!((webhooks[0].path.as_str(), webhooks[0].header("webhook-id")), ("/a", Some("evt_a")));
        assert_eq!(&webhooks[0].body[..], b"{}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_path_has_its_key_and_no_other_is_known() {
        let keys = Keys::Paths(HashMap::from([("/a".into(), sign::parse_verifier(SECRET).unwrap())]));
        let (statuses, _) = said(answers(keys), vec![vec![signed("/a", "{}")], vec![signed("/b", "{}")]]).await;
        assert_eq!(statuses, [200, 404]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn wh_5_who_asks_whether_webhooks_are_wanted_hears_yes_and_needs_no_signature() {
        let keys = Keys::One(sign::parse_verifier(SECRET).unwrap());
        let (receiver, shutdown) = (bound().await, Shutdown::default());
        let url = format!("http://{}/hooks?a=b", receiver.address);
        let (mut comes, serving) = receiver.serve(answers(keys), shutdown.clone());
        let egress = EgressSettings { allow_http: true, allow: vec![loopback()], ..Default::default() };
        let transport = HttpTransport::new(&egress).unwrap();
        let asking = async {
            for proof in ["cloudevents", "challenge"] {
                let order = json!({ "url": url, "types": ["**"], "verification": proof });
                let order = Node::from_json(&"test".into(), &order);
                let one = written::create(&order, &Guard::new(egress.clone()), clock::now()).unwrap();
                let word = handshake::ask(&transport, &one, &Introduction::default()).await.unwrap();
                assert!(matches!(word, Word::Yes { .. }), "{proof}: {word:?}");
                assert_eq!(comes.recv().await.unwrap().verdict, Verdict::Asked);
            }
            shutdown.stop();
        };
        let (served, ()) = tokio::join!(serving, asking);
        served.unwrap();
    }

    fn loopback() -> Entry {
        Entry::Net("127.0.0.0/8".parse().unwrap())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_huge_body_is_not_kept_whether_it_says_its_length_or_not() {
        let told = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", BODY + 1).into_bytes();
        let mut untold = vec![b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()];
        untold.extend((0..BODY >> 16).map(|_| [b"10000\r\n", &[b'a'; 1 << 16][..], b"\r\n"].concat()));
        untold.push(b"1\r\na\r\n0\r\n\r\n".to_vec()); // just too long, so that the answer meets no reset
        let (statuses, webhooks) = said(answers(Keys::None), vec![vec![told], untold]).await;
        assert_eq!(statuses, [413, 413]);
        assert!(webhooks.iter().all(|webhook| webhook.verdict == Verdict::Unread && webhook.body.is_empty()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_port_in_use_is_named() {
        let first = bound().await;
        let error = Receiver::bind(first.address).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(&first.address.to_string()), "{error}");
    }
}
