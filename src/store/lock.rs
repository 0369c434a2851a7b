//! One process for a store: a lock on the file `lock` in its directory, held until this is dropped or the process ends.

use crate::store::error::StoreError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that is ours alone.
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

// === impl Lock ===

impl Lock {
    /// Takes the directory, which is made when it is not there: for its owner alone, as secrets may be in it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be used.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let io = |path: PathBuf| move |source| StoreError::Directory { path, source: Arc::new(source) };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io(path.to_path_buf()))?;
        let name = path.join("lock");
        let file = File::create(&name).map_err(io(name.clone()))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => StoreError::InUse(path.to_path_buf()),
            other => io(name)(other.into()),
        })?;
        Ok(Self { path: path.to_path_buf(), _file: file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_is_made_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/store");
        drop(Lock::take(&path).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
