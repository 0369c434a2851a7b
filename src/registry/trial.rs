//! Tests: a registry with a script, on a real socket.

use crate::registry::settings::RegistrySettings;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use url::Url;

/// A registry that answers as its script says. Dropping it closes it.
pub(crate) struct Trial {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    /// Those that hang; they are closed when the registry is.
    hanging: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
    script: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Answer(u16, String),
    /// Nothing, ever.
    Hang,
    /// Nothing, and the connection is closed.
    Close,
}

/// Settings for these addresses.
pub(crate) fn settings(urls: &[Url]) -> RegistrySettings {
    RegistrySettings { urls: urls.to_vec(), credentials: None, ca_file: None, cache: 1_000 }
}

// === impl Trial ===

impl Trial {
    pub(crate) fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            hanging: Mutex::default(),
            closed: AtomicBool::new(false),
            script: Box::new(script),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.closed.load(Ordering::SeqCst) {
                    break;
                }
                serve(stream, &serving);
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address)); // wakes who accepts
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

// === impl Request ===

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }
}

// === impl Reply ===

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Answer(status, body.to_string())
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::Answer(status, body.to_owned())
    }
}

/// One request on a connection of its own.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(line) = lines.next() else { return };
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| line.split_once(": ").map(|(name, value)| (name.into(), value.into())));
    let request = Request { path: line.split(' ').nth(1).unwrap().to_owned(), headers: headers.collect() };
    let reply = (shared.script)(&request);
    shared.requests.lock().unwrap().push(request);
    match reply {
        Reply::Answer(status, body) => {
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // Who asked may have hung up: then nobody is to be answered.
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())));
            drop(stream.shutdown(std::net::Shutdown::Write));
            drop(stream.read(&mut [0; 64]));
        }
        Reply::Hang => shared.hanging.lock().unwrap().push(stream),
        Reply::Close => {}
    }
}
