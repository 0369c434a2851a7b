//! sled 0.34, and the walls around its known faults.
//!
//! Its `flush` is no fsync on Linux: after it we sync its file by a handle of our own. A kill while it opens leaves
//! `snap.*.generating`, which it later takes for its newest snapshot, and at the very first a `conf` that was cut short,
//! which it takes for damage: such files go before the open. Values above 128 KiB go to files that it never syncs: we do;
//! events and records are chunked far below (`store::batch`). I/O errors stick. Damage that it comes upon may make it
//! panic: that is caught and becomes an error.

use crate::store::engine::{Each, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::lock::Lock;
use crate::store::settings::StoreSettings;
use crate::store::swap;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a handle that this process had before may take to let go.
const RELEASE: Duration = Duration::from_secs(5);

/// Bytes of sled's `conf`. It says how we use sled, which is always the same way: a shorter one can be made anew.
const CONF: u64 = 62;

/// sled behind its walls.
pub(crate) struct SledEngine {
    path: PathBuf,
    handles: Handles,
    /// Whether a call failed.
    failed: AtomicBool,
    /// sled's data file, for the sync that its flush leaves out.
    file: File,
    /// Held as long as the engine lives.
    lock: Option<Lock>,
}

/// sled's own handles.
#[derive(Clone)]
struct Handles {
    db: sled::Db,
    meta: sled::Tree,
    config: sled::Tree,
    state: sled::Tree,
}

// === impl SledEngine ===

impl SledEngine {
    /// Opens the database in the directory of `settings`, or makes it.
    pub(crate) fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::within(Lock::take(&settings.path)?, settings.cache)
    }

    /// As [`SledEngine::open`], in a directory that is ours already.
    pub(crate) fn within(lock: Lock, cache: u64) -> Result<Self, StoreError> {
        let path = lock.path();
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |source| StoreError::Directory { path, source: Arc::new(source) }
        };
        swap::finish(path).map_err(io(path))?;
        remove_half_made(path).map_err(io(path))?;
        let handles = without_panic(path, || {
            let config = sled::Config::new().path(path).cache_capacity(cache).flush_every_ms(None);
            let open = || {
                let db = once_released(|| config.open())?;
                let (meta, config, state) = (db.open_tree("meta")?, db.open_tree("config")?, db.open_tree("state")?);
                Ok(Handles { db, meta, config, state })
            };
            open().map_err(|error| broken(path, error))
        })?;
        let (data, conf) = (path.join("db"), path.join("conf"));
        let file = File::open(&data).map_err(io(&data))?;
        File::open(&conf).and_then(|conf| conf.sync_all()).map_err(io(&conf))?;
        File::open(path).and_then(|directory| directory.sync_all()).map_err(io(path))?;
        let failed = AtomicBool::new(false);
        Ok(Self { path: path.to_path_buf(), handles, failed, file, lock: Some(lock) })
    }

    /// Closes it, and keeps the directory ours. Returns when sled has let go of its files: one of its threads could
    /// still write a snapshot beside them.
    pub(crate) fn close(mut self) -> Result<Lock, StoreError> {
        self.flush()?;
        let (lock, data) = (self.lock.take().expect("it is taken here only"), self.path.join("db"));
        drop(self);
        let released = File::open(&data).and_then(|file| {
            let begun = Instant::now();
            loop {
                match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                    Err(_) if begun.elapsed() < RELEASE => std::thread::sleep(Duration::from_millis(10)),
                    done => return Ok(done?),
                }
            }
        });
        released.map_err(|source| StoreError::Directory { path: data, source: Arc::new(source) })?;
        Ok(lock)
    }

    /// Makes a call, and remembers that one failed. Damage that sled comes upon makes it panic here and there.
    fn call<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        without_panic(&self.path, work).inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        match tree {
            Tree::Meta => &self.handles.meta,
            Tree::Config => &self.handles.config,
            Tree::State => &self.handles.state,
        }
    }
}

impl Drop for SledEngine {
    /// After a failure sled's last handle would wait for ever for what it cannot write: it is never dropped then.
    fn drop(&mut self) {
        if self.failed.load(Ordering::Relaxed) {
            mem::forget(self.handles.clone());
        }
    }
}

impl Engine for SledEngine {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(|| Ok(self.tree(tree).get(key).map_err(failed)?.map(|value| value.to_vec())))
    }

    fn scan(&self, tree: Tree, prefix: &[u8], after: &[u8], each: &mut Each<'_>) -> Result<(), StoreError> {
        let from = if after < prefix { prefix } else { after };
        let mut rows = self.tree(tree).range(from.to_vec()..);
        while let Some(row) = self.call(|| Ok(rows.next()))? {
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
        self.call(|| self.tree(tree).apply_batch(batch).map_err(failed))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.call(|| self.handles.db.flush().map_err(failed))?;
        let synced = sync_all_in(&self.path.join("blobs")).and_then(|()| self.file.sync_all());
        synced.map_err(|error| StoreError::Sync(Arc::new(error)))
    }

    fn size(&self) -> u64 {
        self.handles.db.size_on_disk().unwrap_or(0)
    }
}

fn failed(error: sled::Error) -> StoreError {
    StoreError::Io(Arc::new(error))
}

/// Makes an error of a panic.
fn without_panic<T>(path: &Path, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| {
        let what = cause.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("sled cannot read it");
        Err(StoreError::Corrupt { path: path.to_path_buf(), what: what.into() })
    })
}

fn broken(path: &Path, error: sled::Error) -> StoreError {
    let path = path.to_path_buf();
    match error {
        sled::Error::Io(source) => StoreError::Directory { path, source: Arc::new(source) },
        other => StoreError::Corrupt { path, what: other.to_string() },
    }
}

/// sled's threads let go of its file a little after its last handle is gone. No other process has it: `lock` is ours.
fn once_released(open: impl Fn() -> sled::Result<sled::Db>) -> sled::Result<sled::Db> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(sled::Error::Io(error))
                if error.to_string().starts_with("could not acquire lock") && begun.elapsed() < RELEASE =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

/// Syncs what is in a folder: mostly nothing.
fn sync_all_in(folder: &Path) -> std::io::Result<()> {
    let mut found = false;
    for entry in fs::read_dir(folder)? {
        match File::open(entry?.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {} // its value was replaced meanwhile
            file => file?.sync_all()?,
        }
        found = true;
    }
    if found { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Removes what sled left unfinished when its process died while it opened.
fn remove_half_made(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let snapshot = name.starts_with("snap.") && name.ends_with(".generating");
        if snapshot || (name == "conf" && entry.metadata()?.len() < CONF) {
            warn!(file = %name, "removing a file that was not finished when the process died");
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::ControlFlow;

    fn settings(folder: &Path) -> StoreSettings {
        StoreSettings { path: folder.join("store"), cache: 1 << 20, ..StoreSettings::default() }
    }

    fn rows(engine: &SledEngine) -> Vec<u32> {
        let mut found = Vec::new();
        let mut each = |key: &[u8], _: &[u8]| {
            found.push(u32::from_be_bytes(key.try_into().unwrap()));
            ControlFlow::Continue(())
        };
        engine.scan(Tree::State, b"", b"", &mut each).unwrap();
        found
    }

    fn filled(settings: &StoreSettings) {
        let engine = SledEngine::open(settings).unwrap();
        for row in 0..1_000_u32 {
            engine.apply(Tree::State, &[Op::Put(row.to_be_bytes().to_vec(), vec![b'x'; 3_000])]).unwrap();
        }
        engine.flush().unwrap();
    }

    #[test]
    fn a_batch_is_seen_whole_and_a_scan_begins_where_it_should() {
        let folder = tempfile::tempdir().unwrap();
        filled(&settings(folder.path()));
        let engine = SledEngine::open(&settings(folder.path())).unwrap();
        let delete = |row: u32| Op::Delete(row.to_be_bytes().to_vec());
        engine.apply(Tree::State, &(10..1_000).map(delete).collect::<Vec<_>>()).unwrap();
        assert_eq!(rows(&engine), (0..10).collect::<Vec<_>>());
        let mut after = Vec::new();
        let mut each = |key: &[u8], _: &[u8]| {
            after.push(key[3]);
            if after.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        engine.scan(Tree::State, &[0, 0, 0], &[0, 0, 0, 4], &mut each).unwrap();
        assert_eq!(after, [5, 6, 7]);
        assert_eq!(engine.get(Tree::Config, &[0, 0, 0, 4]).unwrap(), None, "each tree is apart");
    }

    #[test]
    fn a_snapshot_that_a_kill_left_half_made_bricks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        filled(&settings);
        let left = settings.path.join("snap.0000000000FFFFFF.generating");
        for bytes in [&b""[..], b"half a snapshot"] {
            fs::write(&left, bytes).unwrap();
            assert_eq!(rows(&SledEngine::open(&settings).unwrap()).len(), 1_000);
            assert!(!left.exists());
        }
    }

    #[test]
    fn a_configuration_that_a_kill_left_half_made_bricks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        filled(&settings);
        let conf = settings.path.join("conf");
        let whole = fs::read(&conf).unwrap();
        assert_eq!(whole.len() as u64, CONF, "{:?}", String::from_utf8_lossy(&whole));
        for end in 0..whole.len() {
            fs::write(&conf, &whole[..end]).unwrap();
            assert_eq!(rows(&SledEngine::open(&settings).unwrap()).len(), 1_000, "{end}");
            assert_eq!(fs::read(&conf).unwrap(), whole);
        }
    }

    #[test]
    fn a_value_that_has_a_file_of_its_own_outlives_many_changes_and_an_opening() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let engine = SledEngine::open(&settings).unwrap();
        let blobs = || fs::read_dir(settings.path.join("blobs")).unwrap().count();
        engine.apply(Tree::Config, &[Op::Put(b"long".to_vec(), vec![b'x'; 1 << 20])]).unwrap();
        engine.flush().unwrap();
        assert!(blobs() > 0, "it is longer than what stands in the log");
        for row in 0..200_u32 {
            engine.apply(Tree::Config, &[Op::Put(b"long".to_vec(), vec![b'y'; (1 << 20) + row as usize])]).unwrap();
            engine.flush().unwrap();
        }
        drop(engine);
        let engine = SledEngine::open(&settings).unwrap();
        assert_eq!(engine.get(Tree::Config, b"long").unwrap().unwrap().len(), (1 << 20) + 199);
    }

    #[test]
    fn damage_that_is_come_upon_is_an_error_that_names_the_directory() {
        let path = Path::new("/some/store");
        let refused = without_panic::<()>(path, || panic!("tried to serialize {}", "nothing")).unwrap_err();
        assert!(refused.to_string().contains("/some/store is damaged: tried to serialize nothing"), "{refused}");
        for eighth in 1..8 {
            let folder = tempfile::tempdir().unwrap();
            let settings = settings(folder.path());
            filled(&settings);
            let data = settings.path.join("db");
            let mut bytes = fs::read(&data).unwrap();
            let from = bytes.len() / 8 * eighth;
            bytes[from..from + 100_000].fill(0x5a);
            fs::write(&data, bytes).unwrap();
            // sled may come upon it at once, when it reads, or not at all: then it was in the remains of older rows.
            let read = |engine: SledEngine| engine.scan(Tree::State, b"", b"", &mut |_, _| ControlFlow::Continue(()));
            let Err(refused) = SledEngine::open(&settings).and_then(read) else { continue };
            assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
            assert!(refused.to_string().contains(settings.path.to_str().unwrap()), "{refused}");
        }
    }

    #[test]
    fn a_store_that_sled_has_not_let_go_of_yet_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        filled(&settings);
        let slow = File::open(settings.path.join("db")).unwrap();
        flock(&slow, FlockOperation::NonBlockingLockExclusive).unwrap();
        let (begin, begun) = std::sync::mpsc::channel();
        let opening = std::thread::spawn(move || {
            begin.send(()).unwrap();
            SledEngine::open(&settings).map(|engine| rows(&engine).len())
        });
        begun.recv().unwrap();
        assert!(!opening.is_finished(), "not without the file");
        drop(slow);
        assert_eq!(opening.join().unwrap().unwrap(), 1_000);
    }

    #[test]
    fn a_path_that_is_no_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        fs::write(&settings.path, b"a file").unwrap();
        let refused = SledEngine::open(&settings).err().unwrap();
        assert!(matches!(&refused, StoreError::Directory { path, .. } if *path == settings.path), "{refused}");
    }
}
