//! Changes that become durable together, or not at all.
//!
//! Bodies are encoded when they are added, so that whoever adds one knows its length; keys when the batch is
//! written, because a topic's number may have to be made first.

use crate::model::cursor::{CommitCopy, CursorKey, CursorRow};
use crate::model::dead_letter::{DeadLetter, DeadRange};
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::IntegrationEvent;
use crate::model::id::Sid;
use crate::model::operational::Operational;
use crate::model::quarantine::Quarantined;
use crate::model::record::TopicPartition;
use crate::model::replay::Replay;
use crate::model::time::Timestamp;
use crate::model::topic::TopicId;
use crate::model::weight::Weight;
use crate::store::engine::{Op, Tree};
use crate::store::error::StoreError;
use crate::store::key::{self, COMMIT, DEAD, DEAD_BODY, LEDGER_BODY, QUARANTINE, QUARANTINE_BODY};
use crate::store::outages;
use crate::store::outbox;
use crate::store::quarantine::{QuarantineForm, RecordForm};
use crate::store::replays;
use crate::store::row::{self, CommitForm, CursorForm, DeadForm, EventForm, HeadForm, RangeForm};
use crate::store::topics::Numbers;
use std::sync::Arc;

/// Bytes of one chunk: far below what sled would put into files that it never syncs.
pub(crate) const CHUNK: usize = 48 << 10;

/// Changes of delivery state and configuration rows.
#[derive(Debug, Default)]
pub struct Batch(Vec<Change>);

#[derive(Debug)]
enum Change {
    Park { key: LedgerKey, head: LedgerHead, body: Vec<u8> },
    Head { key: LedgerKey, head: LedgerHead },
    Unpark { key: LedgerKey, body_len: u32 },
    Dead { letter: Box<DeadLetter>, body: Vec<u8> },
    DropDead { letter: Box<DeadLetter>, body_len: u32 },
    DropRange { range: DeadRange },
    Quarantine { row: Box<Quarantined>, body: Vec<u8> },
    DropQuarantined { row: Box<Quarantined>, body_len: u32 },
    Cursor { key: CursorKey, row: CursorRow },
    DropCursor { key: CursorKey },
    Range { range: DeadRange },
    Commit { at: TopicPartition, copy: CommitCopy },
    Topic { topic: Arc<str>, id: TopicId },
    Raw(Tree, Op),
}

// === impl Batch ===

impl Batch {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new ledger row; gives the bytes of its event as stored, which the head should carry from now on.
    pub fn park(&mut self, key: &LedgerKey, head: &LedgerHead, event: &IntegrationEvent) -> u32 {
        let body = row::write(&EventForm::of(event));
        let body_len = len(&body);
        let head = LedgerHead { body_len, ..head.clone() };
        self.0.push(Change::Park { key: key.clone(), head, body });
        body_len
    }

    /// A ledger row has a new head; its event stays.
    pub fn head(&mut self, key: &LedgerKey, head: &LedgerHead) {
        self.0.push(Change::Head { key: key.clone(), head: head.clone() });
    }

    /// A ledger row goes, with its event of `body_len` bytes.
    pub fn unpark(&mut self, key: &LedgerKey, body_len: u32) {
        self.0.push(Change::Unpark { key: key.clone(), body_len });
    }

    /// A dead letter; gives what it weighs.
    pub fn dead_letter(&mut self, letter: &DeadLetter) -> Weight {
        let body = row::write(&EventForm::of(&letter.event));
        let weight = Weight::of(len(&body));
        self.0.push(Change::Dead { letter: Box::new(letter.clone()), body });
        weight
    }

    /// A dead letter goes: it is sent again, or forgotten. Gives what it weighed.
    pub fn drop_dead_letter(&mut self, letter: &DeadLetter) -> Weight {
        let body_len = len(&row::write(&EventForm::of(&letter.event)));
        self.0.push(Change::DropDead { letter: Box::new(letter.clone()), body_len });
        Weight::of(body_len)
    }

    /// A lost range is forgotten.
    pub fn drop_lost(&mut self, range: &DeadRange) {
        self.0.push(Change::DropRange { range: range.clone() });
    }

    /// A cursor is this from now on.
    pub fn cursor(&mut self, key: &CursorKey, row: &CursorRow) {
        self.0.push(Change::Cursor { key: key.clone(), row: *row });
    }

    /// A cursor goes.
    pub fn drop_cursor(&mut self, key: &CursorKey) {
        self.0.push(Change::DropCursor { key: key.clone() });
    }

    /// Retention took a range before its cursor came to it.
    pub fn lost(&mut self, range: &DeadRange) {
        self.0.push(Change::Range { range: range.clone() });
    }

    /// A copy of the group's commit; an older one is replaced.
    pub fn commit(&mut self, at: &TopicPartition, copy: CommitCopy) {
        self.0.push(Change::Commit { at: at.clone(), copy });
    }

    /// This is what a topic's name stands for. When it was another topic before, that one keeps its number and its
    /// rows under the name that [`crate::store::topics::retired`] gives, and the new one begins without any.
    pub(crate) fn topic(&mut self, topic: &Arc<str>, id: TopicId) {
        self.0.push(Change::Topic { topic: Arc::clone(topic), id });
    }

    /// A quarantined record; one row per (record, mapping), an older one is replaced. Gives what it weighs.
    pub fn quarantine(&mut self, row: &Quarantined) -> Weight {
        let body = row::write(&RecordForm::of(&row.record));
        let weight = Weight::of(len(&body));
        self.0.push(Change::Quarantine { row: Box::new(row.clone()), body });
        weight
    }

    /// A record leaves the quarantine. Gives what it weighed.
    pub fn drop_quarantined(&mut self, row: &Quarantined) -> Weight {
        let body_len = len(&row::write(&RecordForm::of(&row.record)));
        self.0.push(Change::DropQuarantined { row: Box::new(row.clone()), body_len });
        Weight::of(body_len)
    }

    /// The endpoint of `sid` fails since then; `None`: it does not any more.
    pub fn outage(&mut self, sid: Sid, since: Option<Timestamp>) {
        self.raw(Tree::State, outages::write(sid, since));
    }

    /// An operational event waits until it is owed.
    pub fn operational(&mut self, event: &Operational) {
        self.raw(Tree::State, outbox::put(event));
    }

    /// An operational event is owed to whoever asked for it, and waits no more.
    pub fn drop_operational(&mut self, event: &Operational) {
        self.raw(Tree::State, outbox::delete(event));
    }

    /// What a replay was asked for.
    pub fn replay(&mut self, replay: &Replay) {
        self.raw(Tree::Config, Op::Put(replays::key(replay), replays::write(replay)));
    }

    /// A replay is forgotten.
    pub fn drop_replay(&mut self, replay: &Replay) {
        self.raw(Tree::Config, Op::Delete(replays::key(replay)));
    }

    /// A row as bytes.
    pub(crate) fn raw(&mut self, tree: Tree, op: Op) {
        self.0.push(Change::Raw(tree, op));
    }

    /// The changes by tree, in their order.
    pub(crate) fn encode(self, numbers: &Numbers<'_>, out: &mut Vec<(Tree, Op)>) -> Result<(), StoreError> {
        for change in self.0 {
            encode(change, numbers, out)?;
        }
        Ok(())
    }
}

fn encode(change: Change, numbers: &Numbers<'_>, out: &mut Vec<(Tree, Op)>) -> Result<(), StoreError> {
    let mut put = |key: Vec<u8>, value: Vec<u8>| out.push((Tree::State, Op::Put(key, value)));
    match change {
        Change::Park { key, head, body } => {
            let at = key::ledger(&key, numbers.of(&key.at.topic)?);
            put_row((at, row::write(&HeadForm::of(&head))), (LEDGER_BODY, &body), out);
        }
        Change::Head { key, head } => {
            put(key::ledger(&key, numbers.of(&key.at.topic)?), row::write(&HeadForm::of(&head)));
        }
        Change::Unpark { key, body_len } => {
            let at = key::ledger(&key, numbers.of(&key.at.topic)?);
            drop_row(at, (LEDGER_BODY, body_len), out);
        }
        Change::Dead { letter, body } => {
            let at = dead(&letter, numbers.of(&letter.event.origin.topic)?);
            debug_assert_eq!(at[0], DEAD);
            put_row((at, row::write(&DeadForm::of(&letter, len(&body)))), (DEAD_BODY, &body), out);
        }
        Change::DropDead { letter, body_len } => {
            let numbers = numbers.topics.ever(&letter.event.origin.topic).into_iter();
            numbers.for_each(|number| drop_row(dead(&letter, number), (DEAD_BODY, body_len), out));
        }
        Change::DropRange { range } => {
            let numbers = numbers.topics.ever(&range.at.topic).into_iter();
            out.extend(numbers.map(|number| (Tree::State, Op::Delete(key::range(&range, number)))));
        }
        Change::Quarantine { row, body } => {
            let at = quarantined(&row, numbers)?;
            debug_assert_eq!(at[0], QUARANTINE);
            put_row((at, row::write(&QuarantineForm::of(&row, len(&body)))), (QUARANTINE_BODY, &body), out);
        }
        Change::DropQuarantined { row, body_len } => {
            drop_row(quarantined(&row, numbers)?, (QUARANTINE_BODY, body_len), out);
        }
        Change::Cursor { key, row } => {
            put(key::cursor(&key, numbers.of(&key.at.topic)?), row::write(&CursorForm::of(&row)));
        }
        Change::DropCursor { key } => {
            out.push((Tree::State, Op::Delete(key::cursor(&key, numbers.of(&key.at.topic)?))));
        }
        Change::Range { range } => {
            put(key::range(&range, numbers.of(&range.at.topic)?), row::write(&RangeForm { to: range.to }));
        }
        Change::Commit { at, copy } => {
            let number = numbers.of(&at.topic)?;
            put(key::of_partition(COMMIT, number, at.partition), row::write(&CommitForm::of(&copy)));
        }
        Change::Topic { topic, id } => numbers.know(&topic, id)?,
        Change::Raw(tree, op) => out.push((tree, op)),
    }
    Ok(())
}

/// The key of a dead letter; `topic` is its topic's number.
fn dead(letter: &DeadLetter, topic: u32) -> Vec<u8> {
    let event = &letter.event;
    key::dead(letter.sid, letter.died.as_millis(), (topic, &event.origin), (event.ord, event.id))
}

/// The key of a quarantined record: of the topic that it came from, which may have been made anew since, when it is there
/// already.
fn quarantined(row: &Quarantined, numbers: &Numbers<'_>) -> Result<Vec<u8>, StoreError> {
    let (origin, mapping) = (&row.record.origin, row.fault.mapping.as_deref().unwrap_or_default());
    for number in numbers.topics.ever(&origin.topic) {
        let key = key::quarantine(number, origin, mapping);
        let there = numbers.engine.get(Tree::State, &key)?;
        let there = there.map(|value| row::read::<QuarantineForm>(&key, &value)).transpose()?;
        if there.is_some_and(|form| form.is_of(row.at)) {
            return Ok(key);
        }
    }
    Ok(key::quarantine(numbers.of(&origin.topic)?, origin, mapping))
}

/// A head comes with its body, in chunks.
fn put_row((at, head): (Vec<u8>, Vec<u8>), (kind, body): (u8, &[u8]), out: &mut Vec<(Tree, Op)>) {
    for (number, chunk) in (0u16..).zip(body.chunks(CHUNK)) {
        out.push((Tree::State, Op::Put(key::chunk(&at, kind, number), chunk.to_vec())));
    }
    out.push((Tree::State, Op::Put(at, head)));
}

/// A head goes with its chunks.
fn drop_row(head: Vec<u8>, (kind, body_len): (u8, u32), out: &mut Vec<(Tree, Op)>) {
    for number in 0..chunks(body_len) {
        out.push((Tree::State, Op::Delete(key::chunk(&head, kind, number))));
    }
    out.push((Tree::State, Op::Delete(head)));
}

/// How many chunks a body of this length has.
pub(crate) fn chunks(body_len: u32) -> u16 {
    u16::try_from((body_len as usize).div_ceil(CHUNK)).unwrap_or(u16::MAX)
}

fn len(body: &[u8]) -> u32 {
    u32::try_from(body.len()).unwrap_or(u32::MAX)
}
