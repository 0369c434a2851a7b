//! Names to addresses: the seam where tests put their own answers. It judges nothing.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// The future answer of a [`Lookup`].
pub type Answers = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves names.
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of `host`, IPv4 and IPv6, with port 0. One call is one lookup.
    fn lookup(&self, host: &str) -> Answers;
}

/// The system's resolver, on a blocking thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

// === impl SystemLookup ===

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> Answers {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    }
}
