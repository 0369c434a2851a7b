//! Where a partition begins: what Kafka says of it and what we remember in, a decision out (protocol section 9). Pure.
//!
//! It goes on where the group left it, as long as that place is in the log and the log is the one that was read. Else the
//! timestamp of what was read last finds the place again, with a margin: twins, and no loss.

use crate::intake::identity;
use crate::kafka::owner::{Begun, Decision, Found, Place};
use crate::kafka::settings::Start;
use crate::model::cursor::CommitCopy;
use crate::model::jump::JumpReason;
use crate::model::time::Timestamp;
use std::time::Duration;

/// Records of one partition may be this far out of the order of their timestamps.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// What we remember of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) topic: Acquaintance,
    /// Where this process left it, when that is why it is to begin anew.
    pub(crate) left: Option<Left>,
    /// The store's copy of the group's commit; of the old topic when it was made anew.
    pub(crate) copy: Option<CommitCopy>,
    /// `kafka.start`.
    pub(crate) start: Start,
}

/// What we know of a partition's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquaintance {
    /// Nothing: the group has not begun in it, as far as the store knows.
    None,
    /// It was not there when its name was first asked for, and is now.
    Born,
    /// It is the one that the group has begun in.
    Same,
    /// Another one had its name.
    MadeAnew,
}

/// Where this process left a partition, without giving it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) offset: i64,
    pub(crate) near: Option<Timestamp>,
    pub(crate) log: Log,
}

/// Whether what the log holds below a place is what was read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// As far as is known.
    Intact,
    /// It was cut somewhere below.
    Cut,
}

/// The place that was left, and who says so.
#[derive(Clone, Copy)]
struct Anchor {
    offset: i64,
    near: Option<Timestamp>,
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Process(Log),
    Commit,
    Copy,
}

/// Where the partition begins.
pub(crate) fn decide(found: &Found, memory: &Memory, now: Timestamp) -> Decision {
    let Some(anchor) = anchor(found, memory) else { return first(found, memory, now) };
    let Anchor { offset, near, source } = anchor;
    let since = near.map_or(Place::Earliest, |near| Place::Since(before(near)));
    let jump = |place, reason| Decision { place, near, jump: Some((Some(offset), reason)) };
    if is_of_another(found, memory, source) {
        return jump(since, JumpReason::MadeAnew);
    }
    match source {
        Source::Process(Log::Cut) => jump(since, JumpReason::Truncated),
        _ if offset < found.low => jump(Place::Earliest, JumpReason::Retention),
        _ if offset > found.high => jump(since, JumpReason::Truncated),
        Source::Commit => Decision { place: Place::Committed, near, jump: None },
        Source::Process(Log::Intact) => Decision { place: Place::At(offset), near, jump: None },
        // With ids the copy is of this very topic; else nothing says so.
        Source::Copy if found.topic.is_some() => jump(Place::At(offset), JumpReason::CommitLost),
        Source::Copy => jump(since, JumpReason::CommitLost),
    }
}

/// A time that is sure to be before what follows a record of `near` in the log.
pub(crate) fn before(near: Timestamp) -> Timestamp {
    Timestamp::from_millis(near.as_millis().saturating_sub(i64::try_from(MARGIN.as_millis()).unwrap_or(0)))
}

fn anchor(found: &Found, memory: &Memory) -> Option<Anchor> {
    let left = memory.left.map(|Left { offset, near, log }| Anchor { offset, near, source: Source::Process(log) });
    let committed = found.committed.as_ref().map(|committed| {
        let near = identity::time_of(&committed.metadata);
        Anchor { offset: committed.offset, near, source: Source::Commit }
    });
    let of_copy = |copy: &CommitCopy| Anchor { offset: copy.offset, near: copy.near, source: Source::Copy };
    let copy = memory.copy.as_ref().map(of_copy);
    left.or(committed).or(copy)
}

/// Whether the place that was left is one of a topic that is not there any more.
fn is_of_another(found: &Found, memory: &Memory, source: Source) -> bool {
    let anew = memory.topic == Acquaintance::MadeAnew;
    let of_commit = || identity::topic_of(&found.committed.as_ref()?.metadata);
    match (source, of_commit(), found.topic) {
        // The commit says itself which topic it is about: one that was out when the topic went may have come after.
        (Source::Commit, Some(of), Some(topic)) => of != topic,
        (Source::Commit | Source::Process(_) | Source::Copy, _, _) => anew,
    }
}

/// Nothing was left: the group, or this partition, is new.
fn first(found: &Found, memory: &Memory, now: Timestamp) -> Decision {
    let (place, near) = match (memory.topic, found.group, memory.start) {
        (Acquaintance::None, Begun::NotYet, Start::Latest) => (Place::Latest, Some(now)),
        _ => (Place::Earliest, None),
    };
    let anew = memory.topic == Acquaintance::MadeAnew;
    Decision { place, near, jump: anew.then_some((None, JumpReason::MadeAnew)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::owner::Committed;
    use crate::model::record::TopicPartition;
    use crate::model::topic::TopicId;

    const HOUR: i64 = 3_600_000;

    fn time(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn id(byte: u8) -> TopicId {
        TopicId::from_bytes([byte; 16]).unwrap()
    }

    /// A log of 100 to 200 of topic 1, with a commit at `offset` that was made an hour after the epoch in topic `of`.
    fn found(commit: Option<(i64, Option<u8>)>) -> Found {
        let committed = commit.map(|(offset, of)| {
            let metadata = identity::metadata(&identity::name([9; 16]), Some(time(HOUR)), of.map(id));
            Committed { offset, metadata }
        });
        let (at, topic) = (TopicPartition { topic: "t".into(), partition: 0 }, Some(id(1)));
        Found { at, topic, committed, group: Begun::NotYet, low: 100, high: 200 }
    }

    fn memory(topic: Acquaintance) -> Memory {
        Memory { topic, left: None, copy: None, start: Start::Latest }
    }

    fn decided(found: &Found, memory: &Memory) -> (Place, Option<(Option<i64>, JumpReason)>) {
        let decision = decide(found, memory, time(2 * HOUR));
        (decision.place, decision.jump)
    }

    fn copy(offset: i64) -> CommitCopy {
        CommitCopy { group: "g".into(), offset, near: Some(time(HOUR)), taken: time(0) }
    }

    /// Five minutes before the last record that was read.
    const SINCE: Place = Place::Since(Timestamp::from_millis(HOUR - 300_000));

    #[test]
    fn it_goes_on_at_the_commit_as_long_as_the_log_holds_it() {
        let same = memory(Acquaintance::Same);
        for (commit, place, jump) in [
            (100, Place::Committed, None),
            (200, Place::Committed, None),
            (99, Place::Earliest, Some((Some(99), JumpReason::Retention))),
            (201, SINCE, Some((Some(201), JumpReason::Truncated))),
        ] {
            assert_eq!(decided(&found(Some((commit, Some(1)))), &same), (place, jump), "{commit}");
            assert_eq!(decided(&found(Some((commit, None))), &same), (place, jump), "{commit}, by an older version");
        }
    }

    #[test]
    fn a_commit_without_a_time_that_is_past_the_end_goes_on_at_the_beginning() {
        let mut found = found(Some((900, None)));
        found.committed = Some(Committed { offset: 900, metadata: String::new() });
        let jump = Some((Some(900), JumpReason::Truncated));
        assert_eq!(decided(&found, &memory(Acquaintance::Same)), (Place::Earliest, jump));
    }

    #[test]
    fn no_offset_of_a_topic_that_is_gone_is_believed_though_the_log_holds_it() {
        let jump = |from| Some((from, JumpReason::MadeAnew));
        let anew = memory(Acquaintance::MadeAnew);
        assert_eq!(decided(&found(Some((150, None))), &anew), (SINCE, jump(Some(150))));
        // A commit that was on its way as the topic was made anew; the store has heard of that already.
        assert_eq!(decided(&found(Some((150, Some(7)))), &memory(Acquaintance::Same)), (SINCE, jump(Some(150))));
        let copy = copy(150);
        assert_eq!(decided(&found(None), &Memory { copy: Some(copy), ..anew.clone() }), (SINCE, jump(Some(150))));
        let left = Left { offset: 150, near: Some(time(HOUR)), log: Log::Intact };
        assert_eq!(decided(&found(None), &Memory { left: Some(left), ..anew.clone() }), (SINCE, jump(Some(150))));
        assert_eq!(decided(&found(None), &anew), (Place::Earliest, jump(None)));
        assert_eq!(decided(&found(Some((150, Some(1)))), &anew), (Place::Committed, None), "it was made after");
    }

    #[test]
    fn a_lost_commit_is_made_up_for_by_its_copy() {
        let copy = copy(150);
        let same = Memory { copy: Some(copy), ..memory(Acquaintance::Same) };
        let jump = Some((Some(150), JumpReason::CommitLost));
        assert_eq!(decided(&found(None), &same), (Place::At(150), jump));
        let nameless = Found { topic: None, ..found(None) };
        assert_eq!(decided(&nameless, &same), (SINCE, jump), "it may be another topic by now");
        assert_eq!(decided(&found(Some((170, Some(1)))), &same), (Place::Committed, None));
        let old = Memory { copy: Some(self::copy(5)), ..same.clone() };
        assert_eq!(decided(&found(None), &old), (Place::Earliest, Some((Some(5), JumpReason::Retention))));
    }

    #[test]
    fn what_this_process_left_counts_for_more_than_what_it_committed() {
        let left = |offset, log| Some(Left { offset, near: Some(time(HOUR)), log });
        let of = |left| Memory { left, ..memory(Acquaintance::Same) };
        let committed = found(Some((120, Some(1))));
        assert_eq!(decided(&committed, &of(left(150, Log::Intact))), (Place::At(150), None));
        let cut = Some((Some(150), JumpReason::Truncated));
        assert_eq!(decided(&committed, &of(left(150, Log::Cut))), (SINCE, cut));
        let gone = Some((Some(300), JumpReason::Truncated));
        assert_eq!(decided(&committed, &of(left(300, Log::Intact))), (SINCE, gone), "though 120 is still there");
    }

    #[test]
    fn only_the_first_start_of_a_group_in_a_topic_obeys_kafka_start() {
        assert_eq!(decided(&found(None), &memory(Acquaintance::None)), (Place::Latest, None));
        let earliest = Memory { start: Start::Earliest, ..memory(Acquaintance::None) };
        assert_eq!(decided(&found(None), &earliest), (Place::Earliest, None));
        // Later ones begin at their beginning: the store knows the topic, or the group has commits in it, or it was made
        // while it was waited for.
        let begun = Found { group: Begun::Yes, ..found(None) };
        assert_eq!(decided(&begun, &memory(Acquaintance::None)), (Place::Earliest, None));
        for topic in [Acquaintance::Same, Acquaintance::Born] {
            assert_eq!(decided(&found(None), &memory(topic)), (Place::Earliest, None));
        }
    }
}
