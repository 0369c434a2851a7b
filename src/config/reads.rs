//! What was read, and what it held: so that somebody can see later that it would be read differently now.
//!
//! Files are told apart by their content, folders by the names of their files. So a symbolic link that leads elsewhere
//! (a ConfigMap), a file that came, went or changed are all the same: another content. Times and inodes say nothing.
//! What is read is bounded.

use crate::yaml::reader::MAX_BYTES;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Every file and folder that was read or looked for, and what it held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads(BTreeMap<PathBuf, Held>);

/// Reads files for one loading, and remembers them; a clone adds to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(Arc<Mutex<Reads>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Held {
    /// A file with this content.
    File([u8; 32]),
    /// A folder with these YAML files.
    Folder(Vec<PathBuf>),
    /// Nothing that could be read.
    Nothing,
}

// === impl Reads ===

impl Reads {
    /// The same places as they are now. Blocks.
    #[must_use]
    pub fn again(&self) -> Self {
        let files = Files::default();
        for path in self.0.keys() {
            drop(files.look(path));
        }
        files.end()
    }

    /// The digest of what `path` held; `None` when it was no file that was read.
    #[must_use]
    pub fn digest(&self, path: &Path) -> Option<[u8; 32]> {
        match self.0.get(path) {
            Some(Held::File(digest)) => Some(*digest),
            Some(Held::Folder(_) | Held::Nothing) | None => None,
        }
    }
}

// === impl Files ===

impl Files {
    /// The text of a file, of at most as many bytes as a YAML file may have.
    pub(crate) fn text(&self, path: &Path) -> io::Result<String> {
        let text = String::from_utf8(self.bytes(path)?);
        text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    }

    /// The bytes of a file, as many as a YAML file may have.
    pub(crate) fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self::bytes(path);
        if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
            return bytes; // a pipe: what it held is gone, and nobody looks again
        }
        self.keep(path, bytes.as_ref().map(|bytes| Held::File(Sha256::digest(bytes).into())));
        bytes
    }

    /// The YAML files of a folder, as [`folder`] has them.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let folder = self::folder(path);
        self.keep(path, folder.as_ref().map(|folder| Held::Folder(folder.clone())));
        folder
    }

    /// Somebody looked for it, and it is not there.
    pub(crate) fn missed(&self, path: &Path) {
        self.keep(path, Err(&io::ErrorKind::NotFound.into()));
    }

    /// Everything that was read so far.
    pub(crate) fn end(&self) -> Reads {
        self.lock().clone()
    }

    fn look(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() { self.folder(path).map(drop) } else { self.bytes(path).map(drop) }
    }

    fn keep(&self, path: &Path, held: Result<Held, &io::Error>) {
        self.lock().0.insert(path.to_owned(), held.unwrap_or(Held::Nothing));
    }

    fn lock(&self) -> MutexGuard<'_, Reads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The YAML files of a folder, sorted by name.
pub fn folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if yaml && !hidden && fs::metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_bounded_and_utf_8() {
        let folder = tempfile::tempdir().unwrap();
        let (file, files) = (folder.path().join("f"), Files::default());
        for (bytes, expected) in [(vec![b'a'; MAX_BYTES + 1], "it has more than"), (vec![0xff], "it is not UTF-8")] {
            fs::write(&file, bytes).unwrap();
            assert!(files.text(&file).unwrap_err().to_string().contains(expected));
        }
        fs::write(&file, vec![b'a'; MAX_BYTES]).unwrap();
        assert_eq!(files.text(&file).unwrap().len(), MAX_BYTES);
    }

    #[test]
    fn what_would_be_read_differently_is_seen_and_what_would_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (file, rules) = (folder.path().join("a.yaml"), folder.path().join("rules"));
        let (gone, later) = (rules.join("gone.yaml"), folder.path().join("later"));
        fs::create_dir(&rules).unwrap();
        fs::write(&file, "a").unwrap();
        fs::write(&gone, "b").unwrap();
        let files = Files::default();
        files.text(&file).unwrap();
        files.text(&gone).unwrap();
        files.folder(&rules).unwrap();
        files.missed(&later);
        let read = files.end();
        assert_eq!(read.again(), read);
        let changes: [(&str, &dyn Fn()); 4] = [
            ("a content", &|| fs::write(&file, "c").unwrap()),
            ("a file that came", &|| fs::write(rules.join("new.yaml"), "").unwrap()),
            ("a file that went", &|| fs::remove_file(&gone).unwrap()),
            ("what was not there", &|| fs::create_dir(&later).unwrap()),
        ];
        let mut before = read.clone();
        for (what, change) in changes {
            change();
            let after = before.again();
            assert_ne!(after, before, "{what}");
            before = after;
        }
        fs::remove_dir(&later).unwrap();
        fs::remove_file(rules.join("new.yaml")).unwrap();
        for (path, text) in [(&file, "a"), (&gone, "b")] {
            fs::write(path, text).unwrap();
        }
        fs::write(rules.join("readme.md"), "is not read").unwrap();
        assert_eq!(before.again(), read, "all is as it was");
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_another_content_and_a_touched_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, data) = (folder.path().join("..1"), folder.path().join("..2"), folder.path().join("..data"));
        for (version, text) in [(&one, "one"), (&two, "two")] {
            fs::create_dir(version).unwrap();
            fs::write(version.join("rules.yaml"), text).unwrap();
        }
        symlink(&one, &data).unwrap();
        let files = Files::default();
        files.text(&data.join("rules.yaml")).unwrap();
        let read = files.end();
        fs::write(one.join("rules.yaml"), "one").unwrap();
        assert_eq!(read.again(), read);
        fs::remove_file(&data).unwrap();
        symlink(&two, &data).unwrap();
        assert_ne!(read.again(), read);
    }
}
