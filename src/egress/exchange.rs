//! One HTTP exchange as the rest of the house sees it, and the trait that makes it.

use crate::model::outcome::FailureCause;
use bytes::Bytes;
use http::{HeaderMap, Method};
use std::future::Future;
use std::time::Duration;
use url::Url;

/// A request, ready to send. `host` and `content-length` are added by the transport.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to.
    pub url: Url,
    /// How.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, sent as it is.
    pub body: Bytes,
    /// The deadline of the whole exchange: lookup, connect, TLS, request, response (SW-17).
    pub timeout: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The first bytes of the body, at most 1 KiB, never decompressed.
    pub head: Bytes,
}

/// Why nothing came back. The receiver's fault or the network's, never ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", cause.as_str())]
pub struct ExchangeError {
    /// The cause.
    pub cause: FailureCause,
    /// A sentence for people; no URL, no secrets.
    pub detail: String,
}

/// Makes exchanges. Scripted in tests.
pub trait Transport: Send + Sync {
    /// Makes one exchange, once: no retry, no redirect, no more than `request.timeout`.
    ///
    /// # Errors
    /// [`ExchangeError`] when no whole answer came. Dropping the future cuts the exchange off.
    fn exchange(&self, request: Request) -> impl Future<Output = Result<Response, ExchangeError>> + Send;
}
