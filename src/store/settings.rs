//! Where the store is and what it may use (`store:`).

use crate::model::secret::Secret;
use std::path::PathBuf;

/// The store's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSettings {
    /// The directory; made when it is not there.
    pub path: PathBuf,
    /// Bytes of page cache; at least 1 MiB.
    pub cache: u64,
    /// Below this many free bytes on its disk nothing is written (the hard floor).
    pub min_free: u64,
    /// Base64 of 32 bytes each; the first encrypts, all decrypt. Empty: secrets are stored as they are.
    pub encryption_keys: Vec<Secret>,
}

// === impl StoreSettings ===

impl Default for StoreSettings {
    fn default() -> Self {
        Self { path: "data".into(), cache: 32 << 20, min_free: 256 << 20, encryption_keys: Vec::new() }
    }
}
