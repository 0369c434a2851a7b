//! What can go wrong with the store, each with what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

/// The store cannot go on. Clones share the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error("{0} is in use by another process: stop it, or give this one a `store.path` of its own")]
    InUse(PathBuf),
    /// The directory cannot be made or opened.
    #[error("cannot use {path} as store: {source}")]
    Directory {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The files are not what they should be.
    #[error("the store in {path} is damaged: {what}; move the directory aside and start from a backup")]
    Corrupt {
        /// The directory.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Reading or writing failed. Every later call fails, too: nothing is durable any more.
    #[error("reading or writing failed: {0}")]
    Io(Arc<sled::Error>),
    /// Syncing to disk failed.
    #[error("syncing to disk failed: {0}")]
    Sync(Arc<std::io::Error>),
    /// A row is not one of ours.
    #[error("row {key} cannot be read: {what}")]
    Row {
        /// Its key, in hex.
        key: String,
        /// What is wrong with it.
        what: String,
    },
    /// An encryption key is not usable.
    #[error("store.encryption_keys[{0}] is not base64 of 32 bytes; `openssl rand -base64 32` makes one")]
    Key(usize),
    /// A secret was sealed with a key that is not configured.
    #[error("a secret is sealed with key {0}, which is not in store.encryption_keys: add it behind the others")]
    UnknownKey(String),
    /// A secret could not be opened: the row was changed from outside.
    #[error("the sealed secret in row {0} was changed; restore it from a backup")]
    Unsealed(String),
    /// The thread that writes broke down.
    #[error("writing broke down; the log says where")]
    Broken,
    /// The store is closed: the process stops.
    #[error("the store is closed")]
    Closed,
}

// === impl StoreError ===

impl StoreError {
    /// A row that cannot be read.
    #[must_use]
    pub fn row(key: &[u8], what: impl ToString) -> Self {
        Self::Row { key: hex(key), what: what.to_string() }
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
