//! The one reader of a scan thread: begins where it is told, and goes on where it stands if that is the place.
//!
//! A rider that is full gets off, its scan ends, and moments later it waits at that very record: going on costs
//! nothing then, where beginning anew would throw away what librdkafka has fetched.

use crate::kafka::group::GroupError;
use crate::kafka::range::{Held, Range, Read};
use crate::kafka::settings::KafkaSettings;
use crate::model::record::{Record, TopicPartition};
use std::time::Duration;

/// A reader of one partition at a time; made when it is first needed.
pub(crate) struct Reader {
    settings: KafkaSettings,
    range: Option<Range>,
    stand: Option<Stand>,
    /// A record that was read and put back.
    left: Option<Record>,
}

struct Stand {
    at: TopicPartition,
    /// The next offset it reads.
    next: i64,
    /// Whatever is below this is read once the log has ended.
    sure: i64,
    tail: Tail,
}

/// Whether the last thing read was the end of the log. It is told once: who comes later has to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    No,
    Read,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(settings: KafkaSettings) -> Self {
        Self { settings, range: None, stand: None, left: None }
    }

    /// Reads `at` from `offset` on. `position` is a place that the log is known to have reached before this call.
    ///
    /// # Errors
    /// What librdkafka says against it.
    pub(crate) fn begin(&mut self, at: &TopicPartition, offset: i64, position: i64) -> Result<(), GroupError> {
        match &self.stand {
            Some(stand) if stand.at == *at && stand.next == offset && stand.tail == Tail::No => Ok(()),
            _ => self.begin_anew(at, offset, position),
        }
    }

    /// As [`Reader::begin`], and what was fetched before is left.
    ///
    /// # Errors
    /// What librdkafka says against it.
    pub(crate) fn begin_anew(&mut self, at: &TopicPartition, offset: i64, position: i64) -> Result<(), GroupError> {
        (self.stand, self.left) = (None, None);
        self.range()?.begin(at, offset)?;
        self.stand = Some(Stand { at: at.clone(), next: offset, sure: position, tail: Tail::No });
        Ok(())
    }

    /// Waits for the next record, `within` at most. `Read::End` says no more than that everything below
    /// [`Reader::sure`] is read: what came into the log since is not known.
    pub(crate) fn next(&mut self, within: Duration) -> Read {
        let read = match (self.left.take(), &mut self.range) {
            (Some(left), _) => Read::Record(left),
            (None, Some(range)) => range.next(within),
            (None, None) => Read::Nothing,
        };
        if let Some(stand) = &mut self.stand {
            match &read {
                Read::Record(record) => (stand.next, stand.tail) = (record.origin.offset + 1, Tail::No),
                Read::End(_) => stand.tail = Tail::Read,
                Read::OutOfRange | Read::Nothing | Read::Trouble(_) => {}
            }
        }
        read
    }

    /// Gives a record back: it is the next one.
    pub(crate) fn put_back(&mut self, record: Record) {
        if let Some(stand) = &mut self.stand {
            stand.next = record.origin.offset;
            self.left = Some(record);
        }
    }

    /// At the end of the log everything below this is read.
    pub(crate) fn sure(&self) -> i64 {
        self.stand.as_ref().map_or(0, |stand| stand.sure)
    }

    /// What the log of `at` holds now.
    ///
    /// # Errors
    /// The cluster did not answer.
    pub(crate) fn held(&mut self, at: &TopicPartition) -> Result<Held, GroupError> {
        self.range()?.held(at)
    }

    /// Reads nothing any more, and lets go of what was fetched.
    pub(crate) fn rest(&mut self) {
        if self.stand.take().is_some()
            && let Some(range) = &self.range
            && range.end().is_err()
        {
            self.range = None; // the next one is made anew
        }
        self.left = None;
    }

    fn range(&mut self) -> Result<&mut Range, GroupError> {
        match &mut self.range {
            Some(range) => Ok(range),
            none => Ok(none.insert(Range::new(&self.settings)?)),
        }
    }
}
