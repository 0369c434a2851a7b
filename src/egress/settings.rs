//! What may be called (`egress:`).

use ipnet::IpNet;
use std::path::PathBuf;

/// What may be called, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EgressSettings {
    /// Whether plain `http` endpoints are taken.
    pub allow_http: bool,
    /// The ports that may be called.
    pub ports: Ports,
    /// Networks and names that are let through although they are forbidden by default (SEC-4).
    pub allow: Vec<Entry>,
    /// Networks and names that are refused although they are allowed by default.
    pub deny: Vec<Entry>,
    /// Judge `64:ff9b::/96` by the IPv4 address inside (EG-4).
    pub nat64: bool,
    /// PEM certificates trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// The oldest TLS version that is spoken.
    pub min_tls: MinTls,
}

/// Which ports may be called; never 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ports {
    /// All.
    #[default]
    Any,
    /// These.
    List(Vec<u16>),
}

/// A network or a name in `allow` and `deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A network, `10.0.0.0/8`; a single address is a network of one.
    Net(IpNet),
    /// A name, lower case; no sub-names.
    Host(String),
}

/// The oldest TLS version that is spoken (TLS-1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinTls {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}
