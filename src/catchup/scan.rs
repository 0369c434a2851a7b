//! One pass over a partition for many riders: each record is read, decoded and mapped once, or was a moment ago.
//!
//! It never waits for a rider, never reads at or past intake's position, and rests between its slices of work. At
//! intake it lingers a moment, so that intake can name the offsets where it takes over.

use crate::catchup::aboard::Aboard;
use crate::catchup::effort::{Effort, SLICE};
use crate::catchup::parts::Parts;
use crate::catchup::passing::{self, Became, Kept, Taken};
use crate::catchup::reader::Reader;
use crate::catchup::turns::{self, Ended, Live, Over, Platform};
use crate::catchup::waiters::Waiter;
use crate::kafka::range::Read;
use crate::model::record::{Record, TopicPartition};
use crate::model::schema::SchemaId;
use crate::runtime::fault;
use crate::store::space::Space;
use crate::subscriptions::cell::Hands;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// How often riders hear how far the scan is; a cursor is written once a second at most.
const BEAT: Duration = Duration::from_millis(50);
/// How often new riders are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// How long a scan stays at intake's position; intake answers who wants to join within a tenth of a second.
const LINGER: Duration = Duration::from_millis(300);
/// How long nothing at all may come before the partition counts as out of reach.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a scan waits for a schema before it leaves its thread to other partitions.
const SCHEMA: Duration = Duration::from_millis(500);

/// One pass.
pub(crate) struct Scan<'a> {
    parts: &'a Parts,
    reader: &'a mut Reader,
    at: TopicPartition,
    /// Everything from the start up to here was read.
    here: i64,
    aboard: Aboard,
    platform: Platform<Waiter>,
    begun: Instant,
    beaten: Instant,
    looked: Instant,
    /// When something last came from the log.
    heard: Instant,
    /// Since when it stands at intake's position.
    caught: Option<Instant>,
    /// Since when it waits for a schema.
    lacks: Option<Instant>,
    from: Source,
    effort: &'a mut Effort,
}

/// Whether places wait that the scan has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Some,
    Nobody,
}

/// Where the last record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// From the log: the reader stands behind it.
    Log,
    /// From what was passed lately: the reader stands anywhere.
    Lately,
}

// === impl Scan ===

impl<'a> Scan<'a> {
    /// A pass from the lowest of these places on, by the thread of this effort.
    pub(crate) fn new(
        parts: &'a Parts,
        (reader, effort): (&'a mut Reader, &'a mut Effort),
        (at, here): (TopicPartition, i64),
    ) -> Self {
        let now = Instant::now();
        Self {
            parts,
            reader,
            at,
            here,
            aboard: Aboard::default(),
            platform: Platform::new(here, std::iter::empty()),
            begun: now,
            beaten: now,
            looked: now,
            heard: now,
            caught: None,
            lacks: None,
            from: Source::Lately,
            effort,
        }
    }

    /// Reads until it is over; says how it ended, and who rode.
    pub(crate) fn run(mut self, waiters: Vec<Waiter>) -> Over {
        self.meet(waiters); // it begins where the lowest waits, or lets others go first
        self.tell_where_places_stand();
        let ended = loop {
            if let Some(ended) = self.step() {
                break ended;
            }
            self.rest();
        };
        self.aboard.pass(self.here, self.hands());
        let rode = self.aboard.who();
        if ended == Ended::Trouble {
            self.aboard.strand();
            self.reader.rest();
        }
        Over { ended, here: self.here, rode, full: self.aboard.full() }
    }

    fn hands(&self) -> &'a Hands {
        self.parts.directory.hands()
    }

    fn position(&self) -> Option<i64> {
        self.hands().partitions.with(&self.at, |progress| progress.position())
    }

    fn epoch(&self) -> Option<u64> {
        self.hands().partitions.with(&self.at, |progress| progress.epoch())
    }

    /// Lets these places wait for the scan to come by. A subscription that is being made has its places before
    /// records are matched with it: it must not ride until they are. For some the scan has gone already.
    fn meet(&mut self, waiters: Vec<Waiter>) -> Left {
        let rode = self.aboard.who();
        let snapshot = self.parts.directory.snapshot();
        let matched = snapshot.iter().map(|entry| entry.cell.sid).collect::<HashSet<_>>();
        let here = waiters.into_iter().filter(|one| one.rider.place.at == self.at && matched.contains(&one.cell.sid));
        let new = here.filter(|one| !rode.contains(&one.who())).collect::<Vec<_>>();
        let left = if new.iter().any(|one| one.rider.next < self.here) { Left::Some } else { Left::Nobody };
        self.platform = Platform::new(self.here, new.into_iter().map(|one| (one.rider.next, one)));
        self.looked = Instant::now();
        left
    }

    fn tell_where_places_stand(&self) {
        let Some(epoch) = self.epoch().filter(|epoch| self.parts.lately.wants_to_know(*epoch)) else { return };
        let cells = self.hands().readers.with_cursors().into_iter();
        let places = cells.flat_map(|cell| cell.act(|lane, _| lane.going_forward(&self.at)));
        self.parts.lately.know(epoch, places.collect());
    }

    /// Goes on in the log where it stands.
    fn begin(&mut self) -> Result<(), Ended> {
        let position = self.position().ok_or(Ended::Gone)?;
        self.from = Source::Log;
        self.reader.begin(&self.at, self.here, position).map_err(|error| self.trouble(&error.to_string()))
    }

    /// One thing that is read, and what stands around it.
    fn step(&mut self) -> Option<Ended> {
        if self.parts.shutdown.stopping() {
            return Some(Ended::Gone);
        }
        let left = self.position().map_or(0, |position| position - self.here);
        if turns::is_over(self.begun.elapsed(), left) {
            return Some(Ended::Time);
        }
        if self.beaten.elapsed() >= BEAT
            && let Some(ended) = self.beat()
        {
            return Some(ended);
        }
        if self.aboard.is_empty() && !self.is_next_near() {
            return Some(Ended::Empty);
        }
        let Some(epoch) = self.epoch() else { return Some(Ended::Gone) };
        if let Some(taken) = self.again(epoch) {
            (self.from, self.heard) = (Source::Lately, Instant::now());
            self.carry(&taken);
            return None;
        }
        if self.from == Source::Lately
            && let Err(ended) = self.begin()
        {
            return Some(ended);
        }
        self.read(epoch)
    }

    /// The next record, if it was passed lately.
    fn again(&mut self, epoch: u64) -> Option<Taken> {
        let known = passing::known(self.parts, (epoch, self.here))?;
        self.board(known.1.offset);
        passing::again(self.parts, &known, &self.aboard)
    }

    /// Who waits at or below this offset gets on.
    fn board(&mut self, offset: i64) {
        self.platform.board(offset).into_iter().for_each(|waiter| self.aboard.board(waiter));
    }

    /// Reads on in the log.
    fn read(&mut self, epoch: u64) -> Option<Ended> {
        let read = self.reader.next(POLL);
        match &read {
            Read::Record(_) | Read::End(_) => self.heard = Instant::now(),
            Read::Nothing if self.caught.is_none() && self.heard.elapsed() >= SILENCE => {
                return Some(self.trouble("nothing is heard of it"));
            }
            Read::Nothing | Read::OutOfRange | Read::Trouble(_) => {}
        }
        match read {
            Read::Record(record) => self.record(record, epoch),
            Read::End(_) => self.end_of_log(),
            Read::OutOfRange => Some(self.out_of_range()),
            Read::Nothing => None,
            Read::Trouble(what) => Some(self.trouble(&what)),
        }
    }

    /// Tells the riders how far it is, and looks for new ones.
    fn beat(&mut self) -> Option<Ended> {
        self.beaten = Instant::now();
        self.aboard.pass(self.here, self.hands());
        self.tell_where_places_stand();
        let left = self.looked.elapsed() >= LOOK && self.meet(self.parts.look()) == Left::Some;
        let joins = self.position().is_none_or(|position| position - self.here <= turns::CLOSE);
        if left && !joins {
            return Some(Ended::Time); // those it has passed would run dry before a whole turn is over
        }
        (self.hands().store.space() == Space::Hard).then(|| self.trouble("the disk is full"))
    }

    /// Passes a record through the rules and offers what it becomes.
    fn record(&mut self, record: Record, epoch: u64) -> Option<Ended> {
        let offset = record.origin.offset;
        let Some(position) = self.position() else { return Some(Ended::Gone) };
        if offset >= position {
            self.reader.put_back(record);
            self.here = self.here.max(position);
            return self.at_intake();
        }
        self.board(offset);
        let became = passing::pass(self.parts, &record, (epoch, self.here), &self.aboard);
        if !matches!(became, Became::Lacks(_)) {
            self.hands().metrics.catch_up_read(1); // else it is read again
        }
        let taken = match became {
            Became::Events(taken) => taken,
            Became::Unread => {
                self.wait_at(record);
                return Some(Ended::Trouble); // until the partition goes, or is read again
            }
            Became::Lacks(schema) => {
                self.wait_at(record);
                return self.wait_for(schema);
            }
            Became::Stopped(why) => {
                self.wait_at(record);
                return Some(self.trouble(&why));
            }
        };
        self.lacks = None;
        self.carry(&taken);
        if self.here == offset && taken.kept == Kept::No {
            self.reader.put_back(record); // whoever got off wants it next
        }
        None
    }

    /// Stands before a record that cannot be passed now.
    fn wait_at(&mut self, record: Record) {
        (self.caught, self.here) = (None, record.origin.offset);
        self.reader.put_back(record);
    }

    /// Offers what a record became. It is passed when anybody rides on, or the next one waits near.
    fn carry(&mut self, taken: &Taken) {
        let offset = taken.offset;
        (self.caught, self.here) = (None, offset);
        if !taken.groups.is_empty() {
            fault::point("scan.offer");
            taken.groups.iter().for_each(|group| self.aboard.offer(offset, group));
        }
        match self.aboard.is_empty() && !self.is_next_near() {
            true => self.from = Source::Lately, // the reader stands behind it already
            false => self.here = offset + 1,
        }
    }

    /// Whether somebody waits where reading on costs less than a seek.
    fn is_next_near(&self) -> bool {
        self.platform.next().is_some_and(|next| next <= self.here + turns::NEAR)
    }

    /// The schema of the next record is being looked up.
    fn wait_for(&mut self, schema: SchemaId) -> Option<Ended> {
        if self.lacks.get_or_insert_with(Instant::now).elapsed() >= SCHEMA {
            return Some(self.trouble(&format!("schema {schema} is not known yet")));
        }
        std::thread::sleep(SLICE);
        None
    }

    /// Everything that the log held when reading began is read: then there are only gaps up to intake's position of
    /// that time. Intake may be further by now.
    fn end_of_log(&mut self) -> Option<Ended> {
        self.here = self.here.max(self.reader.sure());
        let Some(position) = self.position() else { return Some(Ended::Gone) };
        if self.here < position {
            let anew = self.reader.begin_anew(&self.at, self.here, position);
            return anew.err().map(|error| self.trouble(&error.to_string()));
        }
        self.at_intake()
    }

    /// Everything below intake's position is read. Places go live as intake answers; who cannot join now is served
    /// again when there is more.
    fn at_intake(&mut self) -> Option<Ended> {
        self.board(self.here);
        self.aboard.pass(self.here, self.hands());
        if self.aboard.is_empty() && self.platform.next().is_none() {
            return Some(Ended::Empty);
        }
        if self.caught.get_or_insert_with(Instant::now).elapsed() >= LINGER {
            return Some(Ended::Caught);
        }
        std::thread::sleep(SLICE);
        None
    }

    /// The log does not hold the place: retention went past it, or the log is another one.
    fn out_of_range(&mut self) -> Ended {
        let held = match self.reader.held(&self.at) {
            Ok(held) => held,
            Err(error) => return self.trouble(&error.to_string()),
        };
        if self.here >= held.low {
            return self.trouble(&format!("it holds {} to {} and not {}", held.low, held.high, self.here));
        }
        error!(topic = %self.at.topic, partition = self.at.partition, from = self.here, to = held.low,
            "retention took records before they were delivered; see the dead letters");
        self.board(held.low - 1);
        self.aboard.overtaken(held.low);
        self.reader.rest();
        Ended::Empty
    }

    fn trouble(&self, what: &str) -> Ended {
        warn!(topic = %self.at.topic, partition = self.at.partition, offset = self.here, "catching up has to wait: {what}");
        Ended::Trouble
    }

    /// Leaves the processor to live records.
    fn rest(&mut self) {
        if let Some(worked) = self.effort.worked() {
            let live = if self.hands().partitions.bytes() > 0 { Live::Busy } else { Live::Quiet };
            self.effort.rest(turns::rest(worked, self.parts.scans, live));
        }
    }
}
