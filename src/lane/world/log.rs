//! The log, the store and the receiver that a lane is tested with.

use crate::lane::settings::{BreakerSettings, DeliverySettings};
use crate::lane::signal::{AttemptId, Change, Write};
use crate::lane::state::Lane;
use crate::model::cursor::{CursorKey, CursorRow};
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::id::{EventId, Sid};
use crate::model::outcome::{Answer, FailureCause, Outcome, RetryAfter};
use crate::model::record::{Origin, TopicPartition};
use crate::model::subscription::{Batching, OnBlocked, Ordering, Retry};
use crate::model::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const QUEUE: usize = 3;
pub(crate) const SLOTS: u16 = 3;
pub(crate) const ROWS: usize = 4;
pub(crate) const GROUP: usize = 5;
pub(crate) const LETTERS: u64 = 3;

/// One step of a schedule.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Admit(usize),
    Start,
    /// The receiver takes an attempt; the lane does not know yet.
    Accept(usize),
    Finish(usize, u8),
    /// An attempt ends that was cut off long ago.
    Late(usize, u8),
    Wait(u32),
    /// After a tick and a flush nothing is open for longer than `settle_within`.
    Settle,
    Flush(usize),
    Commit(usize),
    Scan(usize, usize),
    Strand(usize),
    Join(usize),
    Kill(usize),
    Stop(usize),
    Close(usize),
    Lose(usize),
    Pause,
    Resume,
    Shed,
    /// All dead letters are removed.
    Forget,
    /// All ledgers together are full.
    Confine,
    Reorder,
    Replay(usize, i64, i64),
}

/// A partition of the log, and how far intake is.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Record by record the ordering keys of what it holds for the subscription; 0: no key.
    pub(crate) log: Vec<Vec<u8>>,
    pub(crate) epoch: u64,
    pub(crate) position: i64,
    pub(crate) committed: i64,
    pub(crate) open: BTreeMap<i64, u32>,
    pub(crate) admitted: BTreeMap<i64, Timestamp>,
    pub(crate) stopped: bool,
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    pub(crate) rows: BTreeMap<LedgerKey, LedgerHead>,
    pub(crate) cursors: BTreeMap<CursorKey, CursorRow>,
    pub(crate) dead: BTreeSet<LedgerKey>,
}

/// An attempt that is out.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) attempt: AttemptId,
    pub(crate) keys: Vec<LedgerKey>,
    pub(crate) accepted: bool,
    pub(crate) bury: bool,
}

pub(crate) fn sid() -> Sid {
    Sid::from_bytes([7; 16])
}

pub(crate) fn at(partition: usize) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition: partition as i32 }
}

pub(crate) fn event(partition: usize, offset: i64, (ord, key): (u32, u8)) -> Arc<Emitted> {
    let timestamp = Timestamp::from_millis(offset);
    let origin = Origin { topic: "t".into(), partition: partition as i32, offset, timestamp };
    Arc::new(Emitted::new(IntegrationEvent {
        id: EventId::derive(&origin, "m", ord),
        origin,
        mapping: "m".into(),
        ord,
        source: "/s".into(),
        event_type: "e".into(),
        subject: None,
        time: timestamp,
        tenant: None,
        key: (key > 0).then(|| key.to_string()),
        traceparent: None,
        extensions: Vec::new(),
        data: serde_json::Value::Null,
    }))
}

pub(crate) fn status(status: u16, retry_after: RetryAfter) -> Outcome {
    Outcome::Answered(Answer { status, retry_after, head: bytes::Bytes::new() })
}

pub(crate) fn outcome(what: u8) -> Outcome {
    match what % 16 {
        0..=7 => status(204, RetryAfter::Absent),
        8..=11 => status(500, RetryAfter::Absent),
        12 => status(429, RetryAfter::Seconds(Duration::from_secs(3))),
        13 => status(413, RetryAfter::Absent),
        14 => Outcome::Failed { cause: FailureCause::Timeout, detail: String::new() },
        _ => status(410, RetryAfter::Absent),
    }
}

/// Settings with small bounds; `variant` tries what may be combined.
pub(crate) fn settings(ordering: Ordering, variant: u8) -> DeliverySettings {
    let seconds = Duration::from_secs;
    let retry = Retry { schedule: vec![seconds(2), seconds(8)], max_age: seconds(600), jitter: 0.2 };
    let batch = Batching { max_events: 3, max_bytes: 1_000, max_wait: seconds(1) };
    DeliverySettings {
        retry,
        ordering,
        queue: QUEUE,
        concurrency: SLOTS,
        ledger_rows: ROWS,
        dead_letter_rows: LETTERS,
        batch: (variant & 1 == 1).then_some(batch),
        on_blocked: if variant & 2 == 2 { OnBlocked::DeadLetter } else { OnBlocked::Wait },
        per_minute: (variant & 4 == 4).then_some(120),
        breaker: BreakerSettings { consecutive: 3, ..BreakerSettings::default() },
        ..DeliverySettings::default()
    }
}

pub(crate) fn turn_order(lane: &Lane) -> DeliverySettings {
    let now = lane.changing.as_ref().map_or(lane.settings.ordering, |changing| changing.ordering);
    let ordering = if now == Ordering::Key { Ordering::None } else { Ordering::Key };
    DeliverySettings { ordering, ..lane.settings.clone() }
}

impl Image {
    pub(crate) fn take(&mut self, write: &Write) {
        for change in &write.changes {
            match change {
                Change::Park(key, head, _) => {
                    self.rows.insert(key.clone(), head.clone());
                }
                Change::Head(key, head) => {
                    assert!(self.rows.insert(key.clone(), head.clone()).is_some(), "a head without its body");
                }
                Change::Unpark(key, _) => {
                    self.rows.remove(key);
                }
                Change::Dead(key, ..) => {
                    self.rows.remove(key);
                    self.dead.insert(key.clone());
                }
                Change::Cursor(key, row) => {
                    self.cursors.insert(key.clone(), *row);
                }
                Change::DropCursor(key) => {
                    self.cursors.remove(key);
                }
                Change::Lost(_) => {}
            }
        }
    }
}
