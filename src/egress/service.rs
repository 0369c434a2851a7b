//! Calls to a service that the operator names, such as Hookline's own API from the command line: the whole answer is
//! read, within a bound, and no guard judges where it is. Endpoints of subscribers are never called this way.

use crate::egress::error::EgressError;
use crate::egress::exchange::{ExchangeError, Request};
use crate::egress::failure;
use crate::model::outcome::FailureCause;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;

/// Bytes of an answer at most: a page of the API has a few hundred KiB, one quarantined record some MiB in base64.
const MOST: usize = 128 << 20;

/// Calls services. Clones share the connections.
#[derive(Clone)]
pub struct Service(reqwest::Client);

/// What a service answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

// === impl Service ===

impl Service {
    /// A client that follows no redirect, asks no proxy and keeps nothing: a token goes only where it was meant to.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new() -> Result<Self, EgressError> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().referer(false);
        Ok(Self(client.build().map_err(EgressError::Tls)?))
    }

    /// Makes one call.
    ///
    /// # Errors
    /// No whole answer came in time, or it is too large.
    pub async fn ask(&self, request: Request) -> Result<Answer, ExchangeError> {
        let timeout = request.timeout;
        match tokio::time::timeout(timeout, self.send(request)).await {
            Ok(done) => done,
            Err(_) => Err(failure::timed_out(timeout.as_secs_f64())),
        }
    }

    async fn send(&self, request: Request) -> Result<Answer, ExchangeError> {
        let scheme = if request.url.scheme() == "https" { "https" } else { "http" };
        let failed = |error: &reqwest::Error| failure::classify(error, scheme);
        let mut sent = reqwest::Request::new(request.method, request.url);
        *sent.headers_mut() = request.headers;
        *sent.body_mut() = Some(request.body.into());
        let mut answer = self.0.execute(sent).await.map_err(|error| failed(&error))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
            if body.len() + chunk.len() > MOST {
                let detail = format!("the answer has more than {} MiB", MOST >> 20);
                return Err(ExchangeError { cause: FailureCause::TooLarge, detail });
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (answer.status().as_u16(), std::mem::take(answer.headers_mut()));
        Ok(Answer { status, headers, body: body.freeze() })
    }
}
