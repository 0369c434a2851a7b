//! What the group asks of its owner: what becomes of open records when partitions go, and where those begin that come.

use crate::kafka::committer::Commit;
use crate::model::jump::JumpReason;
use crate::model::record::TopicPartition;
use crate::model::time::Timestamp;
use crate::model::topic::TopicId;

/// Who owns the group. Called inside a poll or beside it, on the same thread; may block it for as long as a drain takes,
/// well below `max.poll.interval.ms`.
pub trait Owner: Send + Sync {
    /// The partitions are about to be taken away: drain them, and say what to commit of them.
    fn revoke(&self, gone: &[TopicPartition]) -> Vec<Commit>;
    /// The partitions are gone already: nothing of them may be committed (KF-5).
    fn lose(&self, gone: &[TopicPartition]);
    /// Where a partition begins. `None`: that cannot be told now, and is asked again later.
    fn decide(&self, found: &Found) -> Option<Decision>;
    /// These partitions begin here, and what was chosen is committed.
    fn began(&self, placed: &[Placed]);
    /// The commit metadata of a partition that begins at a place we chose; what was written before has this timestamp.
    fn metadata(&self, topic: &str, near: Option<Timestamp>) -> String;
    /// Whose commit it is that carries this metadata, when it is not ours.
    fn stranger(&self, metadata: &str) -> Option<String>;
}

/// What the cluster says of a partition that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The partition.
    pub at: TopicPartition,
    /// What its topic's name stands for now.
    pub topic: Option<TopicId>,
    /// The group's commit.
    pub committed: Option<Committed>,
    /// Whether the group has a commit in any partition of the topic.
    pub group: Begun,
    /// The first offset that the log holds.
    pub low: i64,
    /// The offset after the last.
    pub high: i64,
}

/// A commit as Kafka has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// What stands beside it; empty when nothing readable does.
    pub metadata: String,
}

/// Whether the group has been in a topic before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It has.
    Yes,
    /// It has not, as far as its commits tell.
    NotYet,
}

/// Where a partition begins, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where.
    pub place: Place,
    /// The timestamp of what was written before that place, as far as it is known.
    pub near: Option<Timestamp>,
    /// When it does not go on where it was left: where that was, and why.
    pub jump: Option<(Option<i64>, JumpReason)>,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the group's commit stands.
    Committed,
    /// At this offset.
    At(i64),
    /// At the first record that is not older; when there is none, at the beginning.
    Since(Timestamp),
    /// At the beginning of what is there.
    Earliest,
    /// Behind all that is there.
    Latest,
}

/// A partition that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub at: TopicPartition,
    /// What its topic's name stands for.
    pub topic: Option<TopicId>,
    /// The next offset to read.
    pub offset: i64,
    /// The first offset that the log holds.
    pub low: i64,
    /// The offset after the last.
    pub high: i64,
    /// Where and why it was decided to be.
    pub decision: Decision,
}
