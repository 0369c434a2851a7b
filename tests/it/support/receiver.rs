//! A scripted HTTP/1.1 receiver on a real loopback socket, with the good and the bad habits of receivers.
//!
//! It runs on a thread of its own, so that it neither takes time from nor gives time to what is tested. It parses no
//! more than it must and copies nothing, to keep up with tens of thousands of requests a second. What came is kept in
//! its book; [`Receiver::wait_until`] waits for the book to say something.

use bytes::{Buf, Bytes, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

/// How long [`Receiver::wait_until`] waits: far longer than anything should take, so that only a broken promise ends it.
const DEADLINE: Duration = Duration::from_secs(120);

/// What to do with a request.
#[derive(Clone, Debug)]
pub(crate) enum Habit {
    /// Answers.
    Answer(Reply),
    /// Answers once [`Receiver::release`] was called.
    Held(Reply),
    /// Never answers, and keeps the connection open.
    Hang,
    /// Breaks the connection (RST) instead of answering.
    Reset,
    /// Begins an answer, then breaks the connection (RST).
    ResetMidway,
    /// Closes the connection (FIN) instead of answering.
    Close,
    /// Answers 200 with a body that does not end.
    Endless,
    /// Answers 200 with a body that comes a byte at a time, until it is cut off.
    Drip,
    /// Sends interim answers (102) and never a final one.
    Interim,
    /// Sends something that is not HTTP.
    Garbage,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply(Bytes);

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// How many came before it, over all connections.
    pub(crate) number: usize,
    /// When its last byte was read.
    pub(crate) at: Instant,
    /// Request line and headers, as they came.
    head: Bytes,
    /// The body.
    pub(crate) body: Bytes,
}

/// What came so far.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every request, in the order of arrival.
    pub(crate) requests: Vec<Received>,
    /// How often each `webhook-id` came.
    pub(crate) ids: HashMap<Box<str>, u32>,
    /// Connections accepted.
    pub(crate) connections: usize,
    /// Connections that are open now.
    pub(crate) open: usize,
    /// Requests that wait for their answer now.
    pub(crate) waiting: usize,
    /// The most that ever waited at the same time.
    pub(crate) most_waiting: usize,
    /// Answers that the other side cut off before they were sent.
    pub(crate) cut: usize,
    /// Bytes of answers that the system took from us.
    pub(crate) sent: u64,
}

type Script = dyn Fn(&Received) -> Habit + Send + Sync;

struct Shared {
    book: Mutex<Book>,
    changed: Notify,
    script: Box<Script>,
    released: watch::Sender<bool>,
}

/// The receiver. Dropping it closes everything.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

// === impl Receiver ===

impl Receiver {
    /// Does the same with every request.
    pub(crate) fn start(habit: Habit) -> Self {
        Self::scripted(move |_| habit.clone())
    }

    /// Accepts everything with 204.
    pub(crate) fn accepting() -> Self {
        Self::start(Habit::Answer(Reply::new(204)))
    }

    /// Asks `script` what to do with each request.
    pub(crate) fn scripted(script: impl Fn(&Received) -> Habit + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            book: Mutex::default(),
            changed: Notify::new(),
            script: Box::new(script),
            released: watch::Sender::new(false),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(TcpListener::from_std(listener).unwrap(), serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// `http://127.0.0.1:<port>/hooks`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers every request that is held, and every one that will be.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// The book, locked: be short.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap()
    }

    /// Waits until the book says `condition`; panics with `what` when it never does. Asked after every change, at most
    /// a few hundred times a second.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl Fn(&Book) -> bool) {
        let waiting = async {
            let mut rest = tokio::time::interval(Duration::from_millis(3));
            loop {
                let changed = self.shared.changed.notified();
                if condition(&self.book()) {
                    return;
                }
                changed.await;
                // Not a wait for the condition: it only bounds how often a long book is read.
                rest.tick().await;
            }
        };
        if tokio::time::timeout(DEADLINE, waiting).await.is_err() {
            let book = self.book();
            panic!("never came: {what} ({} requests, {} ids)", book.requests.len(), book.ids.len());
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

// === impl Reply ===

impl Reply {
    /// `status` without a body.
    pub(crate) fn new(status: u16) -> Self {
        Self::with(status, &[], b"")
    }

    /// `status` with headers and a body; `content-length` is added.
    pub(crate) fn with(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let mut text = format!("HTTP/1.1 {status} -\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if status != 204 {
            text += &format!("content-length: {}\r\n", body.len());
        }
        text += "\r\n";
        Self([text.as_bytes(), body].concat().into())
    }
}

// === impl Received ===

impl Received {
    /// The first header of that name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The request line.
    pub(crate) fn line(&self) -> &str {
        std::str::from_utf8(self.head.split(|b| *b == b'\r').next().unwrap()).unwrap()
    }

    /// The `webhook-id`; empty when there is none.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id").unwrap_or_default()
    }

    /// Whether one of its `v1` signatures was made with `secret` (`whsec_...`). Computed here, not by the code under test.
    pub(crate) fn signed_with(&self, secret: &str) -> bool {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let (Some(time), Some(signatures)) = (self.header("webhook-timestamp"), self.header("webhook-signature"))
        else {
            return false;
        };
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{time}.", self.id()).as_bytes());
        mac.update(&self.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        signatures.split(' ').any(|signature| signature == expected)
    }
}

fn header<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    head.split(|b| *b == b'\n').skip(1).find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        if key.eq_ignore_ascii_case(name.as_bytes()) { std::str::from_utf8(value.trim_ascii()).ok() } else { None }
    })
}

// === serving ===

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        stream.set_nodelay(true).unwrap();
        shared.note(|book| (book.connections, book.open) = (book.connections + 1, book.open + 1));
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // Whatever ends the connection, it was the other side's or the script's will.
            drop(serve(stream, &shared).await);
            shared.note(|book| book.open -= 1);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut buffer = BytesMut::with_capacity(16 << 10);
    while let Some((head, body)) = request(&mut stream, &mut buffer).await? {
        let received = shared.enter(head, body);
        let habit = (shared.script)(&received);
        let done = obey(habit, &mut stream, shared).await;
        shared.note(|book| {
            book.waiting -= 1;
            book.cut += usize::from(done.is_err());
        });
        if !done? {
            return Ok(());
        }
    }
    Ok(())
}

/// Reads one request; `None` when the other side closed the connection between requests.
async fn request(stream: &mut TcpStream, buffer: &mut BytesMut) -> std::io::Result<Option<(Bytes, Bytes)>> {
    let mut searched = 0;
    let end = loop {
        if let Some(at) = buffer[searched..].windows(4).position(|four| four == b"\r\n\r\n") {
            break searched + at + 4;
        }
        searched = buffer.len().saturating_sub(3);
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let length = header(&buffer[..end], "content-length").map_or(0, |text| text.parse().unwrap());
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let head = buffer.split_to(end).freeze();
    Ok(Some((head, buffer.split_to(length).freeze())))
}

/// Does what the script says; gives whether the connection goes on.
async fn obey(habit: Habit, stream: &mut TcpStream, shared: &Shared) -> std::io::Result<bool> {
    match habit {
        Habit::Answer(Reply(bytes)) => send(stream, shared, bytes).await.map(|()| true),
        Habit::Held(Reply(bytes)) => {
            let mut released = shared.released.subscribe();
            if until_closed(stream, released.wait_for(|released| *released)).await? {
                return Ok(false);
            }
            send(stream, shared, bytes).await.map(|()| true)
        }
        Habit::Hang => until_closed(stream, std::future::pending::<()>()).await.map(|_| false),
        Habit::Reset => stream.set_zero_linger().map(|()| false),
        Habit::ResetMidway => {
            send(stream, shared, Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhal")).await?;
            // The other side has to have read it: an RST takes away what still stands in its buffer.
            until_closed(stream, tokio::time::sleep(Duration::from_millis(50))).await?;
            stream.set_zero_linger().map(|()| false)
        }
        Habit::Close => Ok(false),
        Habit::Endless => {
            send(stream, shared, Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n"))
                .await?;
            loop {
                send(stream, shared, Bytes::from_static(&[b'x'; 16 << 10])).await?;
            }
        }
        Habit::Drip => {
            send(stream, shared, Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")).await?;
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            loop {
                tick.tick().await;
                send(stream, shared, Bytes::from_static(b".")).await?;
            }
        }
        Habit::Interim => loop {
            send(stream, shared, Bytes::from_static(b"HTTP/1.1 102 Processing\r\n\r\n")).await?;
        },
        Habit::Garbage => {
            send(stream, shared, Bytes::from_static(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")).await.map(|()| false)
        }
    }
}

/// Waits for `signal`, or for the other side to close (true).
async fn until_closed<T>(stream: &mut TcpStream, signal: impl Future<Output = T>) -> std::io::Result<bool> {
    let mut rest = [0; 64];
    tokio::select! {
        _ = signal => Ok(false),
        read = stream.read(&mut rest) => match read {
            Ok(0) => Ok(true),
            Ok(_) => Err(std::io::Error::other("a request before the answer to the last")),
            Err(error) => Err(error),
        },
    }
}

async fn send(stream: &mut TcpStream, shared: &Shared, mut bytes: Bytes) -> std::io::Result<()> {
    while bytes.has_remaining() {
        let taken = stream.write(&bytes).await?;
        bytes.advance(taken);
        shared.book.lock().unwrap().sent += taken as u64;
    }
    Ok(())
}

// === impl Shared ===

impl Shared {
    fn note(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book.lock().unwrap());
        self.changed.notify_waiters();
    }

    fn enter(&self, head: Bytes, body: Bytes) -> Received {
        let mut book = self.book.lock().unwrap();
        let received = Received { number: book.requests.len(), at: Instant::now(), head, body };
        match book.ids.get_mut(received.id()) {
            Some(times) => *times += 1,
            None => drop(book.ids.insert(received.id().into(), 1)),
        }
        book.requests.push(received.clone());
        book.waiting += 1;
        book.most_waiting = book.most_waiting.max(book.waiting);
        drop(book);
        self.changed.notify_waiters();
        received
    }
}
