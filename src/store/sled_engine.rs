//! sled 0.34, and the walls around its known faults.
//!
//! Its `flush` is no fsync on Linux: after it we sync its file by a handle of our own. A kill while it opens leaves
//! `snap.*.generating`, which it later takes for its newest snapshot: such files go before the open. Values above
//! 128 KiB would go to files that it never syncs: rows are chunked far below (`store::batch`). I/O errors stick.

use crate::store::engine::{Each, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::settings::StoreSettings;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;

/// sled behind its walls.
pub(crate) struct SledEngine {
    db: sled::Db,
    meta: sled::Tree,
    config: sled::Tree,
    state: sled::Tree,
    /// sled's data file, for the sync that its flush leaves out.
    file: File,
    /// Held as long as the engine lives.
    _lock: File,
}

// === impl SledEngine ===

impl SledEngine {
    pub(crate) fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let path = &settings.path;
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| StoreError::Directory { path, source: Arc::new(source) }
        };
        fs::create_dir_all(path).map_err(io(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| StoreError::InUse(path.clone()))?;
        remove_half_made_snapshots(path).map_err(io(path))?;
        let config = sled::Config::new().path(path).cache_capacity(settings.cache).flush_every_ms(None);
        let db = config.open().map_err(|error| broken(path, error))?;
        let tree = |name: &str| db.open_tree(name).map_err(|error| broken(path, error));
        let (meta, config, state) = (tree("meta")?, tree("config")?, tree("state")?);
        let data = path.join("db");
        let file = File::open(&data).map_err(io(&data))?;
        Ok(Self { db, meta, config, state, file, _lock: lock })
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        match tree {
            Tree::Meta => &self.meta,
            Tree::Config => &self.config,
            Tree::State => &self.state,
        }
    }
}

impl Engine for SledEngine {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tree(tree).get(key).map_err(failed)?.map(|value| value.to_vec()))
    }

    fn scan(&self, tree: Tree, prefix: &[u8], after: &[u8], each: &mut Each<'_>) -> Result<(), StoreError> {
        let from = if after < prefix { prefix } else { after };
        for row in self.tree(tree).range(from.to_vec()..) {
            let (key, value) = row.map_err(failed)?;
            if !key.starts_with(prefix) {
                break;
            }
            if key.as_ref() != after && each(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, tree: Tree, changes: &[Op]) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Op::Put(key, value) => batch.insert(key.as_slice(), value.as_slice()),
                Op::Delete(key) => batch.remove(key.as_slice()),
            }
        }
        self.tree(tree).apply_batch(batch).map_err(failed)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed)?;
        self.file.sync_all().map_err(|error| StoreError::Sync(Arc::new(error)))
    }
}

fn failed(error: sled::Error) -> StoreError {
    StoreError::Io(Arc::new(error))
}

fn broken(path: &Path, error: sled::Error) -> StoreError {
    let path = path.to_path_buf();
    match error {
        sled::Error::Io(source) => StoreError::Directory { path, source: Arc::new(source) },
        other => StoreError::Corrupt { path, what: other.to_string() },
    }
}

fn remove_half_made_snapshots(path: &PathBuf) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            warn!(file = %name, "removing a snapshot that was not finished when the process died");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
