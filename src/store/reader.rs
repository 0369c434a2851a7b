//! Reads delivery rows: ledger, dead letters, quarantine; a head, then its body chunk by chunk.

use crate::model::cursor::{CommitCopy, CursorKey, CursorRow};
use crate::model::dead_letter::{DeadLetter, DeadRange};
use crate::model::delivery::{LedgerHead, LedgerKey};
use crate::model::event::IntegrationEvent;
use crate::model::id::Sid;
use crate::model::quarantine::{Filter, Owed, Quarantined};
use crate::model::record::{Origin, TopicPartition};
use crate::model::weight::Weight;
use crate::store::batch::{self, Batch};
use crate::store::engine::{self, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::key::{
    self, COMMIT, CURSOR, DEAD, DEAD_BODY, FAILING, LEDGER, LEDGER_BODY, QUARANTINE, QUARANTINE_BODY, RANGE,
};
use crate::store::outages;
use crate::store::quarantine::{QuarantineForm, RecordForm};
use crate::store::replays::{self, REPLAY};
use crate::store::row::{self, CommitForm, CursorForm, DeadForm, EventForm, HeadForm, RangeForm};
use crate::store::topics::{self, Topics};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Reads rows of the tree `state`. Every call blocks.
pub(crate) struct Reader {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) topics: Topics,
}

// === impl Reader ===

impl Reader {
    /// The ledger heads of one partition, or all.
    pub(crate) fn ledger_heads(&self, of: Option<&TopicPartition>) -> Result<Vec<(LedgerKey, LedgerHead)>, StoreError> {
        let topics = self.topics.names();
        let mut rows = Vec::new();
        let Some(prefix) = self.prefix(LEDGER, of) else { return Ok(rows) };
        self.each(&prefix, |key, value| {
            let topic = key::ledger_topic(key).and_then(|number| topics.get(&number));
            let at = topic.and_then(|topic| key::read_ledger(key, Arc::clone(topic)));
            let at = at.ok_or_else(|| StoreError::row(key, "it is no ledger key of ours"))?;
            rows.push((at, row::read::<HeadForm>(key, value)?.into_head()));
            Ok(())
        })?;
        Ok(rows)
    }

    /// The partitions with ledger rows.
    pub(crate) fn owing(&self) -> Result<Vec<TopicPartition>, StoreError> {
        let (topics, mut all, mut after) = (self.topics.names(), Vec::new(), Vec::new());
        loop {
            let mut next = None;
            self.page(&[LEDGER], &after, 1, |key, _| {
                next = key::ledger_topic(key).zip(key::ledger_partition(key));
                Ok(())
            })?;
            let Some((number, partition)) = next else { return Ok(all) };
            if let Some(topic) = topics.get(&number) {
                all.push(TopicPartition { topic: Arc::clone(topic), partition });
            }
            after = key::of_partition(LEDGER, number, partition);
            after.resize(key::LEDGER_LENGTH, u8::MAX); // behind the last row that the partition can have
        }
    }

    /// The copy of the commit of a partition.
    pub(crate) fn commit(&self, at: &TopicPartition) -> Result<Option<CommitCopy>, StoreError> {
        let Some(key) = self.prefix(COMMIT, Some(at)) else { return Ok(None) };
        let value = self.engine.get(Tree::State, &key)?;
        value.map(|value| row::read::<CommitForm>(&key, &value).map(CommitForm::into_copy)).transpose()
    }

    /// Whether there is a copy of a commit of `group` in a topic, or in one that had its name before.
    pub(crate) fn has_begun(&self, group: &str, topic: &str) -> Result<bool, StoreError> {
        let mut begun = false;
        for number in self.topics.ever(topic) {
            engine::each_row(&*self.engine, (Tree::State, &key::of_topic(COMMIT, number)), &[], |key, value| {
                begun = *row::read::<CommitForm>(key, value)?.into_copy().group == *group;
                Ok(if begun { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if begun {
                break;
            }
        }
        Ok(begun)
    }

    /// The cursors on all partitions of a topic.
    pub(crate) fn cursors_of_topic(&self, topic: &str) -> Result<Vec<(CursorKey, CursorRow)>, StoreError> {
        let number = self.topics.find(topic);
        number.map_or(Ok(Vec::new()), |number| self.cursors_below(&key::of_topic(CURSOR, number)))
    }

    /// The cursors on one partition, or all.
    pub(crate) fn cursors(&self, of: Option<&TopicPartition>) -> Result<Vec<(CursorKey, CursorRow)>, StoreError> {
        self.prefix(CURSOR, of).map_or(Ok(Vec::new()), |prefix| self.cursors_below(&prefix))
    }

    fn cursors_below(&self, prefix: &[u8]) -> Result<Vec<(CursorKey, CursorRow)>, StoreError> {
        let topics = self.topics.names();
        let mut rows = Vec::new();
        self.each(prefix, |key, value| {
            let topic = key::ledger_topic(key).and_then(|number| topics.get(&number));
            let at = topic.and_then(|topic| key::read_cursor(key, Arc::clone(topic)));
            let at = at.ok_or_else(|| StoreError::row(key, "it is no cursor's key of ours"))?;
            rows.push((at, row::read::<CursorForm>(key, value)?.into_row(key)?));
            Ok(())
        })?;
        Ok(rows)
    }

    pub(crate) fn lost(&self, sid: Sid) -> Result<Vec<DeadRange>, StoreError> {
        let names = self.topics.names();
        let mut ranges = Vec::new();
        self.each(&key::range_of(sid), |key, value| {
            let topic = key::range_topic(key).and_then(|number| names.get(&number));
            let to = row::read::<RangeForm>(key, value)?.to;
            let topic = topic.map(|name| topics::once(name).map_or_else(|| Arc::clone(name), Arc::from));
            let range = topic.and_then(|topic| key::read_range(key, topic, to));
            ranges.push(range.ok_or_else(|| StoreError::row(key, "it is no range of ours"))?);
            Ok(())
        })?;
        Ok(ranges)
    }

    /// What the keys of a kind begin with, on one partition or all; `None`: a topic without any row.
    fn prefix(&self, kind: u8, of: Option<&TopicPartition>) -> Option<Vec<u8>> {
        let Some(of) = of else { return Some(vec![kind]) };
        Some(key::of_partition(kind, self.topics.find(&of.topic)?, of.partition))
    }

    pub(crate) fn ledger_event(&self, at: &LedgerKey) -> Result<Option<IntegrationEvent>, StoreError> {
        let Some(number) = self.topics.find(&at.at.topic) else { return Ok(None) };
        let key = key::ledger(at, number);
        let Some(head) = self.engine.get(Tree::State, &key)? else { return Ok(None) };
        let head = row::read::<HeadForm>(&key, &head)?.into_head();
        let body = self.body(&key, LEDGER_BODY, head.body_len)?;
        row::read::<EventForm>(&key, &body)?.into_event(&key).map(Some)
    }

    pub(crate) fn dead_letters(
        &self,
        sid: Option<Sid>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, DeadLetter)>, StoreError> {
        let prefix = sid.map_or(vec![DEAD], key::dead_of);
        let after = after.and_then(|id| key::from_id("dead_", DEAD, id)).unwrap_or_default();
        let mut letters = Vec::new();
        self.page(&prefix, &after, limit, |key, value| {
            letters.push((key::to_id("dead_", key), self.read_dead(key, value)?));
            Ok(())
        })?;
        Ok(letters)
    }

    pub(crate) fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        let Some(key) = key::from_id("dead_", DEAD, id) else { return Ok(None) };
        let value = self.engine.get(Tree::State, &key)?;
        value.map(|value| self.read_dead(&key, &value)).transpose()
    }

    /// The ids of the rows that fit, without reading their records.
    pub(crate) fn quarantine_ids(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (topics, mut ids) = (self.topics.names(), Vec::new());
        let after = after.and_then(|id| key::from_id("quar_", QUARANTINE, id)).unwrap_or_default();
        engine::each_row(&*self.engine, (Tree::State, &[QUARANTINE]), &after, |key, value| {
            if ids.len() == limit {
                return Ok(ControlFlow::Break(()));
            }
            let topic = key::ledger_topic(key).and_then(|number| topics.get(&number)).map_or("", |topic| topic);
            if filter.fits(topic, &row::read::<QuarantineForm>(key, value)?.into_fault(key)?) {
                ids.push(key::to_id("quar_", key));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }

    pub(crate) fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>, StoreError> {
        let Some(key) = key::from_id("quar_", QUARANTINE, id) else { return Ok(None) };
        let value = self.engine.get(Tree::State, &key)?;
        value.map(|value| self.read_quarantined(&key, &value)).transpose()
    }

    /// Whom the row of this record and mapping is owed to, and what it weighs; `None` when there is none.
    pub(crate) fn quarantine_head(&self, origin: &Origin, mapping: &str) -> Result<Option<(Owed, Weight)>, StoreError> {
        let Some(number) = self.topics.find(&origin.topic) else { return Ok(None) };
        let key = key::quarantine(number, origin, mapping);
        let Some(value) = self.engine.get(Tree::State, &key)? else { return Ok(None) };
        let form: QuarantineForm = row::read(&key, &value)?;
        Ok(Some((form.owed(&key)?, Weight::of(form.body_len))))
    }

    /// What all quarantined records weigh.
    pub(crate) fn quarantine_weight(&self) -> Result<Weight, StoreError> {
        let mut all = Weight::default();
        self.each(&[QUARANTINE], |key, value| {
            all += Weight::of(row::read::<QuarantineForm>(key, value)?.body_len);
            Ok(())
        })?;
        Ok(all)
    }

    /// What the dead letters of each subscription weigh.
    pub(crate) fn dead_weights(&self) -> Result<HashMap<Sid, Weight>, StoreError> {
        let mut all: HashMap<Sid, Weight> = HashMap::new();
        self.each(&[DEAD], |key, value| {
            let (sid, _) = key::read_dead(key).ok_or_else(|| StoreError::row(key, "it is no dead letter of ours"))?;
            *all.entry(sid).or_default() += Weight::of(row::read::<DeadForm>(key, value)?.body_len);
            Ok(())
        })?;
        Ok(all)
    }

    /// What removes the ledger rows, cursors and dead letters of the subscriptions that are gone.
    pub(crate) fn purge(&self, gone: impl Fn(Sid) -> bool) -> Result<Batch, StoreError> {
        let mut batch = Batch::new();
        let mut drop_row = |key: &[u8], kind: u8, body_len: u32| {
            for number in 0..batch::chunks(body_len) {
                batch.raw(Tree::State, Op::Delete(key::chunk(key, kind, number)));
            }
            batch.raw(Tree::State, Op::Delete(key.to_vec()));
        };
        self.each(&[LEDGER], |key, value| {
            if key::ledger_sid(key).is_some_and(&gone) {
                drop_row(key, LEDGER_BODY, row::read::<HeadForm>(key, value)?.into_head().body_len);
            }
            Ok(())
        })?;
        self.each(&[DEAD], |key, value| {
            if key::read_dead(key).is_some_and(|(sid, _)| gone(sid)) {
                drop_row(key, DEAD_BODY, row::read::<DeadForm>(key, value)?.body_len);
            }
            Ok(())
        })?;
        let mut others = Vec::new();
        self.each(&[CURSOR], |key, _| {
            others.extend(key::cursor_sid(key).is_some_and(&gone).then(|| key.to_vec()));
            Ok(())
        })?;
        self.each(&[RANGE], |key, _| {
            others.extend(key::read_dead(key).is_some_and(|(sid, _)| gone(sid)).then(|| key.to_vec()));
            Ok(())
        })?;
        self.each(&[FAILING], |key, _| {
            others.extend(outages::sid_of(key).is_some_and(&gone).then(|| key.to_vec()));
            Ok(())
        })?;
        others.into_iter().for_each(|key| batch.raw(Tree::State, Op::Delete(key)));
        engine::each_row(&*self.engine, (Tree::Config, REPLAY), &[], |key, _| {
            if replays::sid_of(key).is_some_and(&gone) {
                batch.raw(Tree::Config, Op::Delete(key.to_vec()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(batch)
    }

    pub(crate) fn read_dead(&self, key: &[u8], value: &[u8]) -> Result<DeadLetter, StoreError> {
        let who = key::read_dead(key).ok_or_else(|| StoreError::row(key, "it is no dead letter of ours"))?;
        let form: DeadForm = row::read(key, value)?;
        let event = self.body(key, DEAD_BODY, form.body_len)?;
        form.into_letter(key, who, row::read::<EventForm>(key, &event)?.into_event(key)?)
    }

    pub(crate) fn read_quarantined(&self, key: &[u8], value: &[u8]) -> Result<Quarantined, StoreError> {
        let form: QuarantineForm = row::read(key, value)?;
        let record = self.body(key, QUARANTINE_BODY, form.body_len)?;
        form.into_row(key, row::read::<RecordForm>(key, &record)?.into_record(key)?)
    }

    pub(crate) fn body(&self, head: &[u8], kind: u8, len: u32) -> Result<Vec<u8>, StoreError> {
        let mut body = Vec::with_capacity(len as usize);
        for number in 0..batch::chunks(len) {
            let chunk = self.engine.get(Tree::State, &key::chunk(head, kind, number))?;
            body.extend(chunk.ok_or_else(|| StoreError::row(head, format!("chunk {number} is missing")))?);
        }
        Ok(body)
    }

    fn page(
        &self,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
        mut row: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut left = limit;
        engine::each_row(&*self.engine, (Tree::State, prefix), after, |key, value| {
            if left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            left -= 1;
            row(key, value).map(ControlFlow::Continue)
        })
    }

    fn each(
        &self,
        prefix: &[u8],
        mut row: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let row = |key: &[u8], value: &[u8]| row(key, value).map(ControlFlow::Continue);
        engine::each_row(&*self.engine, (Tree::State, prefix), &[], row)
    }
}
