//! Where intake takes over from readers, and what lanes hear of commits: a cursor that says no more than the commit
//! does goes (protocol T9).
//!
//! A lane must hear of every commit that it could wait for, also of one that was acknowledged before it began to wait:
//! there may never be another.

use crate::intake::commit::Commits;
use crate::kafka::committer::Commit;
use crate::model::record::TopicPartition;
use crate::runtime::fault;
use crate::subscriptions::Directory;
use tracing::debug;

/// Names the offsets where intake takes over from readers. Comes between two records: what is below the position was
/// offered, what is at or above it was not.
pub(crate) fn answer(directory: &Directory, commits: &Commits) {
    for (cell, at) in directory.hands().readers.joins() {
        if let Some(position) = directory.hands().partitions.with(&at, |progress| progress.position()) {
            fault::point("join.before");
            cell.act(|lane, turn| {
                let joined = lane.join(&at, position, turn);
                debug!(subscription = %cell.sid, partition = at.partition, position, ?joined, "join");
                if let Some(offset) = commits.last(&at) {
                    lane.committed(&at, offset, turn);
                }
            });
            fault::point("join.after");
        }
    }
}

/// A partition begins where the group's commit stands.
pub(crate) fn begun(directory: &Directory, commits: &Commits, at: &TopicPartition) {
    let Some(offset) = commits.last(at) else { return };
    for cell in directory.hands().readers.with_cursors() {
        cell.act(|lane, turn| lane.committed(at, offset, turn));
    }
}

/// The broker has these commits.
pub(crate) fn committed(directory: &Directory, commits: &[Commit]) {
    let readers = &directory.hands().readers;
    for cell in readers.with_cursors() {
        cell.act(|lane, turn| {
            commits.iter().for_each(|commit| lane.committed(&commit.at, commit.offset, turn));
            if lane.cursors().next().is_none() {
                readers.without_cursor(cell.sid);
            }
        });
    }
}
