//! The forms of rows: a version byte, then JSON. Old forms stay readable; a row of an unknown form is an error
//! that names its key, never a guess.

use crate::model::cursor::{BehindReason, CommitCopy, CursorMode, CursorRow};
use crate::model::dead_letter::{DeadLetter, DeadReason};
use crate::model::delivery::LedgerHead;
use crate::model::event::IntegrationEvent;
use crate::model::id::{EventId, Sid};
use crate::model::outcome::{Answer, FailureCause, Outcome, RetryAfter};
use crate::model::record::Origin;
use crate::model::time::Timestamp;
use crate::model::trace::Parent;
use crate::store::error::StoreError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// The version of every form in this file.
pub(crate) const VERSION: u8 = 1;

/// Writes a form behind its version byte.
pub(crate) fn write(form: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, form).expect("these forms have text keys, and a Vec takes all bytes");
    bytes
}

/// Reads a form behind its version byte; `key` is for the error.
pub(crate) fn read<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StoreError> {
    match value.split_first() {
        Some((&VERSION, json)) => {
            // What was written can be read: an event may be nested deeper than the payload that it was mapped from.
            let mut json = serde_json::Deserializer::from_slice(json);
            json.disable_recursion_limit();
            let form = T::deserialize(&mut json).and_then(|form| json.end().map(|()| form));
            form.map_err(|error| StoreError::row(key, error))
        }
        Some((other, _)) => Err(StoreError::row(key, format!("version {other} is unknown: a newer hookline wrote it"))),
        None => Err(StoreError::row(key, "it is empty")),
    }
}

#[derive(Serialize, Deserialize)]
struct OutcomeForm {
    status: Option<u16>,
    head: Option<String>,
    cause: Option<String>,
    detail: Option<String>,
}

/// A ledger head.
#[derive(Serialize, Deserialize)]
pub(crate) struct HeadForm {
    attempts: u16,
    first: i64,
    due: i64,
    last: Option<OutcomeForm>,
    key: Option<String>,
    body_len: u32,
}

/// A cursor.
#[derive(Serialize, Deserialize)]
pub(crate) struct CursorForm {
    mode: String,
    offset: i64,
    near: Option<i64>,
    since: i64,
    reason: String,
    to: Option<i64>,
}

/// A range that retention took; the rest is in its key.
#[derive(Serialize, Deserialize)]
pub(crate) struct RangeForm {
    pub(crate) to: i64,
}

/// A copy of a commit.
#[derive(Serialize, Deserialize)]
pub(crate) struct CommitForm {
    group: String,
    offset: i64,
    near: Option<i64>,
    taken: i64,
}

/// An integration event as it was mapped.
#[derive(Serialize, Deserialize)]
pub(crate) struct EventForm {
    id: String,
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: i64,
    mapping: String,
    ord: u32,
    source: String,
    r#type: String,
    subject: Option<String>,
    time: i64,
    tenant: Option<String>,
    key: Option<String>,
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<(String, serde_json::Value)>,
    data: serde_json::Value,
}

/// A dead letter, without its event.
#[derive(Serialize, Deserialize)]
pub(crate) struct DeadForm {
    reason: String,
    attempts: u16,
    last: Option<OutcomeForm>,
    pub(crate) body_len: u32,
}

// === impl OutcomeForm ===

impl OutcomeForm {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered(answer) => {
                let head = (!answer.head.is_empty()).then(|| STANDARD.encode(&answer.head));
                Self { status: Some(answer.status), head, cause: None, detail: None }
            }
            Outcome::Failed { cause, detail } => {
                let (cause, detail) = (Some(cause.as_str().into()), Some(detail.clone()));
                Self { status: None, head: None, cause, detail }
            }
        }
    }

    /// What it asked for by `Retry-After` is not kept: it is in the due time already.
    fn into_outcome(self) -> Option<Outcome> {
        if let Some(status) = self.status {
            let head = Bytes::from(self.head.map(|head| STANDARD.decode(head)).transpose().ok()?.unwrap_or_default());
            return Some(Outcome::Answered(Answer { status, retry_after: RetryAfter::Absent, head }));
        }
        let cause = FailureCause::ALL.into_iter().find(|cause| Some(cause.as_str()) == self.cause.as_deref())?;
        Some(Outcome::Failed { cause, detail: self.detail.unwrap_or_default() })
    }
}

// === impl HeadForm ===

impl HeadForm {
    pub(crate) fn of(head: &LedgerHead) -> Self {
        Self {
            attempts: head.attempts,
            first: head.first.as_millis(),
            due: head.due.as_millis(),
            last: head.last.as_ref().map(OutcomeForm::of),
            key: head.ordering_key.clone(),
            body_len: head.body_len,
        }
    }

    pub(crate) fn into_head(self) -> LedgerHead {
        LedgerHead {
            attempts: self.attempts,
            first: Timestamp::from_millis(self.first),
            due: Timestamp::from_millis(self.due),
            last: self.last.and_then(OutcomeForm::into_outcome),
            ordering_key: self.key,
            body_len: self.body_len,
        }
    }
}

// === impl CursorForm ===

impl CursorForm {
    pub(crate) fn of(row: &CursorRow) -> Self {
        Self {
            mode: row.mode.as_str().into(),
            offset: row.offset,
            near: row.near.map(Timestamp::as_millis),
            since: row.since.as_millis(),
            reason: row.reason.as_str().into(),
            to: row.to,
        }
    }

    pub(crate) fn into_row(self, key: &[u8]) -> Result<CursorRow, StoreError> {
        let unknown = |what: &str| StoreError::row(key, format!("unknown {what}"));
        let mode = CursorMode::ALL.into_iter().find(|mode| mode.as_str() == self.mode);
        let reason = BehindReason::ALL.into_iter().find(|reason| reason.as_str() == self.reason);
        Ok(CursorRow {
            mode: mode.ok_or_else(|| unknown(&self.mode))?,
            offset: self.offset,
            near: self.near.map(Timestamp::from_millis),
            since: Timestamp::from_millis(self.since),
            reason: reason.ok_or_else(|| unknown(&self.reason))?,
            to: self.to,
        })
    }
}

// === impl CommitForm ===

impl CommitForm {
    pub(crate) fn of(copy: &CommitCopy) -> Self {
        let CommitCopy { group, offset, near, taken } = copy;
        let near = near.map(Timestamp::as_millis);
        Self { group: group.to_string(), offset: *offset, near, taken: taken.as_millis() }
    }

    pub(crate) fn into_copy(self) -> CommitCopy {
        let Self { group, offset, near, taken } = self;
        let (near, taken) = (near.map(Timestamp::from_millis), Timestamp::from_millis(taken));
        CommitCopy { group: group.into(), offset, near, taken }
    }
}

// === impl EventForm ===

impl EventForm {
    pub(crate) fn of(event: &IntegrationEvent) -> Self {
        let parent = event.traceparent.as_deref();
        Self {
            id: STANDARD.encode(event.id.as_bytes()),
            topic: event.origin.topic.to_string(),
            partition: event.origin.partition,
            offset: event.origin.offset,
            timestamp: event.origin.timestamp.as_millis(),
            mapping: event.mapping.to_string(),
            ord: event.ord,
            source: event.source.to_string(),
            r#type: event.event_type.to_string(),
            subject: event.subject.clone(),
            time: event.time.as_millis(),
            tenant: event.tenant.clone(),
            key: event.key.clone(),
            traceparent: parent.map(|parent| parent.text().to_owned()),
            tracestate: parent.and_then(Parent::state).map(str::to_owned),
            extensions: event.extensions.iter().map(|(name, value)| (name.to_string(), value.clone())).collect(),
            data: event.data.clone(),
        }
    }

    pub(crate) fn into_event(self, key: &[u8]) -> Result<IntegrationEvent, StoreError> {
        let id = STANDARD.decode(&self.id).ok().and_then(|id| id.try_into().ok());
        let parent = self.traceparent.and_then(|text| Parent::parse(&text, self.tracestate.as_deref()));
        Ok(IntegrationEvent {
            id: EventId::from_bytes(id.ok_or_else(|| StoreError::row(key, "the event has no id"))?),
            origin: Origin {
                topic: self.topic.into(),
                partition: self.partition,
                offset: self.offset,
                timestamp: Timestamp::from_millis(self.timestamp),
            },
            mapping: self.mapping.into(),
            ord: self.ord,
            source: self.source.into(),
            event_type: self.r#type.into(),
            subject: self.subject,
            time: Timestamp::from_millis(self.time),
            tenant: self.tenant,
            key: self.key,
            traceparent: parent.map(Arc::new),
            extensions: self.extensions.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            data: self.data,
        })
    }
}

// === impl DeadForm ===

impl DeadForm {
    pub(crate) fn of(letter: &DeadLetter, body_len: u32) -> Self {
        let last = letter.last.as_ref().map(OutcomeForm::of);
        Self { reason: letter.reason.as_str().into(), attempts: letter.attempts, last, body_len }
    }

    pub(crate) fn into_letter(
        self,
        key: &[u8],
        (sid, died): (Sid, i64),
        event: IntegrationEvent,
    ) -> Result<DeadLetter, StoreError> {
        let reason = DeadReason::ALL.into_iter().find(|reason| reason.as_str() == self.reason);
        let reason = reason.ok_or_else(|| StoreError::row(key, format!("unknown reason {}", self.reason)))?;
        let (died, last) = (Timestamp::from_millis(died), self.last.and_then(OutcomeForm::into_outcome));
        Ok(DeadLetter { sid, died, reason, attempts: self.attempts, last, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::event;

    #[test]
    fn what_caused_an_event_is_kept_whole_and_was_optional_always() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for parent in [None, Parent::parse(trace, None), Parent::parse(trace, Some("rojo=1"))] {
            let event = IntegrationEvent { traceparent: parent.map(Arc::new), ..event("t", 1, 1) };
            let written = serde_json::to_string(&EventForm::of(&event)).unwrap();
            let read: EventForm = serde_json::from_str(&written).unwrap();
            assert_eq!(read.into_event(b"k").unwrap(), event);
        }
    }
}
