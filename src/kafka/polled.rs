//! What a poll brings, and what librdkafka reports of the cluster.

use crate::kafka::committer::Commit;
use crate::kafka::owner::Placed;
use crate::model::record::{Record, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// What a poll brought.
#[derive(Debug)]
pub enum Polled {
    /// A record.
    Record(Record),
    /// Partitions that are ours now, and where each begins. Others may be ours and have no place yet:
    /// [`crate::kafka::group::Group::assigned`], [`crate::kafka::group::Group::place`].
    Assigned(Vec<Placed>),
    /// Partitions whose commits are another owner's, and who that is: they are not read.
    Refused(Vec<TopicPartition>, String),
    /// Partitions that are not ours any more; [`crate::kafka::owner::Owner`] was asked before.
    Revoked(Vec<TopicPartition>),
    /// The broker acknowledged these commits.
    Committed(Vec<Commit>),
    /// A commit was not acknowledged, and why; nothing of it counts.
    NotCommitted(String),
    /// A position is not in the log any more, or the log was cut below it; librdkafka does not say which.
    OutOfRange,
    /// Something a poll cannot mend; librdkafka goes on trying.
    Trouble(String),
    /// Another process joined the group under this member's id; this one is out for good.
    Fenced,
}

/// What librdkafka last reported of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Whether some broker is connected; `None` before the first report.
    pub connected: Option<bool>,
    /// The end of the log by partition.
    pub ends: BTreeMap<(String, i32), i64>,
    /// Partitions that it has given up fetching.
    pub given_up: BTreeSet<(String, i32)>,
    /// How many reports there were.
    pub reports: u64,
}
