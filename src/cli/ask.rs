//! Asks a daemon's own listeners, for commands that look at the status themselves.

use crate::egress::exchange::Request;
use crate::egress::service::{Answer, Service};
use crate::model::outcome::FailureCause;
use crate::model::secret::Secret;
use anyhow::Context;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How long an answer may take. As long as the API itself gives one.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most bytes of an answer that are read: a subscription has a few KiB.
const ANSWER: usize = 1 << 20;

/// What is asked.
pub struct Question<'q> {
    /// `GET`, `POST` ...
    pub method: Method,
    /// Where.
    pub url: &'q Url,
    /// Who asks; `None`: everybody may.
    pub token: Option<&'q Secret>,
    /// What goes with it.
    pub body: Option<&'q Value>,
}

/// Asks it.
///
/// # Errors
/// Nobody answers there, or not in HTTP.
pub async fn ask(question: Question<'_>) -> anyhow::Result<Answer> {
    let Question { method, url, token, body } = question;
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
        headers.insert(header::AUTHORIZATION, bearer.ok().context("--token: it holds characters that no token has")?);
    }
    if body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let body = body.map(|body| body.to_string().into()).unwrap_or_default();
    let request = Request { url: url.clone(), method, headers, body, timeout: PATIENCE };
    Service::new(None)?.ask(request, ANSWER).await.map_err(|failure| {
        let nobody = failure.cause == FailureCause::Connect;
        let place = url.authority();
        let what = if nobody { format!("nobody listens on {place}") } else { format!("no answer from {url}") };
        anyhow::Error::new(failure).context(what)
    })
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
    use axum::Router;
    use axum::routing::post;
    use serde_json::json;
    use tokio::net::TcpListener;

    #[test]
    fn what_is_no_plain_url_is_refused() {
        assert!(url("http://[::1]:9464/readyz").is_ok());
        for wrong in ["127.0.0.1:9464", "https://127.0.0.1/livez", "unix:/run/x", ""] {
            assert!(url(wrong).unwrap_err().contains("http://HOST:PORT"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_question_has_its_token_and_its_body() {
        let told = |headers: HeaderMap, body: String| async move {
            let said = ["authorization", "content-type", "content-length"].map(|name| headers[name].to_str().unwrap());
            [&said[..], &[&body]].concat().join("\n")
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/a", listener.local_addr().unwrap())).unwrap();
        let (token, body) = (Secret::new("t0ken"), json!({"a": "ä"}));
        let question = Question { method: Method::POST, url: &url, token: Some(&token), body: Some(&body) };
        let app = Router::new().route("/a", post(told));
        let answer = tokio::select! {
            served = async { axum::serve(listener, app).await } => panic!("{served:?}"),
            answer = ask(question) => answer.unwrap(),
        };
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, "Bearer t0ken\napplication/json\n10\n{\"a\":\"ä\"}");
    }
}
