//! What a record becomes for those who are behind: through the rules in force, whatever stands in its way, and kept in
//! quarantine for exactly those who ride.

use crate::catchup::aboard::Aboard;
use crate::catchup::lately::{Passed, Spot};
use crate::catchup::parts::Parts;
use crate::decode;
use crate::model::quarantine::{Fault, Owed};
use crate::model::record::Record;
use crate::model::schema::SchemaId;
use crate::pipeline::{Passage, Pipeline};
use crate::quarantine;
use crate::registry::desk::Said;
use crate::runtime::clock;
use crate::subscriptions::snapshot::Group;
use std::sync::Arc;
use tracing::error;

/// What came of a record.
pub(crate) enum Became {
    /// What is offered to whom; nothing, when nobody wants it.
    Events(Taken),
    /// No mapping reads its topic any more: what is owed of it stays where it is.
    Unread,
    /// It needs this schema first.
    Lacks(SchemaId),
    /// Its mapping stops it, or the quarantine has no room for it.
    Stopped(String),
}

/// What a record became for those who ride.
pub(crate) struct Taken {
    pub(crate) offset: i64,
    pub(crate) groups: Vec<Group>,
    pub(crate) kept: Kept,
}

/// Whether what was passed may be given again without the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

/// Passes a record for those who ride by now.
pub(crate) fn pass(parts: &Parts, record: &Record, (epoch, here): (u64, i64), aboard: &Aboard) -> Became {
    let passed = parts.directory.in_force(|snapshot| {
        let rules = parts.pipeline.load_full();
        let passage = rules.pass(record);
        let groups = snapshot.takers_among(&passage.events, aboard.sids());
        let read = !passage.events.is_empty() || rules.reads(&record.origin.topic);
        read.then_some((rules, passage, groups))
    });
    let Some((rules, passage, groups)) = passed else { return Became::Unread };
    let Passage { events, mut faults, dropped, stop, absent } = passage;
    if let Some(schema) = absent {
        match parts.desk.ask(schema, clock::now()) {
            Said::Wait => return Became::Lacks(schema),
            Said::Nothing(why) => faults.push(decode::fault(why)),
        }
    }
    if let Some(why) = stops(parts, record, stop.as_ref(), &faults) {
        return Became::Stopped(why);
    }
    let offset = record.origin.offset;
    let understood = faults.is_empty() && dropped.is_empty();
    quarantine::tell_dropped(record, &dropped);
    for fault in faults {
        keep(parts, record, fault, aboard);
    }
    let spot = Spot { epoch, rules: &rules, here };
    let kept = understood && parts.lately.keep(spot, &Passed { offset, events });
    Became::Events(Taken { offset, groups, kept: if kept { Kept::Yes } else { Kept::No } })
}

/// The next record, if it was passed lately by the rules in force; with these.
pub(crate) fn known(parts: &Parts, (epoch, here): (u64, i64)) -> Option<(Arc<Pipeline>, Passed)> {
    let rules = parts.pipeline.load_full();
    let passed = parts.lately.next(Spot { epoch, rules: &rules, here })?;
    Some((rules, passed))
}

/// What that holds for those who ride by now; `None` when other rules are in force.
pub(crate) fn again(parts: &Parts, (rules, passed): &(Arc<Pipeline>, Passed), aboard: &Aboard) -> Option<Taken> {
    parts.directory.in_force(|snapshot| {
        let groups = || snapshot.takers_among(&passed.events, aboard.sids());
        let same = Arc::ptr_eq(rules, &parts.pipeline.load());
        same.then(|| Taken { offset: passed.offset, groups: groups(), kept: Kept::Yes })
    })
}

/// Why a record cannot be passed now, if so.
fn stops(parts: &Parts, record: &Record, stop: Option<&Fault>, faults: &[Fault]) -> Option<String> {
    let no_room = || Some(parts.quarantine.admits(record, faults).err()?.to_string());
    stop.map(Fault::stops).or_else(no_room)
}

/// Keeps a record for those who ride: the others have it, or come to it by themselves.
///
/// INVARIANT (P7): handed over before any lane hears that the record was passed, so no cursor is durable earlier.
fn keep(parts: &Parts, record: &Record, fault: Fault, aboard: &Aboard) {
    let (offset, riders) = (record.origin.offset, aboard.sids().iter().copied().collect());
    let owed = Owed::to_riders(riders, clock::now());
    parts.quarantine.keep(record, (fault, owed), move |result| {
        if let Err(error) = result {
            error!(offset, %error, "a record could not be quarantined");
        }
    });
}
