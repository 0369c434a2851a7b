//! HTTP by hand, for processes that receive: whole requests over keep-alive connections, the cheapest answer there is.
//! Not for receivers with bad habits; those are in `tests/it/support/receiver.rs`.

use crate::support::minder;
use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream as Client,
    process::{Child, Command, Stdio},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::LocalSet,
};

/// This program once more, as a process of its own that listens and says where. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
    /// `host:port`, where it listens.
    pub(crate) address: String,
}

/// A whole request.
pub(crate) struct Request<'a> {
    pub(crate) path: &'a str,
    pub(crate) body: &'a [u8],
}

/// What is answered.
pub(crate) enum Answer {
    /// 204.
    Accepted,
    /// 503.
    Failed,
    /// Nothing; the connection stays.
    Nothing,
    /// This text, without any head, and then the end: for [`Process::ask`].
    Text(String),
}

// === impl Process ===

impl Process {
    /// Starts it with this argument.
    pub(crate) fn start(role: &str) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        let mut child = command.arg(role).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        minder::mind(child.id());
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().into() }
    }

    /// What it answers at `path` with [`Answer::Text`].
    pub(crate) fn ask(&self, path: &str) -> String {
        let mut socket = Client::connect(&self.address).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let (_, _) = (self.child.kill(), self.child.wait());
        minder::ended(self.child.id());
    }
}

/// The other process's life: says where it listens, and answers until it is killed.
pub(crate) fn serve(answer: impl Fn(&Request<'_>) -> Answer + Clone + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::task::spawn_local(async move { drop(connection(socket, answer).await) });
        }
    });
}

/// Answers what comes over one connection, until the client closes it.
pub(crate) async fn connection(mut socket: TcpStream, answer: impl Fn(&Request<'_>) -> Answer) -> io::Result<()> {
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
        let path = str::from_utf8(path).map_err(io::Error::other)?;
        match answer(&Request { path, body: &buffer[head..whole] }) {
            Answer::Accepted => socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?,
            Answer::Failed => socket.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await?,
            Answer::Nothing => {}
            Answer::Text(text) => return socket.write_all(text.as_bytes()).await,
        }
        buffer.drain(..whole);
    }
}

/// `content-length`, by the names that our senders write.
fn length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length: ";
    let at = head.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME));
    let digits = at.map_or(&[][..], |at| &head[at + NAME.len()..]).iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
}
