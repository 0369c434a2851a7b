//! Calls to a service that the operator names: a schema registry, Hookline's own API from the command line.
//!
//! Not judged by the guard, which is about the URLs of subscribers: such a service mostly is inside. It follows no
//! redirect, asks no proxy and repeats nothing, as endpoints are called, so a token goes only where it was meant to;
//! unlike theirs, an answer is read whole, within a bound.

use crate::egress::client;
use crate::egress::error::EgressError;
use crate::egress::exchange::{ExchangeError, Request};
use crate::egress::failure;
use crate::model::outcome::FailureCause;
use bytes::{Bytes, BytesMut};
use std::path::Path;

/// Calls services. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Service(reqwest::Client);

/// What a service answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: Bytes,
}

// === impl Service ===

impl Service {
    /// Trusts the system's certificates, and those of `ca_file`.
    ///
    /// # Errors
    /// [`EgressError`] when the certificates cannot be read or TLS cannot be set up.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, EgressError> {
        let extra = client::extra_roots(ca_file)?;
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .connect_timeout(client::CONNECT)
                .pool_idle_timeout(client::IDLE)
        };
        // An image without CA certificates can still ask over plain http, or with its own.
        let made =
            builder().tls_certs_merge(extra.clone()).build().or_else(|_| builder().tls_certs_only(extra).build());
        made.map(Self).map_err(EgressError::Tls)
    }

    /// Makes one call; an answer of more than `most` bytes is an error.
    ///
    /// # Errors
    /// No whole answer came in time, or it is too large. Dropping the future cuts the exchange off.
    pub async fn ask(&self, request: Request, most: usize) -> Result<Answer, ExchangeError> {
        let timeout = request.timeout;
        match tokio::time::timeout(timeout, self.exchange(request, most)).await {
            Ok(done) => done,
            Err(_) => Err(failure::timed_out(timeout.as_secs_f64())),
        }
    }

    async fn exchange(&self, request: Request, most: usize) -> Result<Answer, ExchangeError> {
        let scheme = if request.url.scheme() == "https" { "https" } else { "http" };
        let failed = |error| failure::classify(&error, scheme);
        let mut sent = reqwest::Request::new(request.method, request.url);
        *sent.headers_mut() = request.headers;
        *sent.body_mut() = Some(request.body.into());
        let mut answer = self.0.execute(sent).await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > most {
                let detail = format!("the answer has more than {most} bytes");
                return Err(ExchangeError { cause: FailureCause::TooLarge, detail });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: answer.status().as_u16(), body: body.freeze() })
    }
}
