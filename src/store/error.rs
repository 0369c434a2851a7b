//! What can go wrong with the store, each with what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

/// The store cannot go on. Clones share the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error("{0} is in use by another process: stop it, or give this one a `store.path` of its own")]
    InUse(PathBuf),
    /// There is no store in the directory.
    #[error("there is no store in {0}: `store.path` says where it is, relative to the working directory")]
    Absent(PathBuf),
    /// An archive goes into an empty store only.
    #[error("the store in {0} is not empty: with --replace it is kept aside, in a folder of its directory")]
    NotEmpty(PathBuf),
    /// The disk has not the room that a new store takes.
    #[error(
        "a new store in {path} needs {need} bytes, and {free} are free beside `store.min_free`: make room; nothing was \
         changed"
    )]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// Bytes that are needed.
        need: u64,
        /// Bytes that there are.
        free: u64,
    },
    /// A new store is not what was written into it.
    #[error(
        "what was written to {0} is not what is read from it: the disk, or memory, is not sound; nothing was changed"
    )]
    NotAsWritten(PathBuf),
    /// An archive cannot be read or written.
    #[error("the archive: {0}")]
    Archive(ArchiveError),
    /// The directory cannot be made or opened.
    #[error("cannot use {path} as store: {source}")]
    Directory {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The files are not what they should be.
    #[error(
        "the store in {path} is damaged: {what}; `hookline store import --replace FILE` puts a backup in its place and \
         keeps what is there"
    )]
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

/// An archive cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It begins like none.
    #[error("it is no archive of a store (`hookline store export` makes one)")]
    Foreign,
    /// Its form is another.
    #[error("its form {0} is unknown: a newer hookline wrote it, and can read it")]
    Form(String),
    /// It ends before its end.
    #[error("it was cut short: it ends after {0} rows without saying that these are all; take another backup")]
    Cut(u64),
    /// Its bytes were changed.
    #[error("it is damaged after {0} rows: what is there is not what was written; take another backup")]
    Damaged(u64),
    /// It goes on after its end.
    #[error("there is more behind its end: it is not as it was written")]
    More,
    /// It cannot be read or written.
    #[error("{0}")]
    Io(Arc<std::io::Error>),
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
