//! How Kafka is, in a sentence for people, and how far a partition is.

use crate::model::jump::Jump;
use crate::progress::gate::Reason;
use crate::progress::partition::Progress;
use crate::runtime::status::{Health, PartitionReport};
use std::time::Duration;

/// How long without any broker until readiness says so.
pub(crate) const AWAY: Duration = Duration::from_secs(10);

/// How it is: `connected` as far as librdkafka knows, with so many partitions, last heard of before so long.
pub(crate) fn health(connected: Option<bool>, assigned: usize, silence: Duration) -> Health {
    match (connected, assigned) {
        (Some(true), 1..) => Health::Good,
        (Some(true), 0) => Health::Bad("no partition is assigned: do the topics exist?".into()),
        (_, 1..) if silence < AWAY => Health::Good,
        _ => Health::Bad("no broker answers".into()),
    }
}

/// How far a partition is, and why it is `paused`; the log ends at `end` when last heard of.
pub(crate) fn report(
    progress: &Progress,
    end: Option<i64>,
    (paused, jump): (Option<Reason>, Option<Jump>),
) -> PartitionReport {
    PartitionReport {
        jump,
        position: progress.position(),
        watermark: progress.watermark(),
        end: end.map(|end| end.max(progress.position())),
        unsettled: progress.unsettled(),
        oldest: progress.oldest(),
        paused: paused.map(Reason::as_str),
    }
}
