//! A receiver that is cheap and a process of its own: reads whole requests, counts them by path, answers 204.

use crate::support::minder;
use std::{
    cell::RefCell,
    collections::HashMap,
    env,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream as Client,
    process::{Child, Command, Stdio},
    rc::Rc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

/// Who calls this path is never answered.
pub(crate) const HANGS: &str = "/hangs";
const COUNTS: &str = "/counts";

/// The other process. Dropping it ends it.
pub(crate) struct Receiver {
    child: Child,
    address: String,
}

type Counts = Rc<RefCell<HashMap<Vec<u8>, u64>>>;

// === impl Receiver ===

impl Receiver {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.arg("receiver").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        minder::mind(child.id());
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().into() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests came to these paths so far.
    pub(crate) fn count(&self, paths: &[&str]) -> u64 {
        let mut socket = Client::connect(&self.address).unwrap();
        write!(socket, "GET {COUNTS} HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let counts = answer.lines().filter_map(|line| line.split_once(' '));
        counts.filter(|(path, _)| paths.contains(path)).map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let (_, _) = (self.child.kill(), self.child.wait());
        minder::ended(self.child.id());
    }
}

/// The other process's life: says where it listens, and serves until it is killed.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let counts = Counts::default();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let counts = Rc::clone(&counts);
            tokio::task::spawn_local(async move { drop(connection(socket, counts).await) });
        }
    });
}

async fn connection(mut socket: TcpStream, counts: Counts) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 << 10);
    loop {
        let (head, whole) = loop {
            let head = buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            match head.map(|head| (head, head + length(&buffer[..head]))) {
                Some((head, whole)) if whole <= buffer.len() => break (head, whole),
                _ if socket.read_buf(&mut buffer).await? == 0 => return Ok(()),
                _ => {}
            }
        };
        let path = buffer[..head].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if path == COUNTS.as_bytes() {
            let lines: String =
                counts.borrow().iter().map(|(path, n)| format!("{} {n}\n", String::from_utf8_lossy(path))).collect();
            return socket.write_all(lines.as_bytes()).await;
        }
        // Looked up first, so that only the first request of a path copies it.
        let known = counts.borrow_mut().get_mut(path).map(|count| *count += 1);
        if known.is_none() {
            counts.borrow_mut().insert(path.to_vec(), 1);
        }
        if path == HANGS.as_bytes() {
            std::future::pending::<()>().await;
        }
        buffer.drain(..whole);
        socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    }
}

/// `content-length`, by the names that our senders write.
fn length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length: ";
    let at = head.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME));
    let digits = at.map_or(&[][..], |at| &head[at + NAME.len()..]).iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
}
