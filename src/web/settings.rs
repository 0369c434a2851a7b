//! Where the two listeners listen and who may use the API (`api:`, `metrics:`).

use crate::model::secret::Secret;
use std::net::SocketAddr;

/// The API's listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiSettings {
    /// Where it listens; without tokens on loopback only.
    pub listen: SocketAddr,
    /// Who may use it; empty: everybody who reaches it.
    pub tokens: Vec<Token>,
}

/// A token of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// A name for logs.
    pub name: String,
    /// The token itself.
    pub token: Secret,
    /// What it may do.
    pub scope: Scope,
}

/// What a token may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Read everything.
    Read,
    /// Everything that belongs to this tenant, and nothing else.
    Tenant(String),
}

/// The listener of metrics and health; no authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether subscriptions are shown one by one, too.
    pub per_subscription: bool,
}

// === impl ApiSettings ===

impl Default for ApiSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), tokens: Vec::new() }
    }
}

// === impl MetricsSettings ===

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)), per_subscription: false }
    }
}
