//! Reading from a service that the operator named in the configuration, as a schema registry: one GET at a time.
//!
//! Not judged by the guard, which is about the URLs of subscribers: such a service mostly is inside. It follows no
//! redirect, asks no proxy and repeats nothing, as endpoints are called; unlike theirs, an answer is read whole.

use crate::egress::client;
use crate::egress::error::EgressError;
use crate::egress::exchange::ExchangeError;
use crate::egress::failure;
use crate::model::outcome::FailureCause;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// Where.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The deadline of the whole exchange.
    pub timeout: Duration,
    /// Bytes of the answer that are read at most; a longer one is an error.
    pub most: usize,
}

/// What was answered, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Makes inquiries. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Inquirer(reqwest::Client);

// === impl Inquirer ===

impl Inquirer {
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

    /// Asks, once.
    ///
    /// # Errors
    /// No whole answer came. Dropping the future cuts the exchange off.
    pub async fn ask(&self, inquiry: Inquiry) -> Result<Reply, ExchangeError> {
        let timeout = inquiry.timeout;
        match tokio::time::timeout(timeout, self.exchange(inquiry)).await {
            Ok(done) => done,
            Err(_) => Err(failure::timed_out(timeout.as_secs_f64())),
        }
    }

    async fn exchange(&self, inquiry: Inquiry) -> Result<Reply, ExchangeError> {
        let scheme = if inquiry.url.scheme() == "https" { "https" } else { "http" };
        let failed = |error| failure::classify(&error, scheme);
        let mut answer = self.0.get(inquiry.url).headers(inquiry.headers).send().await.map_err(failed)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > inquiry.most {
                let detail = format!("the answer has more than {} bytes", inquiry.most);
                return Err(ExchangeError { cause: FailureCause::TooLarge, detail });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status: answer.status().as_u16(), body: body.freeze() })
    }
}
