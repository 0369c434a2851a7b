//! One HTTP call to the daemon's API or to its metrics, on a connection of its own.

use serde_json::Value;
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A call that is put together and then made.
pub(crate) struct Call {
    to: SocketAddr,
    head: String,
    body: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

// === impl Call ===

impl Call {
    /// A call without body and without token.
    pub(crate) fn new(method: &str, to: SocketAddr, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
        Self { to, head, body: String::new() }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self.header("content-type", "application/json")
    }

    /// With a body as it is.
    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = body.to_string();
        self
    }

    /// Makes the call; fails when nobody listens or no whole answer comes within 10 s.
    pub(crate) fn send(mut self) -> io::Result<Reply> {
        let mut socket = TcpStream::connect_timeout(&self.to, Duration::from_secs(10))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        if !self.head.contains("content-length") {
            self.head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        write!(socket, "{}\r\n{}", self.head, self.body)?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer).map_err(io::Error::other)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no whole answer"))?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        let mut reply = Reply { status, head: head.to_ascii_lowercase(), body: body.to_string() };
        if reply.head.contains("transfer-encoding: chunked") {
            reply.body = unchunk(&reply.body);
        }
        Ok(reply)
    }
}

// === impl Reply ===

impl Reply {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

fn unchunk(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || size > after.len() {
            break;
        }
        whole.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    whole
}
