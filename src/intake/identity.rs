//! Who commits: the store's id in the metadata of every commit, `hookline1 s=<id> ts=<ms> t=<topic id>`.
//!
//! What was settled into one store is not in another. A daemon that finds the commits of another store must not go
//! on from them as if nothing were owed: its store was lost or exchanged, or it is a second member of the group. Time and
//! topic find the place again when the offset does not.

use crate::model::time::Timestamp;
use crate::model::topic::TopicId;

const BEFORE: &str = "hookline1 s=";
const TIME: &str = "ts=";
const TOPIC: &str = "t=";

/// The id as it stands in metadata.
#[must_use]
pub fn name(store: [u8; 16]) -> String {
    store.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The metadata of a commit of the store with this name; `time` is that of the last settled record.
#[must_use]
pub fn metadata(name: &str, time: Option<Timestamp>, topic: Option<TopicId>) -> String {
    let time = time.map(|time| format!(" {TIME}{}", time.as_millis())).unwrap_or_default();
    let topic = topic.map(|topic| format!(" {TOPIC}{topic}")).unwrap_or_default();
    format!("{BEFORE}{name}{time}{topic}")
}

/// The store that a commit's metadata names; anything that is not written as we write it names none.
#[must_use]
pub fn store_of(metadata: &str) -> Option<&str> {
    let name = metadata.strip_prefix(BEFORE)?.split(' ').next()?;
    (name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// The timestamp of a record next to the commit with this metadata.
pub(crate) fn time_of(metadata: &str) -> Option<Timestamp> {
    part(metadata, TIME)?.parse().ok().map(Timestamp::from_millis)
}

/// The topic that the commit with this metadata is about.
pub(crate) fn topic_of(metadata: &str) -> Option<TopicId> {
    TopicId::parse(part(metadata, TOPIC)?)
}

/// The same metadata, but of the store with this name.
#[must_use]
pub fn adopted(name: &str, metadata: &str) -> String {
    let rest = store_of(metadata).and_then(|store| metadata.strip_prefix(BEFORE)?.strip_prefix(store));
    format!("{BEFORE}{name}{}", rest.unwrap_or_default())
}

fn part<'a>(metadata: &'a str, name: &str) -> Option<&'a str> {
    store_of(metadata)?;
    metadata.split(' ').skip(2).find_map(|part| part.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_store_time_and_topic_and_stays_small() {
        let (name, topic) = (name([0xab; 16]), TopicId::from_bytes([0xcd; 16]));
        let time = Some(Timestamp::from_millis(i64::MAX));
        let metadata = metadata(&name, time, topic);
        assert!(metadata.len() < 128 && metadata.is_ascii());
        assert_eq!(store_of(&metadata), Some(&*"ab".repeat(16)));
        assert_eq!((time_of(&metadata), topic_of(&metadata)), (time, topic));
        let bare = self::metadata(&name, None, None);
        assert_eq!((store_of(&bare), time_of(&bare), topic_of(&bare)), (Some(&*name), None, None));
    }

    #[test]
    fn what_others_write_beside_a_commit_names_no_store() {
        let almost = format!("hookline1 s={}", "x".repeat(32));
        for foreign in ["", "hookline1", "hookline1 s=", "hookline1 s=abc ts=1", "consumer-7 ts=1 ts=2", &almost] {
            assert_eq!((store_of(foreign), time_of(foreign)), (None, None), "{foreign}");
        }
    }

    #[test]
    fn an_adopted_commit_keeps_its_time_and_its_topic() {
        let (old, new) = (name([1; 16]), name([2; 16]));
        let (time, topic) = (Some(Timestamp::from_millis(17)), TopicId::from_bytes([3; 16]));
        assert_eq!(adopted(&new, &metadata(&old, time, topic)), metadata(&new, time, topic));
        assert_eq!(adopted(&new, "something else"), metadata(&new, None, None));
    }
}
