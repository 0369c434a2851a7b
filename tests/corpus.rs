//! The seeds of the fuzz targets, and what they once found, through the same entries: with every `make test`.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../fuzz/src/entries.rs"]
mod entries;

use entries::{ENTRIES, Entry};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// What every thread of the daemon has; here frames are larger than in a release build.
const STACK: usize = 2 << 20;
/// No input takes a second by design; this build is slow, and so may the machine be.
const PATIENCE: Duration = Duration::from_secs(60);

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn take(entry: Entry, bytes: Vec<u8>) -> Result<(), &'static str> {
    let (done, ended) = mpsc::channel();
    let work = move || {
        entry(&bytes);
        assert!(done.send(()).is_ok(), "it came back after all");
    };
    drop(thread::Builder::new().stack_size(STACK).spawn(work).unwrap());
    ended.recv_timeout(PATIENCE).map_err(|error| match error {
        RecvTimeoutError::Disconnected => "it panicked; its reason stands above",
        RecvTimeoutError::Timeout => "it hangs",
    })
}

#[test]
fn what_comes_from_outside_neither_panics_nor_hangs_nor_overflows_the_stack() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    assert_eq!(names(&fuzz.join("seeds")), ENTRIES.map(|(name, _)| name), "each entry has its seeds");
    assert_eq!(names(&fuzz.join("fuzz_targets")), ENTRIES.map(|(name, _)| format!("{name}.rs")));
    for (name, entry) in ENTRIES {
        let folder = fuzz.join("seeds").join(name);
        for seed in names(&folder) {
            let bytes = fs::read(folder.join(&seed)).unwrap();
            // An overflow ends the process: who it was is said before.
            println!("{name} {seed}");
            take(entry, bytes).unwrap_or_else(|what| panic!("fuzz/seeds/{name}/{seed}: {what}"));
        }
    }
}
