//! The form of an archive: all rows of a store as one stream, for backups and for moving house.
//!
//! A line `hookline-archive 1`, a frame that says whose rows these are, a frame for each row, a last one with their
//! number. Each frame ends with a sum over everything up to it, so that a row that was changed, left out or exchanged
//! is found where it is; the last sum is the whole SHA-256. Secrets stay as the store has them. It knows no directory.

use crate::model::time::Timestamp;
use crate::store::engine::Tree;
use crate::store::error::{ArchiveError, StoreError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::sync::Arc;

const FORM: &[u8] = b"hookline-archive 1\n";
const NAME: &[u8] = b"hookline-archive ";

/// Bytes of a frame's sum: enough to find damage, which is all that it is for.
const SUM: usize = 8;
/// A longer row was never written (`store::batch` cuts them far below): its length is damaged. Bounds the memory.
const LONGEST: usize = 16 << 20;

/// What a frame holds, beside the rows of a tree.
const ABOUT: u8 = b'a';
const END: u8 = b'e';

/// Whose rows these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// The store.
    pub(crate) store: [u8; 16],
    /// When it was made.
    pub(crate) made: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct AboutForm {
    store: [u8; 16],
    made: i64,
    by: String,
}

/// Writes an archive.
pub(crate) struct ArchiveWriter<W> {
    out: W,
    sum: Sha256,
    rows: u64,
}

/// Reads an archive.
pub(crate) struct ArchiveReader<R> {
    from: R,
    sum: Sha256,
    rows: u64,
    about: About,
}

/// A row as an archive holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchivedRow {
    pub(crate) tree: Tree,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

// === impl ArchiveWriter ===

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive.
    pub(crate) fn begin(out: W, about: &About) -> Result<Self, StoreError> {
        let mut writer = Self { out, sum: Sha256::new(), rows: 0 };
        let by = env!("CARGO_PKG_VERSION").to_owned();
        let form = AboutForm { store: about.store, made: about.made.as_millis(), by };
        let about = serde_json::to_vec(&form).expect("it has text keys");
        writer.put(FORM)?;
        writer.frame(ABOUT, &[], &about)?;
        writer.sum(SUM)?;
        Ok(writer)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if key.len() + value.len() > LONGEST {
            return Err(StoreError::row(key, "it is longer than any row of ours"));
        }
        self.frame(letter(tree), key, value)?;
        self.rows += 1;
        self.sum(SUM)
    }

    /// Ends it; nothing is an archive without its end.
    pub(crate) fn end(mut self) -> Result<W, StoreError> {
        let rows = self.rows.to_be_bytes();
        self.frame(END, &[], &rows)?;
        self.sum(size_of_val(&self.sum.clone().finalize()))?;
        self.out.flush().map_err(failed)?;
        Ok(self.out)
    }

    fn frame(&mut self, kind: u8, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a row is far shorter").to_be_bytes();
        for part in [&[kind][..], &len(key), &len(value), key, value] {
            self.put(part)?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.sum.update(bytes);
        self.out.write_all(bytes).map_err(failed)
    }

    fn sum(&mut self, bytes: usize) -> Result<(), StoreError> {
        let sum = self.sum.clone().finalize();
        self.put(&sum[..bytes])
    }
}

// === impl ArchiveReader ===

impl<R: Read> ArchiveReader<R> {
    /// Reads how an archive begins.
    pub(crate) fn begin(from: R) -> Result<Self, StoreError> {
        let about = About { store: [0; 16], made: Timestamp::default() };
        let mut reader = Self { from, sum: Sha256::new(), rows: 0, about };
        let form = reader.take(FORM.len()).map_err(|error| match error {
            StoreError::Archive(ArchiveError::Cut(_)) => StoreError::Archive(ArchiveError::Foreign),
            other => other,
        })?;
        match form.strip_prefix(NAME) {
            _ if form == FORM => {}
            Some(other) => {
                let form = String::from_utf8_lossy(other);
                return Err(StoreError::Archive(ArchiveError::Form(form.trim().escape_default().to_string())));
            }
            None => return Err(StoreError::Archive(ArchiveError::Foreign)),
        }
        let (ABOUT, _, about) = reader.frame()? else { return Err(reader.damaged()) };
        reader.compare(SUM)?;
        let form: AboutForm = serde_json::from_slice(&about).map_err(|_| reader.damaged())?;
        reader.about = About { store: form.store, made: Timestamp::from_millis(form.made) };
        Ok(reader)
    }

    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// The next row; `None` after the last, when all of it is as it was written.
    pub(crate) fn row(&mut self) -> Result<Option<ArchivedRow>, StoreError> {
        let (kind, key, value) = self.frame()?;
        if kind == END {
            self.compare(size_of_val(&self.sum.clone().finalize()))?;
            let whole = value == self.rows.to_be_bytes();
            return match (whole, self.from.read(&mut [0]).map_err(failed)?) {
                (false, _) => Err(self.damaged()),
                (true, 0) => Ok(None),
                (true, _) => Err(StoreError::Archive(ArchiveError::More)),
            };
        }
        self.compare(SUM)?;
        let tree = Tree::ALL.into_iter().find(|tree| letter(*tree) == kind).ok_or_else(|| self.damaged())?;
        self.rows += 1;
        Ok(Some(ArchivedRow { tree, key, value }))
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>, Vec<u8>), StoreError> {
        let kind = self.take(1)?[0];
        let mut len = || -> Result<usize, StoreError> {
            let bytes = self.take(4)?.try_into().expect("it has four");
            Ok(u32::from_be_bytes(bytes) as usize)
        };
        let (key, value) = (len()?, len()?);
        if key.saturating_add(value) > LONGEST {
            return Err(self.damaged());
        }
        Ok((kind, self.take(key)?, self.take(value)?))
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let mut taken = vec![0; bytes];
        self.from.read_exact(&mut taken).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StoreError::Archive(ArchiveError::Cut(self.rows)),
            _ => failed(error),
        })?;
        self.sum.update(&taken);
        Ok(taken)
    }

    fn compare(&mut self, bytes: usize) -> Result<(), StoreError> {
        let sum = self.sum.clone().finalize();
        if self.take(bytes)? == sum[..bytes] { Ok(()) } else { Err(self.damaged()) }
    }

    fn damaged(&self) -> StoreError {
        StoreError::Archive(ArchiveError::Damaged(self.rows))
    }
}

fn letter(tree: Tree) -> u8 {
    match tree {
        Tree::Meta => b'm',
        Tree::Config => b'c',
        Tree::State => b's',
    }
}

fn failed(error: io::Error) -> StoreError {
    StoreError::Archive(ArchiveError::Io(Arc::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn about() -> About {
        About { store: [7; 16], made: Timestamp::from_millis(1_767_225_600_123) }
    }

    fn rows() -> Vec<ArchivedRow> {
        let row = |tree, key: &[u8], value: &[u8]| ArchivedRow { tree, key: key.to_vec(), value: value.to_vec() };
        vec![
            row(Tree::Meta, b"store_id", &[1; 17]),
            row(Tree::Config, b"sub/1", b"\x01{}"),
            row(Tree::State, b"L1", b""),
            row(Tree::State, b"L2", &[0; 50_000]),
        ]
    }

    fn written(rows: &[ArchivedRow]) -> Vec<u8> {
        let mut writer = ArchiveWriter::begin(Vec::new(), &about()).unwrap();
        rows.iter().for_each(|row| writer.row(row.tree, &row.key, &row.value).unwrap());
        writer.end().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<ArchivedRow>, String> {
        let all = || {
            let mut reader = ArchiveReader::begin(bytes)?;
            assert_eq!(reader.about(), &about());
            let mut rows = Vec::new();
            while let Some(row) = reader.row()? {
                rows.push(row);
            }
            Ok(rows)
        };
        all().map_err(|error: StoreError| error.to_string())
    }

    #[test]
    fn what_was_written_is_read_back_row_by_row() {
        assert_eq!(read(&written(&rows())), Ok(rows()));
        assert_eq!(read(&written(&[])), Ok(Vec::new()));
    }

    #[test]
    fn an_archive_that_was_cut_short_is_no_archive_wherever_it_ends() {
        let bytes = written(&rows()[..3]);
        for end in 0..bytes.len() {
            let refused = read(&bytes[..end]).unwrap_err();
            let says = if end < FORM.len() { "no archive" } else { "cut short" };
            assert!(refused.contains(says), "{end} of {}: {refused}", bytes.len());
        }
        let more = [&bytes[..], b"x"].concat();
        assert!(read(&more).unwrap_err().contains("behind its end"));
    }

    #[test]
    fn rows_that_were_left_out_or_exchanged_are_found() {
        let (rows, bytes) = (rows(), written(&rows()));
        let size = |row: &ArchivedRow| 9 + row.key.len() + row.value.len() + SUM;
        let (first, second) = (size(&rows[0]), size(&rows[1]));
        let rest = rows[2..].iter().map(size).sum::<usize>() + 9 + size_of::<u64>() + 32;
        let (head, rows) = bytes.split_at(bytes.len() - rest - first - second);
        let (first, rows) = rows.split_at(first);
        let (second, rest) = rows.split_at(second);
        assert_eq!(read(&[head, first, second, rest].concat()), Ok(self::rows()));
        for (parts, after) in [(vec![second, rest], 0), (vec![first, rest], 1), (vec![second, first, rest], 0)] {
            let refused = read(&[head, &parts.concat()].concat()).unwrap_err();
            assert!(refused.contains(&format!("damaged after {after} rows")), "{refused}");
        }
    }

    #[test]
    fn another_form_and_another_file_are_told_apart() {
        let mut newer = written(&rows());
        newer[NAME.len()] = b'2';
        let refused = read(&newer).unwrap_err();
        assert!(refused.contains("form 2 ") && refused.contains("newer hookline"), "{refused}");
        for foreign in [&b""[..], b"PK\x03\x04 and much more of it", b"hookline"] {
            assert!(read(foreign).unwrap_err().contains("no archive"));
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_found_and_costs_no_memory(at in any::<prop::sample::Index>(), by in 1..=255u8) {
            let mut bytes = written(&rows());
            let at = at.index(bytes.len());
            bytes[at] ^= by;
            prop_assert!(read(&bytes).is_err(), "byte {at}");
        }
    }
}
