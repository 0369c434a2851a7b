//! The forms of quarantine rows: the head says why and whom for, the body is the record.

use crate::model::id::Sid;
use crate::model::quarantine::{Fault, FaultReason, Live, Owed, Quarantined};
use crate::model::record::{Header, Origin, Record};
use crate::model::time::Timestamp;
use crate::store::error::StoreError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A quarantine row, without its record.
#[derive(Serialize, Deserialize)]
pub(crate) struct QuarantineForm {
    at: i64,
    reason: String,
    mapping: Option<String>,
    field: Option<String>,
    expression: Option<String>,
    detail: String,
    pub(crate) body_len: u32,
    /// Rows of the first version have none: they are owed to all that were there.
    #[serde(default)]
    r#for: Option<OwedForm>,
}

/// Whom a quarantined record is owed to; subscriptions as base64 of their keys.
#[derive(Serialize, Deserialize)]
struct OwedForm {
    read: Option<i64>,
    behind: Vec<String>,
    riders: Vec<String>,
}

/// A record, bytes as base64.
#[derive(Serialize, Deserialize)]
pub(crate) struct RecordForm {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<String>,
    headers: Vec<(String, Option<String>)>,
    value: Option<String>,
}

// === impl QuarantineForm ===

impl QuarantineForm {
    pub(crate) fn of(row: &Quarantined, body_len: u32) -> Self {
        Self {
            at: row.at.as_millis(),
            reason: row.fault.reason.as_str().into(),
            mapping: row.fault.mapping.clone(),
            field: row.fault.field.clone(),
            expression: row.fault.expression.clone(),
            detail: row.fault.detail.clone(),
            body_len,
            r#for: Some(OwedForm::of(&row.owed)),
        }
    }

    pub(crate) fn into_row(self, key: &[u8], record: Record) -> Result<Quarantined, StoreError> {
        let (at, owed) = (Timestamp::from_millis(self.at), self.owed(key)?);
        Ok(Quarantined { record, at, fault: self.into_fault(key)?, owed })
    }

    /// Whether it came into the quarantine then.
    pub(crate) fn is_of(&self, at: Timestamp) -> bool {
        self.at == at.as_millis()
    }

    /// Why it is there.
    pub(crate) fn into_fault(self, key: &[u8]) -> Result<Fault, StoreError> {
        let reason = FaultReason::ALL.into_iter().find(|reason| reason.as_str() == self.reason);
        let reason = reason.ok_or_else(|| StoreError::row(key, format!("unknown reason {}", self.reason)))?;
        let Self { mapping, field, expression, detail, .. } = self;
        Ok(Fault { reason, mapping, field, expression, detail })
    }

    /// Whom it is owed to.
    pub(crate) fn owed(&self, key: &[u8]) -> Result<Owed, StoreError> {
        match &self.r#for {
            Some(form) => form.owed(key),
            None => Ok(Owed::to_live(Timestamp::from_millis(self.at), BTreeSet::new())),
        }
    }
}

// === impl OwedForm ===

impl OwedForm {
    fn of(owed: &Owed) -> Self {
        let text = |sids: &BTreeSet<Sid>| sids.iter().map(|sid| STANDARD.encode(sid.to_bytes())).collect();
        Self {
            read: owed.live.as_ref().map(|live| live.read.as_millis()),
            behind: owed.live.as_ref().map(|live| text(&live.behind)).unwrap_or_default(),
            riders: text(&owed.riders),
        }
    }

    fn owed(&self, key: &[u8]) -> Result<Owed, StoreError> {
        let sid = |text: &String| STANDARD.decode(text).ok()?.try_into().ok().map(Sid::from_bytes);
        let sids = |texts: &[String]| texts.iter().map(sid).collect::<Option<BTreeSet<_>>>();
        let (Some(behind), Some(riders)) = (sids(&self.behind), sids(&self.riders)) else {
            return Err(StoreError::row(key, "a subscription it is for is none"));
        };
        let live = self.read.map(|read| Live { read: Timestamp::from_millis(read), behind });
        Ok(Owed { live, riders })
    }
}

// === impl RecordForm ===

impl RecordForm {
    pub(crate) fn of(record: &Record) -> Self {
        let text = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        Self {
            topic: record.origin.topic.to_string(),
            partition: record.origin.partition,
            offset: record.origin.offset,
            timestamp: record.origin.timestamp.as_millis(),
            key: text(&record.key),
            headers: record.headers.iter().map(|header| (header.name.clone(), text(&header.value))).collect(),
            value: text(&record.value),
        }
    }

    pub(crate) fn into_record(self, key: &[u8]) -> Result<Record, StoreError> {
        let bytes = |text: Option<String>| {
            let bytes = text.map(|text| STANDARD.decode(text)).transpose();
            bytes.map(|bytes| bytes.map(Bytes::from)).map_err(|error| StoreError::row(key, error))
        };
        let headers = self.headers.into_iter().map(|(name, value)| Ok(Header { name, value: bytes(value)? }));
        Ok(Record {
            origin: Origin {
                topic: Arc::from(self.topic),
                partition: self.partition,
                offset: self.offset,
                timestamp: Timestamp::from_millis(self.timestamp),
            },
            key: bytes(self.key)?,
            headers: headers.collect::<Result<_, StoreError>>()?,
            value: bytes(self.value)?,
        })
    }
}
