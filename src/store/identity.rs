//! Who the store is: 16 random bytes, in the database and in a file beside it.
//!
//! sled takes a data file that it does not understand for an empty one. The file beside it tells a database that
//! lost everything from a new one, so that nobody's subscriptions vanish in silence.

use crate::runtime::random;
use crate::store::engine::{Engine, Op, Tree};
use crate::store::error::{StoreError, hex};
use crate::store::row;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Its key in the tree `meta`.
pub(crate) const KEY: &[u8] = b"store_id";
const FILE: &str = "id";

/// The id in the database; made when there is none.
pub(crate) fn of(engine: &impl Engine) -> Result<[u8; 16], StoreError> {
    if let Some(value) = engine.get(Tree::Meta, KEY)? {
        let id = value.get(1..).and_then(|bytes| bytes.try_into().ok());
        return id.ok_or_else(|| StoreError::row(KEY, "it is no id"));
    }
    let id: [u8; 16] = random::secret();
    engine.apply(Tree::Meta, &[Op::Put(KEY.to_vec(), [&[row::VERSION][..], &id].concat())])?;
    engine.flush()?;
    Ok(id)
}

/// Compares the id in the database with that in the file beside it; writes the file when there is none.
pub(crate) fn confirm(path: &Path, id: &[u8; 16]) -> Result<(), StoreError> {
    let file = path.join(FILE);
    let directory = |source| StoreError::Directory { path: file.clone(), source: Arc::new(source) };
    match fs::read_to_string(&file) {
        Ok(text) if text.trim() == hex(id) => Ok(()),
        Ok(_) => {
            let what = format!("its data do not belong to {}: they are lost, or of another store", file.display());
            Err(StoreError::Corrupt { path: path.to_path_buf(), what })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(path, &hex(id)).map_err(directory),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let what = format!("{} is no text", file.display());
            Err(StoreError::Corrupt { path: path.to_path_buf(), what })
        }
        Err(error) => Err(directory(error)),
    }
}

/// Whole or not at all: a file that was cut short would accuse a healthy store.
fn write(path: &Path, id: &str) -> io::Result<()> {
    let (file, new) = (path.join(FILE), path.join("id.new"));
    let mut handle = File::create(&new)?;
    writeln!(handle, "{id}")?;
    handle.sync_all()?;
    fs::rename(&new, &file)?;
    File::open(path)?.sync_all()
}
