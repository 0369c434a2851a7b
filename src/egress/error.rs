//! Why the way out could not be opened at start.

use std::path::PathBuf;

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The file of a `ca_file` could not be read.
    #[error("cannot read the certificates in {path}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file of a `ca_file` holds no certificate in PEM.
    #[error("{path} holds no certificate in PEM")]
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate of a `ca_file` is broken.
    #[error("{path} holds a broken certificate")]
    CaBroken {
        /// The file.
        path: PathBuf,
        /// What the TLS library said.
        #[source]
        source: reqwest::Error,
    },
    /// The TLS library found no roots to trust, or does not take the settings.
    #[error("cannot set up TLS: install the system's CA certificates or set ca_file")]
    Tls(#[source] reqwest::Error),
}
