//! One record's way from the log to the lanes: pass it through the rules, admit it, offer what it became.
//!
//! What a record becomes is open until its deliveries settle and its quarantine rows are durable. A lane takes
//! whatever it is offered: what finds no room in it is left to its cursor, and read again later. A record that cannot
//! go on is given back whole, before anything came of it.

use crate::lane::signal::{Group, PlaceKey};
use crate::model::delivery::Ticket;
use crate::model::event::Emitted;
use crate::model::quarantine::{Fault, Owed};
use crate::model::record::{Origin, Record};
use crate::pipeline::{Passage, Pipeline};
use crate::progress::gate::Reason;
use crate::progress::partition::{Admission, Admitted};
use crate::progress::partitions::Partitions;
use crate::quarantine::Quarantine;
use crate::runtime::clock;
use crate::runtime::fault;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::{self, Directory};
use std::sync::Arc;
use tracing::{error, warn};

/// Admits records.
pub(crate) struct Admit {
    directory: Arc<Directory>,
    partitions: Arc<Partitions>,
    quarantine: Arc<Quarantine>,
}

/// A record that cannot go on now, and its partition with it.
pub(crate) struct Stopped {
    pub(crate) record: Record,
    pub(crate) reason: Reason,
    /// What stops it, a sentence for people.
    pub(crate) why: String,
}

// === impl Admit ===

impl Admit {
    pub(crate) fn new(directory: Arc<Directory>, partitions: Arc<Partitions>, quarantine: Arc<Quarantine>) -> Self {
        Self { directory, partitions, quarantine }
    }

    /// Takes a record.
    ///
    /// # Errors
    /// It comes back: its mapping stops the partition, or it belongs into a quarantine that has no room.
    pub(crate) fn record(&self, pipeline: &Pipeline, record: Record) -> Result<(), Box<Stopped>> {
        let hands = self.directory.hands();
        let passage = pipeline.pass(&record);
        if let Some((reason, why)) = self.stops(&record, &passage) {
            return Err(Box::new(Stopped { record, reason, why }));
        }
        let groups = self.directory.snapshot().takers(&passage.events);
        let deliveries: usize = groups.iter().map(|group| group.events.len()).sum();
        let (now, bytes) = (clock::now(), record.size() as u64);
        let admission = Admission {
            offset: record.origin.offset,
            pending: u32::try_from(deliveries + passage.faults.len()).unwrap_or(u32::MAX),
            bytes,
            admitted: now,
            written: record.origin.timestamp,
        };
        let at = record.origin.topic_partition();
        let epoch = self.partitions.with(&at, |progress| match progress.admit(admission) {
            Admitted::Now => Some(progress.epoch()),
            Admitted::Before => None,
        });
        let Some(epoch) = epoch.flatten() else { return Ok(()) };
        fault::point("admit.before");
        if admission.pending > 0 {
            self.partitions.hold(bytes);
        }
        count(hands, &record, &passage.events, &groups);
        let ticket = Ticket { at, epoch, offset: record.origin.offset };
        for fault in passage.dropped {
            warn!(offset = ticket.offset, mapping = fault.mapping, "dropped, as its mapping asks: {}", fault.detail);
        }
        if !passage.faults.is_empty() {
            self.quarantine(&record, passage.faults, &ticket);
        }
        for group in groups {
            let subscriptions::Group { cell, events } = group;
            cell.wait_for_room(&ticket.at, events.len());
            let group = Group { epoch, offset: ticket.offset, events };
            cell.act(|lane, turn| lane.offer(&ticket.at, group, turn));
        }
        fault::point("admit.after");
        Ok(())
    }

    /// Why a record cannot go on, if so.
    fn stops(&self, record: &Record, passage: &Passage) -> Option<(Reason, String)> {
        if let Some(Fault { mapping, field, detail, .. }) = &passage.stop {
            let (mapping, field) = (mapping.as_deref().unwrap_or_default(), field.as_deref().unwrap_or_default());
            let why = format!("mapping {mapping} stops it (on_error: stop) at {field}: {detail}");
            return Some((Reason::Store, why));
        }
        let fault = passage.faults.first()?;
        match self.quarantine.has_room(record, &passage.faults) {
            Ok(true) => None,
            Ok(false) => {
                let what = "the quarantine is full (limits.quarantine): send its records again or remove them";
                Some((Reason::Quarantine, format!("{what}. This one: {}", fault.detail)))
            }
            Err(error) => Some((Reason::Store, format!("the quarantine cannot be read: {error}"))),
        }
    }

    /// It is owed to all that are live; to those who are behind their readers bring it.
    ///
    /// INVARIANT (P7): a record that was not understood is durable before its offset may be committed.
    fn quarantine(&self, record: &Record, faults: Vec<Fault>, ticket: &Ticket) {
        let Origin { offset, .. } = record.origin;
        let place = PlaceKey { at: ticket.at.clone(), stream: 0 };
        let behind = self.directory.hands().readers.with_cursors().into_iter();
        let behind = behind.filter(|cell| cell.act(|lane, _| lane.is_left_to_reader(&place, offset)));
        let owed = Owed::to_live(clock::now(), behind.map(|cell| cell.sid).collect());
        for fault in faults {
            let (partitions, ticket) = (Arc::clone(&self.partitions), ticket.clone());
            self.quarantine.keep(record, (fault, owed.clone()), move |result| match result {
                Ok(()) => partitions.settle(&ticket),
                Err(error) => error!(offset, %error, "a record could not be quarantined"),
            });
        }
    }
}

fn count(hands: &Hands, record: &Record, events: &[Arc<Emitted>], groups: &[subscriptions::Group]) {
    let topic = &record.origin.topic;
    hands.metrics.records_consumed(topic, 1);
    if !events.is_empty() {
        hands.metrics.records_mapped(topic, 1);
        if groups.is_empty() {
            hands.metrics.records_unmatched(topic, 1);
        }
    }
    for event in events {
        hands.metrics.events_emitted(&event.event.mapping, 1);
    }
}
