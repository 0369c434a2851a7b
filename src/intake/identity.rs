//! Who commits: the store's id in the metadata of every commit, `hookline1 s=<id> ts=<ms>`.
//!
//! What was settled into one store is not in another. A daemon that finds the commits of another store must not go
//! on from them as if nothing were owed: its store was lost or exchanged, or it is a second member of the group.

use crate::model::time::Timestamp;

const BEFORE: &str = "hookline1 s=";

/// The id as it stands in metadata.
#[must_use]
pub fn name(store: [u8; 16]) -> String {
    store.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The metadata of a commit of the store with this name; `time` is that of the last settled record.
#[must_use]
pub fn metadata(name: &str, time: Option<Timestamp>) -> String {
    match time {
        Some(time) => format!("{BEFORE}{name} ts={}", time.as_millis()),
        None => format!("{BEFORE}{name}"),
    }
}

/// The store that a commit's metadata names; anything that is not written as we write it names none.
#[must_use]
pub fn store_of(metadata: &str) -> Option<&str> {
    let name = metadata.strip_prefix(BEFORE)?.split(' ').next()?;
    (name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// The same metadata, but of the store with this name.
#[must_use]
pub fn adopted(name: &str, metadata: &str) -> String {
    let time = store_of(metadata).and_then(|store| metadata.strip_prefix(BEFORE)?.strip_prefix(store));
    format!("{BEFORE}{name}{}", time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_the_store_and_stays_small() {
        let name = name([0xab; 16]);
        let metadata = metadata(&name, Some(Timestamp::from_millis(i64::MAX)));
        assert!(metadata.len() < 128 && metadata.is_ascii());
        assert_eq!(store_of(&metadata), Some(&*"ab".repeat(16)));
        assert_eq!(store_of(&self::metadata(&name, None)), Some(&*name));
    }

    #[test]
    fn what_others_write_beside_a_commit_names_no_store() {
        let almost = format!("hookline1 s={}", "x".repeat(32));
        for foreign in ["", "hookline1", "hookline1 s=", "hookline1 s=abc ts=1", "consumer-7", &almost] {
            assert_eq!(store_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn an_adopted_commit_keeps_its_time() {
        let (old, new) = (name([1; 16]), name([2; 16]));
        let time = Some(Timestamp::from_millis(17));
        assert_eq!(adopted(&new, &metadata(&old, time)), metadata(&new, time));
        assert_eq!(adopted(&new, "something else"), metadata(&new, None));
    }
}
