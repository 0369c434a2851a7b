//! Asks a daemon's own listeners: the few lines of HTTP that commands need.
//!
//! It is no endpoint of a subscriber that is called, so the egress guard is not asked, and nobody stands between: no
//! redirect, no proxy, no TLS. Version 1.0 of HTTP, in which an answer has no chunks and ends with its connection.

use crate::model::secret::Secret;
use anyhow::{Context, bail};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// How long an answer may take. As long as the API itself gives one.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are read: a subscription has a few KiB.
const ANSWER: u64 = 1 << 20;

/// What is asked.
pub struct Question<'q> {
    /// `GET`, `POST` ...
    pub method: &'q str,
    /// Where.
    pub url: &'q Url,
    /// Who asks; `None`: everybody may.
    pub token: Option<&'q Secret>,
    /// What goes with it.
    pub body: Option<&'q Value>,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// Asks it.
///
/// # Errors
/// Nobody answers there, or not in HTTP.
pub async fn ask(question: Question<'_>) -> anyhow::Result<Answer> {
    let url = question.url;
    let answer = tokio::time::timeout(PATIENCE, exchange(&question)).await;
    answer.with_context(|| format!("no answer from {url} within {} s", PATIENCE.as_secs()))?
}

async fn exchange(question: &Question<'_>) -> anyhow::Result<Answer> {
    let place = question.url.authority();
    let addresses = question.url.socket_addrs(|| None).with_context(|| format!("cannot look up {place}"))?;
    let stream = TcpStream::connect(&addresses[..]).await;
    let mut stream = stream.with_context(|| format!("nobody listens on {place}"))?;
    stream.write_all(written(question).as_bytes()).await.with_context(|| format!("cannot ask {place}"))?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).await.with_context(|| format!("{place} broke off"))?;
    let answer = String::from_utf8_lossy(&answer);
    let parsed = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, body: body.to_owned() })
    });
    let Some(parsed) = parsed else { bail!("{place} does not speak HTTP") };
    Ok(parsed)
}

fn written(question: &Question<'_>) -> String {
    let Question { method, url, token, body } = question;
    let token = token.map(|token| format!("authorization: Bearer {}\r\n", token.expose())).unwrap_or_default();
    let body = body.map(Value::to_string);
    let kind =
        body.as_ref().map(|body| format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    let (kind, body) = (kind.unwrap_or_default(), body.unwrap_or_default());
    format!("{method} {} HTTP/1.0\r\nhost: {}\r\n{token}{kind}\r\n{body}", url.path(), url.authority())
}

/// A URL of a daemon, as it is written on the command line.
///
/// # Errors
/// It is no `http://` URL.
pub fn url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err("it is written http://HOST:PORT; the daemon itself speaks no TLS".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_plain_url_is_refused() {
        assert!(url("http://[::1]:9464/readyz").is_ok());
        for wrong in ["127.0.0.1:9464", "https://127.0.0.1/livez", "unix:/run/x", ""] {
            assert!(url(wrong).unwrap_err().contains("http://HOST:PORT"), "{wrong}");
        }
    }

    #[test]
    fn a_question_has_its_token_and_its_body() {
        let url = url("http://x:1/a").unwrap();
        let (token, body) = (Secret::new("t0ken"), json!({"a": "ä"}));
        let question = Question { method: "POST", url: &url, token: Some(&token), body: Some(&body) };
        let expected = "POST /a HTTP/1.0\r\nhost: x:1\r\nauthorization: Bearer t0ken\r\n\
                        content-type: application/json\r\ncontent-length: 10\r\n\r\n{\"a\":\"ä\"}";
        assert_eq!(written(&question), expected);
    }
}
