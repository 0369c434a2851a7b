//! Puts what was built in the folder `new` of a store's directory into the place of what is there, so that a kill at
//! any instant leaves the one or the other, whole.
//!
//! The file `swap` is the turning point: it is written when all of the new is durable, and says where the old goes.
//! From then on every opening goes on with the steps that are left, which the directory itself tells. All of it
//! happens within the directory, which may be a mount point and need not be one that could be renamed.

use crate::runtime::fault;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Where a new store is built.
pub(crate) const NEW: &str = "new";
/// Where the old one goes when nobody wants it any more.
pub(crate) const OLD: &str = "old";
const PLAN: &str = "swap";

/// How far it is, and where the old files go.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    phase: Phase,
    aside: String,
}

/// The old files all go before the first new one comes: so none is taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    In,
}

/// What is to be done next.
enum Step {
    /// An old file goes.
    Out(String),
    /// They are all gone.
    Turn,
    /// A new file comes.
    In(String),
    /// They are all here.
    End,
}

/// Whether a directory has files of a store.
pub(crate) fn holds(path: &Path) -> io::Result<bool> {
    Ok(path.join(PLAN).exists() || ours(path)?.is_some())
}

/// From here on the new store is the store: makes durable what is in `new`, then says so. The files of the old one
/// go into the folder `aside`. [`finish`] does the rest.
pub(crate) fn begin(path: &Path, aside: &str) -> io::Result<()> {
    sync(&path.join(NEW))?;
    File::open(path)?.sync_all()?;
    fault::point("swap.built");
    write(path, &Plan { phase: Phase::Out, aside: aside.into() })?;
    fault::point("swap.begun");
    Ok(())
}

/// Goes on with an exchange that was begun, and removes what one left that was not.
pub(crate) fn finish(path: &Path) -> io::Result<()> {
    while step(path)? == Done::No {}
    clear(path)
}

/// Removes what was built and not put in place, and what was replaced and not to be kept.
pub(crate) fn clear(path: &Path) -> io::Result<()> {
    for left in [NEW, OLD] {
        match fs::remove_dir_all(path.join(left)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether all steps are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Yes,
    No,
}

/// Takes one step, durably.
fn step(path: &Path) -> io::Result<Done> {
    let Some(plan) = read(path)? else { return Ok(Done::Yes) };
    let (aside, new) = (path.join(&plan.aside), path.join(NEW));
    let next = match plan.phase {
        Phase::Out => ours(path)?.map_or(Step::Turn, Step::Out),
        Phase::In => ours(&new)?.map_or(Step::End, Step::In),
    };
    match next {
        Step::Out(name) => {
            fs::create_dir_all(&aside)?;
            fs::rename(path.join(&name), aside.join(&name))?;
            File::open(&aside)?.sync_all()?;
        }
        Step::Turn => write(path, &Plan { phase: Phase::In, aside: plan.aside })?,
        Step::In(name) => fs::rename(new.join(&name), path.join(&name))?,
        Step::End => fs::remove_file(path.join(PLAN))?,
    }
    File::open(path)?.sync_all()?;
    fault::point("swap.step");
    Ok(Done::No)
}

/// A file or folder of a store in `path`: sled's own, and its id.
fn ours(path: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if matches!(name.as_str(), "db" | "conf" | "blobs" | "id") || name.starts_with("snap.") {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> io::Result<Option<Plan>> {
    let text = match fs::read_to_string(path.join(PLAN)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let plan = match text.trim_end().split_once(' ') {
        Some(("out", aside)) => Plan { phase: Phase::Out, aside: aside.into() },
        Some(("in", aside)) => Plan { phase: Phase::In, aside: aside.into() },
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("its file {PLAN} is not one of ours"))),
    };
    Ok(Some(plan))
}

fn write(path: &Path, plan: &Plan) -> io::Result<()> {
    let phase = match plan.phase {
        Phase::Out => "out",
        Phase::In => "in",
    };
    let new = path.join("swap.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{phase} {}", plan.aside)?;
    file.sync_all()?;
    fs::rename(&new, path.join(PLAN))?;
    File::open(path)?.sync_all()
}

/// Makes a folder durable with all that is in it.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with an old store, a strange file, and a new store in `new`.
    fn directory() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("new/blobs")).unwrap();
        fs::create_dir_all(at("blobs")).unwrap();
        for name in ["db", "conf", "id", "snap.01", "blobs/7", "lock", "lost+found"] {
            fs::write(at(name), "old").unwrap();
        }
        for name in ["new/db", "new/conf", "new/id", "new/snap.02", "new/blobs/8", "new/lock"] {
            fs::write(at(name), "new").unwrap();
        }
        folder
    }

    fn text(path: &Path, name: &str) -> Option<String> {
        fs::read_to_string(path.join(name)).ok()
    }

    fn assert_exchanged(path: &Path, aside: Option<&str>, after: usize) {
        for name in ["db", "conf", "id", "snap.02", "blobs/8"] {
            assert_eq!(text(path, name).as_deref(), Some("new"), "{name} after {after} steps");
        }
        for name in ["snap.01", "blobs/7", "new/lock", "old/db", "swap"] {
            assert_eq!(text(path, name), None, "{name} after {after} steps");
        }
        assert_eq!(text(path, "lost+found").as_deref(), Some("old"), "what is not ours stays");
        for name in ["db", "conf", "id", "snap.01", "blobs/7"] {
            let kept = aside.and_then(|aside| text(path, &format!("{aside}/{name}")));
            assert_eq!(kept.as_deref(), aside.map(|_| "old"), "{name} after {after} steps");
        }
    }

    #[test]
    fn a_kill_after_any_step_is_gone_on_from() {
        for aside in [None, Some("replaced.1")] {
            let mut after = 0;
            loop {
                let folder = directory();
                let path = folder.path();
                begin(path, aside.unwrap_or(OLD)).unwrap();
                let ended = (0..after).any(|_| step(path).unwrap() == Done::Yes);
                finish(path).unwrap();
                assert_exchanged(path, aside, after);
                if ended {
                    break;
                }
                after += 1;
            }
            assert!(after > 11, "each file goes and comes by a step of its own");
        }
    }

    #[test]
    fn what_was_not_begun_is_removed_and_the_old_stays() {
        let folder = directory();
        fs::write(folder.path().join("swap.new"), "out ol").unwrap(); // a plan that was cut short
        finish(folder.path()).unwrap();
        assert_eq!(text(folder.path(), "db").as_deref(), Some("old"));
        assert!(!folder.path().join(NEW).exists());
    }

    #[test]
    fn a_plan_that_is_not_ours_is_refused_and_nothing_is_moved() {
        let folder = directory();
        fs::write(folder.path().join(PLAN), "away").unwrap();
        let refused = finish(folder.path()).unwrap_err();
        assert!(refused.to_string().contains("swap"), "{refused}");
        assert_eq!(text(folder.path(), "db").as_deref(), Some("old"));
        assert_eq!(text(folder.path(), "new/db").as_deref(), Some("new"));
    }
}
