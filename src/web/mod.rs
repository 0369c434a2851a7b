//! Both listeners: the API (tokens) and operations (metrics and health, no authentication).
//!
//! [`bind`] takes both addresses before anything else starts, so that a port in use ends the process with a sentence
//! and not a half-started daemon. [`Listeners::serve`] answers until the stop; requests that are under way may end.

mod api;
mod auth;
mod checks;
mod door;
mod health;
pub mod reload;
pub mod settings;
pub mod state;
mod totals;

use crate::runtime::shutdown::Shutdown;
use crate::web::auth::Tokens;
use crate::web::door::Door;
use crate::web::settings::{ApiSettings, MetricsSettings};
use crate::web::state::{Api, State};
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::{info, warn};

/// How long requests that are under way may take after the stop.
const LAST: Duration = Duration::from_secs(5);

/// Why a listener cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Somebody else has the address.
    #[error("{key}: {address} is in use: stop what listens there, or set {key} to another address")]
    InUse {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be taken.
    #[error("{key}: cannot listen on {address}: set {key} to an address of this machine")]
    Address {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Everybody on the network could do everything.
    #[error(
        "api.listen: without api.tokens only loopback is listened on, not {0}: configure a token, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// Listening ended.
    #[error("a listener ended")]
    Ended(#[source] io::Error),
}

/// Both listeners; they take connections when [`Listeners::serve`] runs.
pub struct Listeners {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where metrics and health listen.
    pub ops: SocketAddr,
    api_door: Door,
    ops_door: Door,
    tokens: Tokens,
}

/// Takes both addresses.
///
/// # Errors
/// One of them cannot be taken, or would be open to everybody.
pub async fn bind(api: &ApiSettings, metrics: &MetricsSettings) -> Result<Listeners, WebError> {
    if api.tokens.is_empty() && !api.listen.ip().is_loopback() {
        return Err(WebError::Open(api.listen));
    }
    let (api_at, api_door) = listen("api.listen", api.listen).await?;
    let (ops_at, ops_door) = listen("metrics.listen", metrics.listen).await?;
    Ok(Listeners { api: api_at, ops: ops_at, api_door, ops_door, tokens: Tokens::new(&api.tokens) })
}

// === impl Listeners ===

impl Listeners {
    /// Answers until `shutdown`, then lets what is under way end, for some seconds.
    ///
    /// # Errors
    /// A listener ended by itself.
    pub async fn serve(self, state: State, shutdown: Shutdown) -> Result<(), WebError> {
        info!(api = %self.api, metrics = %self.ops, tokens = !self.tokens.is_empty(), "listening");
        let api = Api::new(state.clone(), self.tokens);
        let (one, other) = tokio::join!(
            run(self.api_door, api::router(api.clone()), shutdown.clone()),
            run(self.ops_door, health::router(state), shutdown),
        );
        if tokio::time::timeout(LAST, api.settled()).await.is_err() {
            warn!("a change that was still under way is cut off");
        }
        one.and(other)
    }
}

async fn run(door: Door, router: Router, shutdown: Shutdown) -> Result<(), WebError> {
    let stop = shutdown.clone();
    let serving = axum::serve(door, router).with_graceful_shutdown(async move { stop.stopped().await });
    let late = async {
        shutdown.stopped().await;
        tokio::time::sleep(LAST).await;
    };
    tokio::select! {
        served = serving => served.map_err(WebError::Ended),
        () = late => {
            warn!("requests that were still under way are cut off");
            Ok(())
        }
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<(SocketAddr, Door), WebError> {
    let listener = TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => WebError::InUse { key, address },
        _ => WebError::Address { key, address, source },
    })?;
    let at = listener.local_addr().map_err(|source| WebError::Address { key, address, source })?;
    Ok((at, Door::new(listener)))
}

#[cfg(test)]
mod trial;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::settings::{Scope, Token};
    use crate::web::trial::{Answer, Trial, tokens};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    fn free() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    async fn refused(api: ApiSettings, metrics: MetricsSettings) -> WebError {
        bind(&api, &metrics).await.err().expect("this cannot be bound")
    }

    #[tokio::test]
    async fn an_address_in_use_is_said_with_the_key_to_change() {
        let taken = TcpListener::bind(free()).await.unwrap();
        let listen = taken.local_addr().unwrap();
        let open = MetricsSettings { listen: free(), ..MetricsSettings::default() };
        let error = refused(ApiSettings { listen, ..ApiSettings::default() }, open).await;
        let said =
            format!("api.listen: {listen} is in use: stop what listens there, or set api.listen to another address");
        assert_eq!(error.to_string(), said);
        let api = ApiSettings { listen: free(), ..ApiSettings::default() };
        let error = refused(api, MetricsSettings { listen, ..MetricsSettings::default() }).await.to_string();
        assert!(error.starts_with(&format!("metrics.listen: {listen} is in use")), "{error}");
    }

    #[tokio::test]
    async fn an_address_that_is_not_ours_is_said_with_its_cause() {
        let listen = SocketAddr::from(([192, 0, 2, 1], 8080));
        let metrics = MetricsSettings { listen: free(), ..MetricsSettings::default() };
        let error = refused(ApiSettings { listen, tokens: tokens() }, metrics).await;
        assert!(matches!(&error, WebError::Address { key: "api.listen", .. }), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[tokio::test]
    async fn without_tokens_only_loopback_is_listened_on() {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (open, metrics) = (
            ApiSettings { listen: everywhere, tokens: Vec::new() },
            MetricsSettings { listen: free(), ..MetricsSettings::default() },
        );
        assert!(refused(open, metrics.clone()).await.to_string().contains("api.tokens"));
        let token = Token { name: "boss".into(), token: crate::model::secret::Secret::new("x"), scope: Scope::Admin };
        assert!(bind(&ApiSettings { listen: everywhere, tokens: vec![token] }, &metrics).await.is_ok());
    }

    #[tokio::test]
    async fn after_the_stop_idle_connections_close_and_nobody_is_let_in() {
        let trial = Trial::open().await;
        let mut idle = TcpStream::connect(trial.api).await.unwrap();
        idle.write_all(b"GET /v1/subscriptions HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        idle.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        trial.shutdown.stop();
        trial.served.await.unwrap().unwrap();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(TcpStream::connect(trial.api).await.is_err());
        assert!(TcpStream::connect(trial.ops).await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_is_under_way_at_the_stop_is_answered() {
        let trial = Trial::open().await;
        let order = trial.ask("POST /v1/subscriptions").json(&crate::web::trial::order(serde_json::json!({}))).bytes();
        let (start, rest) = order.split_at(order.len() - 5);
        let mut stream = TcpStream::connect(trial.api).await.unwrap();
        stream.write_all(start).await.unwrap();
        // Connections are taken in their order: when this is answered, the one before was taken.
        assert_eq!(trial.ask("GET /v1/status").send().await.status, 200);
        trial.shutdown.stop();
        stream.write_all(rest).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        trial.served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn more_headers_than_anybody_needs_are_refused() {
        let trial = Trial::open().await;
        let headers = "x-a: b\r\n".repeat(500);
        let request = format!("GET /v1/status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        assert_eq!(Answer::to(trial.api, request.as_bytes()).await.status, 431);
    }
}
