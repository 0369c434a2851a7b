//! The HTTP client: one exchange, judged before and after, bounded in time and bytes.
//!
//! It follows no redirect, asks no proxy, repeats nothing, keeps no cookie and decompresses nothing. HTTP/2 where TLS
//! agrees on it, else HTTP/1.1. One client serves all endpoints: it pools connections by host.

use crate::egress::error::EgressError;
use crate::egress::exchange::{ExchangeError, Request, Response, Transport};
use crate::egress::failure;
use crate::egress::guard::{Guard, plain};
use crate::egress::lookup::{Lookup, SystemLookup};
use crate::egress::resolver::Resolver;
use crate::egress::settings::{EgressSettings, MinTls};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use url::Host;

/// Bytes of a response that are read at most; then the exchange is cut (SEC-5).
const READ: usize = 64 << 10;

/// Bytes of a response that are kept, for the delivery log.
const HEAD: usize = 1 << 10;

/// How long a connect may take, lookup and TLS included: a host that drops packets should not use up the whole deadline.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// How long an idle connection is kept. Many servers close theirs after 5 s (Node, Apache): a request sent into that
/// close would fail without having been seen.
pub(crate) const IDLE: Duration = Duration::from_secs(4);

/// Sends over real sockets. Clones share the connections.
#[derive(Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    guard: Arc<Guard>,
}

// === impl HttpTransport ===

impl HttpTransport {
    /// A transport that obeys `settings` and resolves with the system.
    ///
    /// # Errors
    /// [`EgressError`] when the certificates cannot be read or TLS cannot be set up.
    pub fn new(settings: &EgressSettings) -> Result<Self, EgressError> {
        Self::with_lookup(settings, Arc::new(SystemLookup))
    }

    /// As [`HttpTransport::new`], with another resolver.
    ///
    /// # Errors
    /// As [`HttpTransport::new`].
    pub fn with_lookup(settings: &EgressSettings, lookup: Arc<dyn Lookup>) -> Result<Self, EgressError> {
        let guard = Arc::new(Guard::new(settings.clone()));
        let extra = extra_roots(settings.ca_file.as_deref())?;
        let builder = || {
            let min = match settings.min_tls {
                MinTls::Tls12 => reqwest::tls::Version::TLS_1_2,
                MinTls::Tls13 => reqwest::tls::Version::TLS_1_3,
            };
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .default_headers(HeaderMap::from_iter([(
                    header::ACCEPT_ENCODING,
                    HeaderValue::from_static("identity"),
                )]))
                .connect_timeout(CONNECT)
                .pool_idle_timeout(IDLE)
                .tls_version_min(min)
                .dns_resolver(Resolver::new(Arc::clone(&guard), Arc::clone(&lookup)))
        };
        let client = builder().tls_certs_merge(extra.clone()).build();
        // An image without CA certificates can still serve with its own, or call plain http.
        let client = match client {
            Err(_) if !extra.is_empty() || settings.allow_http => builder().tls_certs_only(extra).build(),
            other => other,
        };
        Ok(Self { client: client.map_err(EgressError::Tls)?, guard })
    }

    async fn send(&self, request: Request) -> Result<Response, ExchangeError> {
        let scheme = if request.url.scheme() == "https" { "https" } else { "http" };
        let mut sent = reqwest::Request::new(request.method, request.url);
        *sent.headers_mut() = request.headers;
        *sent.body_mut() = Some(request.body.into());
        let mut answer = self.client.execute(sent).await.map_err(|error| failure::classify(&error, scheme))?;
        self.judge_peer(&answer)?;
        let head = read(&mut answer).await.map_err(|error| failure::classify(&error, scheme))?;
        Ok(Response { status: answer.status().as_u16(), headers: std::mem::take(answer.headers_mut()), head })
    }

    /// Judges the address behind an answer: a pooled connection was judged when it was made, and is again (SEC-3).
    fn judge_peer(&self, answer: &reqwest::Response) -> Result<(), ExchangeError> {
        let Some(peer) = answer.remote_addr() else { return Ok(()) };
        let host = match answer.url().host() {
            Some(Host::Domain(name)) => Some(plain(name)),
            _ => None,
        };
        self.guard.judge_address(peer.ip(), host).map_err(|refusal| failure::blocked(&refusal.detail))
    }
}

impl Transport for HttpTransport {
    async fn exchange(&self, request: Request) -> Result<Response, ExchangeError> {
        if let Some(refusal) = self.guard.judge(&request.url).first() {
            return Err(failure::blocked(&refusal.detail));
        }
        let timeout = request.timeout;
        match tokio::time::timeout(timeout, self.send(request)).await {
            Ok(done) => done,
            Err(_) => Err(failure::timed_out(timeout.as_secs_f64())),
        }
    }
}

/// The first bytes of the body. Reads on to the end, so that the connection can be used again, but not beyond the limit.
async fn read(answer: &mut reqwest::Response) -> reqwest::Result<Bytes> {
    if answer.content_length() == Some(0) {
        return Ok(Bytes::new());
    }
    let (mut head, mut total) = (BytesMut::new(), 0);
    while total < READ {
        let Some(chunk) = answer.chunk().await? else { break };
        total += chunk.len();
        head.extend_from_slice(&chunk[..chunk.len().min(HEAD - head.len())]);
    }
    Ok(head.freeze())
}

/// The certificates of a file, if there is one.
pub(crate) fn extra_roots(ca_file: Option<&Path>) -> Result<Vec<reqwest::Certificate>, EgressError> {
    let Some(path) = ca_file.map(Path::to_owned) else { return Ok(Vec::new()) };
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(EgressError::CaFile { path, source }),
    };
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(roots) if roots.is_empty() => Err(EgressError::CaEmpty { path }),
        Ok(roots) => Ok(roots),
        Err(source) => Err(EgressError::CaBroken { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_that_is_missing_or_no_pem_is_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let open = || {
            let settings = EgressSettings { ca_file: Some(path.clone()), ..EgressSettings::default() };
            HttpTransport::new(&settings).err().unwrap()
        };
        assert!(matches!(open(), EgressError::CaFile { .. }));
        std::fs::write(&path, "no certificate").unwrap();
        let error = open();
        assert!(matches!(error, EgressError::CaEmpty { .. }));
        assert!(error.to_string().contains("ca.pem"));
    }
}
