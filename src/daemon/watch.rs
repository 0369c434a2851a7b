//! Notices that the configuration would be read differently now.
//!
//! By looking, not by being told: what tells of changes depends on the file system, and knows little of links that are
//! swapped. A change counts when two looks in a row see the same: an editor or a copy may be half-way.

use crate::config::reads::Reads;
use std::time::Duration;

/// How often it is looked: soon enough for people, and a few files read in two seconds cost nothing.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until the places of `read` hold something else, and keep it. Cancel-safe.
pub(crate) async fn changed(read: &Reads) {
    let mut before = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let places = read.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || places.again()).await else { continue };
        if before.as_ref() == Some(&now) {
            return;
        }
        before = (now != *read).then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};
    use tokio::time::Instant;

    /// A configuration in a volume as Kubernetes makes one: `..data` leads to the present version.
    fn volume() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        for version in ["..1", "..2"] {
            fs::create_dir_all(folder.path().join(version).join("mappings")).unwrap();
            fs::write(folder.path().join(version).join("hookline.yaml"), format!("kafka: {{ group: g{version} }}"))
                .unwrap();
        }
        turn(folder.path(), "..1");
        let file = folder.path().join("..data/hookline.yaml");
        (folder, file)
    }

    /// What a change of a ConfigMap does.
    fn turn(folder: &Path, version: &str) {
        symlink(folder.join(version), folder.join("..new")).unwrap();
        fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    }

    fn read(file: &Path) -> Reads {
        Config::load(file, &[]).map_err(|error| error.report()).unwrap().reads
    }

    /// How long it takes until a change is noticed; `None`: it is not, within a minute.
    async fn noticed(reads: &Reads) -> Option<Duration> {
        let begun = Instant::now();
        tokio::time::timeout(Duration::from_secs(60), changed(reads)).await.ok()?;
        Some(begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_is_swapped_is_noticed_when_two_looks_see_the_same() {
        let (folder, file) = volume();
        let reads = read(&file);
        assert_eq!(noticed(&reads).await, None);
        turn(folder.path(), "..2");
        assert_eq!(noticed(&reads).await, Some(LOOK * 2));
        turn(folder.path(), "..1");
        assert_eq!(noticed(&reads).await, None, "all is as it was read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_comes_and_one_that_was_looked_for_in_vain_are_noticed() {
        let (folder, file) = volume();
        let reads = read(&file);
        fs::write(folder.path().join("..1/mappings/new.yaml"), "").unwrap();
        assert!(noticed(&reads).await.is_some());
        let reads = read(&file);
        fs::create_dir(folder.path().join("..1/subscriptions")).unwrap();
        assert!(noticed(&reads).await.is_some(), "declared subscriptions are read where they usually are");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_keep_still_is_waited_for() {
        let (_folder, file) = volume();
        let reads = read(&file);
        let writing = async {
            tokio::time::sleep(LOOK / 2).await; // between two looks
            for n in 0..10 {
                fs::write(&file, format!("kafka: {{ group: g{n} }}")).unwrap();
                tokio::time::sleep(LOOK).await;
            }
        };
        let (took, ()) = tokio::join!(noticed(&reads), writing);
        assert!(took.unwrap() >= LOOK * 10, "{took:?}");
    }
}
