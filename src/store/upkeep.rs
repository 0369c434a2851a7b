//! What is done to a store whose daemon is stopped: written to an archive, built from one, compacted.
//!
//! Rows pass by one at a time, whatever their number. A new store is built beside the old one, within its directory,
//! read back and compared, and only then put in its place (`swap`): until then nothing was changed. Secrets pass by as
//! they are, sealed or not; no key is needed.

use crate::model::time::Timestamp;
use crate::runtime::{clock, fault};
use crate::store::archive::{About, ArchiveReader, ArchiveWriter};
use crate::store::engine::{self, Engine, Op, Tree};
use crate::store::error::{ArchiveError, StoreError};
use crate::store::identity;
use crate::store::lock::Lock;
use crate::store::settings::StoreSettings;
use crate::store::sled_engine::SledEngine;
use crate::store::{space, swap};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of rows that are applied at once.
const PORTION: u64 = 256 << 10;
/// Bytes of rows between two flushes: what is not flushed stands in memory.
const FLUSH: u64 = 8 << 20;

/// Rows, and the bytes of their keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Hears, now and then, how much is done.
pub type Tell<'a> = dyn FnMut(Amount) + 'a;

/// What an archive may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Nothing but an empty store.
    Nothing,
    /// Whatever is there, which is kept aside.
    All,
}

/// An archive that was read into a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The store's id, which its commits carry.
    pub store: [u8; 16],
    /// When the archive was made.
    pub made: Timestamp,
    /// What it held.
    pub amount: Amount,
    /// Where that is now which was there before.
    pub aside: Option<PathBuf>,
}

/// A store that was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// What it holds.
    pub amount: Amount,
    /// Bytes on disk before.
    pub before: u64,
    /// Bytes on disk now.
    pub after: u64,
}

/// Writes all rows of the store to `out`. Blocks.
///
/// # Errors
/// A daemon has the store, there is none, it cannot be read, or `out` takes no more.
pub fn export(settings: &StoreSettings, out: impl Write, tell: &mut Tell<'_>) -> Result<Amount, StoreError> {
    let engine = existing(settings)?;
    let about = About { store: identity::of(&engine)?, made: clock::now() };
    let mut archive = ArchiveWriter::begin(out, &about)?;
    let mut tally = Tally::default();
    each(&engine, |tree, key, value| {
        tally.add((tree, key, value), tell);
        archive.row(tree, key, value)
    })?;
    archive.end()?;
    engine.close()?;
    Ok(tally.amount)
}

/// Makes a store of the archive `from`, in the directory of `settings`. Nothing is changed before all of the archive is
/// read, written, durable and read back. Blocks.
///
/// # Errors
/// A daemon has the directory, it holds a store that is not to be replaced, the archive is not sound, or the disk is full.
pub fn import(
    settings: &StoreSettings,
    from: impl Read,
    replace: Replace,
    tell: &mut Tell<'_>,
) -> Result<Imported, StoreError> {
    let mut archive = ArchiveReader::begin(from)?;
    let About { store, made } = archive.about().clone();
    let path = &settings.path;
    let lock = Lock::take(path)?;
    swap::finish(path).map_err(directory(path))?;
    let holds = swap::holds(path).map_err(directory(path))?;
    let (lock, aside) = match replace {
        Replace::Nothing if holds => (empty(lock, settings)?, None),
        Replace::Nothing => (lock, None),
        Replace::All => (lock, holds.then(|| format!("replaced.{}", clock::now().as_millis()))),
    };
    let amount = built(settings, store, |build| {
        while let Some(row) = archive.row()? {
            build.row((row.tree, &row.key, &row.value), tell)?;
        }
        Ok(())
    })?;
    swap::begin(path, aside.as_deref().unwrap_or(swap::OLD)).map_err(directory(path))?;
    swap::finish(path).map_err(directory(path))?;
    drop(lock);
    Ok(Imported { store, made, amount, aside: aside.map(|aside| path.join(aside)) })
}

/// Writes the store anew, so that it takes the room of its rows and not that of its past. Blocks.
///
/// # Errors
/// A daemon has the store, there is none, it cannot be read, or the disk has no room for both.
pub fn compact(settings: &StoreSettings, tell: &mut Tell<'_>) -> Result<Compacted, StoreError> {
    let path = &settings.path;
    let engine = existing(settings)?;
    let (store, before) = (identity::of(&engine)?, size(path).map_err(directory(path))?);
    let mut live = Tally::default();
    each(&engine, |tree, key, value| {
        live.add((tree, key, value), &mut |_| {});
        Ok(())
    })?;
    room(settings, need(live.amount))?;
    let amount = built(settings, store, |build| each(&engine, |tree, key, value| build.row((tree, key, value), tell)))?;
    let lock = engine.close()?;
    swap::begin(path, swap::OLD).map_err(directory(path))?;
    swap::finish(path).map_err(directory(path))?;
    let after = size(path).map_err(directory(path))?;
    drop(lock);
    Ok(Compacted { amount, before, after })
}

/// Opens the store that is there, and makes none.
pub(crate) fn existing(settings: &StoreSettings) -> Result<SledEngine, StoreError> {
    let path = &settings.path;
    if !path.is_dir() || !swap::holds(path).map_err(directory(path))? {
        return Err(StoreError::Absent(path.clone()));
    }
    let engine = SledEngine::open(settings)?;
    identity::confirm(path, &identity::of(&engine)?)?;
    Ok(engine)
}

/// The same directory, when its store has nothing to lose.
fn empty(lock: Lock, settings: &StoreSettings) -> Result<Lock, StoreError> {
    let engine = SledEngine::within(lock, settings.cache)?;
    for tree in [Tree::Config, Tree::State] {
        engine::each_row(&engine, (tree, &[]), &[], |_, _| Err(StoreError::NotEmpty(settings.path.clone())))?;
    }
    engine.close()
}

/// Shows all rows, tree by tree, in the order of their keys.
fn each(
    engine: &SledEngine,
    mut row: impl FnMut(Tree, &[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for tree in Tree::ALL {
        engine::each_row(engine, (tree, &[]), &[], |key, value| row(tree, key, value).map(ControlFlow::Continue))?;
    }
    Ok(())
}

/// Builds a new store of the rows that `fill` gives it; what did not come about takes no room.
fn built(
    settings: &StoreSettings,
    store: [u8; 16],
    fill: impl FnOnce(&mut Build<'_>) -> Result<(), StoreError>,
) -> Result<Amount, StoreError> {
    let mut build = Build::begin(settings)?;
    let filled = fill(&mut build).and_then(|()| build.end(store));
    if filled.is_err() {
        drop(swap::clear(&settings.path)); // else the next opening does it
    }
    filled
}

/// Bytes that a new store with so much in it takes while it is built: pages are written several times.
fn need(amount: Amount) -> u64 {
    amount.bytes.saturating_mul(3).saturating_add(16 << 20)
}

/// Whether `need` bytes may be written.
fn room(settings: &StoreSettings, need: u64) -> Result<(), StoreError> {
    let free = space::disk(settings.path.clone())()?.saturating_sub(settings.min_free);
    if free < need { Err(StoreError::NoRoom { path: settings.path.clone(), need, free }) } else { Ok(()) }
}

/// Bytes of all files of a folder.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kept = entry.file_name().to_string_lossy().starts_with("replaced.");
        bytes += match entry.file_type()?.is_dir() {
            true if kept => 0,
            true => size(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}

fn directory(path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Directory { path: path.clone(), source: Arc::new(source) }
}

/// Counts rows, and sums up what they say, in their order.
#[derive(Default)]
struct Tally {
    amount: Amount,
    sum: Sha256,
}

/// A store that is being built.
struct Build<'a> {
    settings: &'a StoreSettings,
    engine: SledEngine,
    tally: Tally,
    tree: Tree,
    ops: Vec<Op>,
    /// Bytes that wait in `ops`, and bytes that were not flushed.
    waiting: u64,
    unflushed: u64,
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, (tree, key, value): (Tree, &[u8], &[u8]), tell: &mut Tell<'_>) {
        for part in [tree.as_str().as_bytes(), key, value] {
            self.sum.update((part.len() as u64).to_be_bytes());
            self.sum.update(part);
        }
        self.amount.rows += 1;
        self.amount.bytes += (key.len() + value.len()) as u64;
        tell(self.amount);
    }
}

// === impl Build ===

impl<'a> Build<'a> {
    fn begin(settings: &'a StoreSettings) -> Result<Self, StoreError> {
        let path = settings.path.join(swap::NEW);
        let engine = SledEngine::open(&StoreSettings { path, ..settings.clone() })?;
        fault::point("build.begun");
        let (tally, ops) = (Tally::default(), Vec::new());
        Ok(Self { settings, engine, tally, tree: Tree::Meta, ops, waiting: 0, unflushed: 0 })
    }

    fn row(&mut self, row: (Tree, &[u8], &[u8]), tell: &mut Tell<'_>) -> Result<(), StoreError> {
        let (tree, key, value) = row;
        if tree != self.tree || self.waiting >= PORTION {
            self.apply()?;
        }
        self.tally.add(row, tell);
        self.tree = tree;
        self.ops.push(Op::Put(key.to_vec(), value.to_vec()));
        self.waiting += (key.len() + value.len()) as u64;
        Ok(())
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        self.engine.apply(self.tree, &self.ops)?;
        self.ops.clear();
        self.unflushed += std::mem::take(&mut self.waiting);
        if self.unflushed >= FLUSH {
            room(self.settings, FLUSH)?;
            self.engine.flush()?;
            self.unflushed = 0;
        }
        Ok(())
    }

    /// All rows are there: closes it, opens it again, and compares what it holds with what was written.
    fn end(mut self, store: [u8; 16]) -> Result<Amount, StoreError> {
        self.apply()?;
        let lock = self.engine.close()?;
        let engine = SledEngine::within(lock, self.settings.cache)?;
        let mut found = Tally::default();
        each(&engine, |tree, key, value| {
            found.add((tree, key, value), &mut |_| {});
            Ok(())
        })?;
        let path = self.settings.path.join(swap::NEW);
        if found.sum.finalize() != self.tally.sum.finalize() {
            return Err(StoreError::NotAsWritten(path));
        }
        if engine.get(Tree::Meta, identity::KEY)?.is_none_or(|id| id.get(1..) != Some(&store[..])) {
            return Err(StoreError::Archive(ArchiveError::Foreign));
        }
        identity::confirm(&path, &store)?;
        drop(engine.close()?);
        Ok(found.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use crate::store::Store;
    use crate::store::batch::Batch;
    use crate::store::tests::{SmallDisk, event, kept, letter, park, quarantined, submit, subscription};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn settings(path: &Path) -> StoreSettings {
        StoreSettings { path: path.to_path_buf(), cache: 1 << 20, min_free: 0, ..StoreSettings::default() }
    }

    fn open(settings: &StoreSettings) -> Store {
        Store::open(settings, Box::new(|_| {})).unwrap()
    }

    fn filled(settings: &StoreSettings) -> [u8; 16] {
        let store = open(settings);
        let mut batch = Batch::new();
        batch.dead_letter(&letter(event("shop.returns", 2, 100_000)));
        batch.quarantine(&quarantined("shop.orders", 3, 100));
        submit(&store, batch).recv().unwrap().unwrap();
        (0..20).for_each(|offset| submit(&store, park(offset, 60_000).2).recv().unwrap().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.put_subscription(&subscription(), &[])).unwrap();
        let id = store.id();
        store.close().unwrap();
        id
    }

    fn assert_filled(settings: &StoreSettings, id: [u8; 16]) {
        let store = open(settings);
        assert_eq!(store.id(), id);
        let heads = store.ledger_heads().unwrap();
        assert_eq!(heads.len(), 20);
        for (key, _) in heads {
            assert_eq!(store.ledger_event(&key).unwrap().unwrap(), event("shop.orders", key.offset, 60_000));
        }
        assert_eq!(store.dead_letters(None, None, 9).unwrap()[0].1, letter(event("shop.returns", 2, 100_000)));
        assert_eq!(kept(&store)[0].1, quarantined("shop.orders", 3, 100));
        assert_eq!(store.subscriptions().unwrap(), [subscription()]);
        store.close().unwrap();
    }

    fn exported(settings: &StoreSettings) -> Vec<u8> {
        let mut archive = Vec::new();
        let (mut told, amount) = (Amount::default(), export(settings, &mut archive, &mut |_| {}).unwrap());
        export(settings, io::sink(), &mut |amount| told = amount).unwrap();
        assert_eq!(told, amount, "the last that was told is all");
        archive
    }

    fn names(path: &Path) -> Vec<String> {
        let all = fs::read_dir(path).unwrap();
        let mut all = all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
        all.sort();
        all
    }

    #[test]
    fn an_archive_makes_the_same_store_elsewhere_and_secrets_stay_sealed_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut here = settings(&folder.path().join("here"));
        here.encryption_keys = vec![Secret::new(STANDARD.encode([1; 32]))];
        let id = filled(&here);
        let archive = exported(&here);
        assert!(!archive.windows(6).any(|part| part == b"whsec_") && !archive.windows(4).any(|part| part == b"p4ss"));
        let there = StoreSettings { path: folder.path().join("there"), ..here.clone() };
        let imported = import(&there, &archive[..], Replace::Nothing, &mut |_| {}).unwrap();
        assert_eq!((imported.store, imported.aside), (id, None));
        assert_filled(&there, id);
        assert_filled(&here, id);
        let again = exported(&there);
        assert_eq!(again.len(), archive.len(), "and the same archive, but for its time");
    }

    #[test]
    fn a_store_that_is_not_empty_is_replaced_only_when_asked_and_then_kept_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (settings(&folder.path().join("here")), settings(&folder.path().join("there")));
        let (id, other) = (filled(&here), filled(&there));
        let archive = exported(&here);
        let refused = import(&there, &archive[..], Replace::Nothing, &mut |_| {}).unwrap_err();
        assert!(matches!(refused, StoreError::NotEmpty(_)), "{refused}");
        assert_filled(&there, other);
        let aside = import(&there, &archive[..], Replace::All, &mut |_| {}).unwrap().aside.unwrap();
        assert_filled(&there, id);
        assert!(aside.starts_with(&there.path));
        assert_filled(&settings(&aside), other);
    }

    #[test]
    fn an_empty_store_takes_an_archive_and_leaves_nothing_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (settings(&folder.path().join("here")), settings(&folder.path().join("there")));
        let id = filled(&here);
        open(&there).close().unwrap();
        import(&there, &exported(&here)[..], Replace::Nothing, &mut |_| {}).unwrap();
        assert_filled(&there, id);
        let strange = names(&there.path).into_iter().filter(|name| !name.starts_with("snap."));
        assert_eq!(strange.collect::<Vec<_>>(), ["blobs", "conf", "db", "id", "lock"]);
    }

    #[test]
    fn an_archive_that_is_not_sound_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (settings(&folder.path().join("here")), settings(&folder.path().join("there")));
        filled(&here);
        let other = filled(&there);
        let archive = exported(&here);
        let (mut changed, middle) = (archive.clone(), archive.len() / 2);
        changed[middle] ^= 1;
        for unsound in [&archive[..middle], &archive[..archive.len() - 1], &changed[..], b"", b"no archive at all"] {
            let refused = import(&there, unsound, Replace::All, &mut |_| {}).unwrap_err();
            assert!(matches!(refused, StoreError::Archive(_)), "{refused}");
            assert_filled(&there, other);
            assert!(!names(&there.path).iter().any(|name| name == "new" || name.starts_with("replaced.")));
        }
    }

    #[test]
    fn a_damaged_store_is_replaced_by_its_backup() {
        let folder = tempfile::tempdir().unwrap();
        let here = settings(&folder.path().join("here"));
        let id = filled(&here);
        let (archive, data) = (exported(&here), here.path.join("db"));
        fs::write(&data, vec![0x5a; fs::read(&data).unwrap().len()]).unwrap();
        let refused = Store::open(&here, Box::new(|_| {})).err().unwrap();
        assert!(refused.to_string().contains("hookline store import --replace"), "{refused}");
        assert!(import(&here, &archive[..], Replace::Nothing, &mut |_| {}).is_err(), "what it holds is not known");
        import(&here, &archive[..], Replace::All, &mut |_| {}).unwrap();
        assert_filled(&here, id);
    }

    #[test]
    fn a_store_that_is_open_or_not_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let here = settings(&folder.path().join("here"));
        let absent = |refused: &StoreError| matches!(refused, StoreError::Absent(_));
        assert!(export(&here, io::sink(), &mut |_| {}).is_err_and(|refused| absent(&refused)));
        assert!(compact(&here, &mut |_| {}).is_err_and(|refused| absent(&refused)));
        assert!(!here.path.exists(), "nothing was made");
        filled(&here);
        let archive = exported(&here);
        let store = open(&here);
        let in_use = |refused: StoreError| matches!(refused, StoreError::InUse(_));
        assert!(export(&here, io::sink(), &mut |_| {}).is_err_and(in_use));
        assert!(compact(&here, &mut |_| {}).is_err_and(in_use));
        assert!(import(&here, &archive[..], Replace::All, &mut |_| {}).is_err_and(in_use));
        assert_eq!(store.ledger_heads().unwrap().len(), 20);
    }

    #[test]
    fn a_disk_that_runs_full_while_a_store_is_replaced_leaves_the_old_one() {
        let Some(disk) = SmallDisk::mount() else {
            return eprintln!("skipped: only root may mount a small disk");
        };
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (settings(folder.path()), settings(&disk.0.path().join("store")));
        let store = open(&here);
        (0..120).for_each(|offset| submit(&store, park(offset, 60_000).2).recv().unwrap().unwrap());
        store.close().unwrap();
        drop(store);
        let (archive, other) = (exported(&here), filled(&there));
        let refused = import(&there, &archive[..], Replace::All, &mut |_| {}).unwrap_err();
        assert!(refused.to_string().contains("No space left"), "{refused}");
        assert_filled(&there, other);
        let refused = import(&StoreSettings { min_free: 1, ..there.clone() }, &archive[..], Replace::All, &mut |_| {});
        assert!(refused.is_err());
        assert_filled(&there, other);
    }

    /// A store that has held much and holds little.
    fn grown(settings: &StoreSettings) -> [u8; 16] {
        let store = open(settings);
        for round in 1..4 {
            let parked =
                (round * 100..round * 100 + 100).map(|offset| park(offset, 60_000)).map(|(key, head, batch)| {
                    store.submit(batch, |_| {});
                    (key, head)
                });
            let parked = parked.collect::<Vec<_>>();
            store.settle().unwrap();
            let mut gone = Batch::new();
            parked.iter().for_each(|(key, head)| gone.unpark(key, head.body_len));
            submit(&store, gone).recv().unwrap().unwrap();
        }
        store.close().unwrap();
        drop(store);
        filled(settings)
    }

    #[test]
    fn compacting_gives_back_what_the_past_took_and_keeps_every_row() {
        let folder = tempfile::tempdir().unwrap();
        let here = settings(folder.path());
        let id = grown(&here);
        let compacted = compact(&here, &mut |_| {}).unwrap();
        assert!(compacted.after * 2 < compacted.before, "{compacted:?}");
        assert!(compacted.after < need(compacted.amount), "no more than was asked for: {compacted:?}");
        assert_eq!(size(&here.path).unwrap(), compacted.after);
        assert_filled(&here, id);
    }

    #[test]
    fn compacting_without_the_room_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let here = settings(folder.path());
        let id = filled(&here);
        let free = space::disk(here.path.clone())().unwrap();
        let refused = compact(&StoreSettings { min_free: free, ..here.clone() }, &mut |_| {}).unwrap_err();
        assert!(matches!(refused, StoreError::NoRoom { .. }), "{refused}");
        assert!(!here.path.join("new").exists());
        assert_filled(&here, id);
    }
}
