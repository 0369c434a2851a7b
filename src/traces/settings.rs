//! Where traces are sent, and which (`tracing:`).

use crate::model::secret::Secret;
use http::HeaderName;
use std::path::PathBuf;
use url::Url;

/// Of a hundred traces that nobody else decides about, one: enough to see where time goes, little enough to pay for.
pub const SAMPLE: f64 = 0.01;

/// What we are called when nothing is said.
pub const SERVICE: &str = "hookline";

/// Where traces are sent, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesSettings {
    /// The collector's address for traces, whole. No userinfo.
    pub url: Url,
    /// What is sent along, to say who we are; visible characters only.
    pub headers: Vec<(HeaderName, Secret)>,
    /// PEM certificates that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What we are called (`service.name`).
    pub service: String,
    /// The share of traces that begin with us, 0 to 1.
    pub sample: f64,
}
