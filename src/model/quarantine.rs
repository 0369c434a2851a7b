//! A record that could not be decoded or mapped: its bytes, its place, the reason.

use crate::model::id::Sid;
use crate::model::record::Record;
use crate::model::time::Timestamp;
use std::collections::BTreeSet;

/// Subscriptions that a row names, at most: so that it stays small whatever the fan-out.
const NAMED: usize = 1_000;

/// A quarantined record; one row per (record, mapping).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The record, whole.
    pub record: Record,
    /// When it was put here.
    pub at: Timestamp,
    /// Why.
    pub fault: Fault,
    /// Who waits for it.
    pub owed: Owed,
}

/// Whom a quarantined record is owed to, once it can be mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Those that were live when intake read it; `None`: intake could map it.
    pub live: Option<Live>,
    /// Those whose readers passed it.
    pub riders: BTreeSet<Sid>,
}

/// All that were live at a moment, without naming them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// When it was read: who was born later is not owed it.
    pub read: Timestamp,
    /// Who was behind then: their readers were still to come by.
    pub behind: BTreeSet<Sid>,
}

/// Which quarantined records are meant; what is not said is any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this topic.
    pub topic: Option<String>,
    /// That this mapping failed on.
    pub mapping: Option<String>,
    /// For this reason.
    pub reason: Option<FaultReason>,
}

/// Why a record was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `decode`, or what of mapping failed: the `reason` label of metrics.
    pub reason: FaultReason,
    /// The mapping; `None` when the record could not be decoded at all.
    pub mapping: Option<String>,
    /// The field that failed, as a path in the mapping (`emit.data.total`).
    pub field: Option<String>,
    /// The expression that failed, as written.
    pub expression: Option<String>,
    /// What went wrong, a sentence for people.
    pub detail: String,
}

/// The closed list of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultReason {
    /// The bytes are not what the topic's format says.
    Decode,
    /// An expression failed: a missing path, a wrong type.
    Map,
    /// A limit was exceeded: size, steps, output bytes.
    Limit,
    /// The mapping gave something that cannot be an event (empty type, bad time).
    Event,
}

/// The longest reason, in bytes: it goes into the log and is kept with the record, of which it may repeat a part.
pub const REASON: usize = 500;

/// A reason that may repeat what a record holds, with its end cut off when it is longer than people read.
#[must_use]
pub fn shortened(mut reason: String) -> String {
    if reason.len() > REASON {
        reason.truncate(reason.floor_char_boundary(REASON - '…'.len_utf8()));
        reason.push('…');
    }
    reason
}

// === impl Fault ===

impl Fault {
    /// What is said where a mapping's `on_error: stop` makes it stop a partition.
    #[must_use]
    pub fn stops(&self) -> String {
        let Self { mapping, field, detail, .. } = self;
        let (mapping, field) = (mapping.as_deref().unwrap_or_default(), field.as_deref().unwrap_or_default());
        format!("mapping {mapping} stops it (on_error: stop) at {field}: {detail}")
    }
}

// === impl Owed ===

impl Owed {
    /// To all that are live at `read`: all but those `behind`. Of more than a thousand none is left out: rather does one
    /// get it twice, with the same id, than that the row grows with the number of subscriptions.
    #[must_use]
    pub fn to_live(read: Timestamp, behind: BTreeSet<Sid>) -> Self {
        let behind = if behind.len() > NAMED { BTreeSet::new() } else { behind };
        Self { live: Some(Live { read, behind }), riders: BTreeSet::new() }
    }

    /// To these, whose readers pass it at `read`. More than a thousand are all that there are then.
    #[must_use]
    pub fn to_riders(riders: BTreeSet<Sid>, read: Timestamp) -> Self {
        if riders.len() > NAMED {
            return Self::to_live(read, BTreeSet::new());
        }
        Self { live: None, riders }
    }

    /// Whether it is owed to `sid`.
    #[must_use]
    pub fn is_to(&self, sid: Sid) -> bool {
        let live = |live: &Live| sid.born() <= live.read && !live.behind.contains(&sid);
        self.riders.contains(&sid) || self.live.as_ref().is_some_and(live)
    }

    /// What is owed now, on top of what was owed `before` (the row is extended, never doubled). What intake read again
    /// tells better who was live.
    #[must_use]
    pub fn on_top_of(self, before: Self, now: Timestamp) -> Self {
        let riders = self.riders.into_iter().chain(before.riders).collect::<BTreeSet<_>>();
        if riders.len() > NAMED {
            return Self::to_live(now, BTreeSet::new());
        }
        Self { live: self.live.or(before.live), riders }
    }
}

// === impl Quarantined ===

impl Quarantined {
    /// The topic that its record stands in.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.record.origin.topic
    }
}

// === impl Filter ===

impl Filter {
    /// Whether a record of `topic` with this fault is meant.
    #[must_use]
    pub fn fits(&self, topic: &str, fault: &Fault) -> bool {
        self.topic.as_ref().is_none_or(|wanted| wanted == topic)
            && self.mapping.as_ref().is_none_or(|wanted| Some(wanted) == fault.mapping.as_ref())
            && self.reason.is_none_or(|wanted| wanted == fault.reason)
    }
}

// === impl FaultReason ===

impl FaultReason {
    /// Every reason, for tables.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Map, Self::Limit, Self::Event];

    /// The reason as API, metrics and store write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Map => "map",
            Self::Limit => "limit",
            Self::Event => "event",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(born: i64, name: u128) -> Sid {
        Sid::new(born as u64, name)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_reason_is_cut_between_characters_and_a_short_one_stays() {
        assert_eq!(shortened("x".repeat(REASON)), "x".repeat(REASON));
        for text in ["x".repeat(REASON + 1), "ø".repeat(REASON)] {
            let cut = shortened(text);
            assert!(cut.ends_with('…') && (REASON - 3..=REASON).contains(&cut.len()), "{}", cut.len());
        }
    }

    #[test]
    fn a_record_is_owed_to_who_was_live_when_it_was_read_and_to_those_whose_readers_passed_it() {
        let (old, behind, young) = (sid(1, 1), sid(1, 2), sid(50, 3));
        let owed = Owed::to_live(at(9), BTreeSet::from([behind]));
        assert_eq!([old, behind, young].map(|sid| owed.is_to(sid)), [true, false, false]);
        let extended = Owed::to_riders(BTreeSet::from([behind, young]), at(60)).on_top_of(owed, at(60));
        assert_eq!([old, behind, young].map(|sid| extended.is_to(sid)), [true, true, true]);
        let riders = Owed::to_riders(BTreeSet::from([young]), at(60));
        assert_eq!([old, behind, young].map(|sid| riders.is_to(sid)), [false, false, true]);
    }

    #[test]
    fn what_intake_reads_again_tells_better_who_was_live() {
        let (once, again) = (sid(1, 1), sid(1, 2));
        let before = Owed::to_live(at(9), BTreeSet::from([once]));
        let owed = Owed::to_live(at(20), BTreeSet::from([again])).on_top_of(before, at(20));
        assert_eq!([once, again].map(|sid| owed.is_to(sid)), [true, false]);
    }

    #[test]
    fn with_more_names_than_a_row_holds_nobody_is_forgotten() {
        let many = |from: u128| (from..from + 600).map(|name| sid(1, name)).collect::<BTreeSet<_>>();
        let first = Owed::to_riders(many(0), at(9));
        let both = Owed::to_riders(many(600), at(9)).on_top_of(first, at(9));
        assert!(both.riders.is_empty() && (0..1_200).all(|name| both.is_to(sid(1, name))));
        let behind = Owed::to_live(at(9), (0..1_200).map(|name| sid(1, name)).collect());
        assert!(behind.is_to(sid(1, 7)));
    }
}
