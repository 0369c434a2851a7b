//! One pass over a partition for many riders: each record is read, decoded and mapped once.
//!
//! It never waits for a rider, never reads at or past intake's position, and rests between its slices of work. At
//! intake it lingers a moment, so that intake can name the offsets where it takes over.

use crate::catchup::aboard::Aboard;
use crate::catchup::parts::Parts;
use crate::catchup::reader::Reader;
use crate::catchup::turns::{self, Ended, Live, Platform, Who};
use crate::catchup::waiters::Waiter;
use crate::decode;
use crate::kafka::range::Read;
use crate::model::quarantine::{Fault, Owed};
use crate::model::record::{Record, TopicPartition};
use crate::model::schema::SchemaId;
use crate::model::trace::Parent;
use crate::pipeline::Passage;
use crate::registry::desk::Said;
use crate::runtime::clock;
use crate::runtime::fault;
use crate::store::space::Space;
use crate::subscriptions::cell::Hands;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tracing::field::display;
use tracing::{error, warn};

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// How often riders hear how far the scan is; a cursor is written once a second at most.
const BEAT: Duration = Duration::from_millis(50);
/// How often new riders are looked for.
const LOOK: Duration = Duration::from_millis(500);
/// A scan rests after so much work: short against the time a live record may take.
const SLICE: Duration = Duration::from_millis(5);
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
    /// Work since the last rest.
    worked: Duration,
}

/// What came of a record.
enum Carried {
    /// It was offered, or nobody wants it.
    On,
    /// No mapping reads its topic any more: what is owed of it stays where it is.
    Unread,
    /// It needs this schema first.
    Lacks(SchemaId),
    /// Its mapping stops it.
    Stopped(String),
}

// === impl Scan ===

impl<'a> Scan<'a> {
    /// A pass from the lowest of these places on.
    pub(crate) fn new(parts: &'a Parts, reader: &'a mut Reader, from: (TopicPartition, i64)) -> Self {
        let ((at, here), now) = (from, Instant::now());
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
            worked: Duration::ZERO,
        }
    }

    /// Reads until it is over; says how it ended, and who would have ridden on.
    pub(crate) fn run(mut self, waiters: Vec<Waiter>) -> (Ended, HashSet<Who>) {
        self.meet(waiters);
        let ended = match self.begin() {
            Err(ended) => ended,
            Ok(()) => loop {
                if let Some(ended) = self.step() {
                    break ended;
                }
                self.rest();
            },
        };
        self.aboard.pass(self.here, self.hands());
        match ended {
            Ended::Time => (ended, self.aboard.who()),
            Ended::Trouble => {
                self.aboard.strand();
                self.reader.rest();
                (ended, HashSet::new())
            }
            Ended::Empty | Ended::Caught | Ended::Gone => (ended, HashSet::new()),
        }
    }

    fn hands(&self) -> &'a Hands {
        self.parts.directory.hands()
    }

    fn position(&self) -> Option<i64> {
        self.hands().partitions.with(&self.at, |progress| progress.position())
    }

    /// Lets these places wait for the scan to come by. A subscription that is being made has its places before
    /// records are matched with it: it must not ride until they are.
    fn meet(&mut self, waiters: Vec<Waiter>) {
        let rode = self.aboard.who();
        let snapshot = self.parts.directory.snapshot();
        let matched = snapshot.iter().map(|entry| entry.cell.sid).collect::<HashSet<_>>();
        let here = waiters.into_iter().filter(|one| one.rider.place.at == self.at && matched.contains(&one.cell.sid));
        let new = here.filter(|one| !rode.contains(&one.who()));
        self.platform = Platform::new(self.here, new.map(|one| (one.rider.next, one)));
        self.looked = Instant::now();
    }

    fn begin(&mut self) -> Result<(), Ended> {
        let position = self.position().ok_or(Ended::Gone)?;
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
        if self.aboard.is_empty()
            && let Some(ended) = self.go_to_the_next()
        {
            return Some(ended);
        }
        let read = self.reader.next(POLL);
        match &read {
            Read::Record(_) | Read::End(_) => self.heard = Instant::now(),
            Read::Nothing if self.caught.is_none() && self.heard.elapsed() >= SILENCE => {
                return Some(self.trouble("nothing is heard of it"));
            }
            Read::Nothing | Read::OutOfRange | Read::Trouble(_) => {}
        }
        match read {
            Read::Record(record) => self.record(record),
            Read::End(_) => self.end_of_log(),
            Read::OutOfRange => Some(self.out_of_range()),
            Read::Nothing => None,
            Read::Trouble(what) => Some(self.trouble(&what)),
        }
    }

    /// Tells the riders how far it is, and looks for new ones.
    fn beat(&mut self) -> Option<Ended> {
        let begun = Instant::now();
        self.beaten = begun;
        self.aboard.pass(self.here, self.hands());
        if self.looked.elapsed() >= LOOK {
            self.meet(self.parts.look());
        }
        self.worked += begun.elapsed();
        (self.hands().store.space() == Space::Hard).then(|| self.trouble("the disk is full"))
    }

    /// Nobody rides: goes on where the next one waits, if anybody does.
    fn go_to_the_next(&mut self) -> Option<Ended> {
        let Some(next) = self.platform.next() else { return Some(Ended::Empty) };
        if next > self.here {
            self.here = next;
            return self.begin().err();
        }
        None
    }

    fn record(&mut self, record: Record) -> Option<Ended> {
        let offset = record.origin.offset;
        let Some(position) = self.position() else { return Some(Ended::Gone) };
        if offset >= position {
            self.reader.put_back(record);
            self.here = self.here.max(position);
            return self.at_intake();
        }
        let begun = Instant::now();
        (self.caught, self.here) = (None, offset);
        self.platform.board(offset).into_iter().for_each(|waiter| self.aboard.board(waiter));
        let carried = self.carry(&record);
        self.worked += begun.elapsed();
        if !matches!(carried, Carried::Lacks(_)) {
            self.hands().metrics.catch_up_read(1); // else it is read again
        }
        match carried {
            Carried::On => self.lacks = None,
            Carried::Unread => {
                self.reader.put_back(record);
                return Some(Ended::Trouble); // until the partition goes, or is read again
            }
            Carried::Lacks(schema) => {
                self.reader.put_back(record);
                return self.wait_for(schema);
            }
            Carried::Stopped(why) => {
                self.reader.put_back(record);
                return Some(self.trouble(&why));
            }
        }
        match self.aboard.is_empty() {
            true => self.reader.put_back(record), // whoever got off wants it next
            false => self.here = offset + 1,
        }
        None
    }

    /// Passes a record through the rules and offers what it becomes.
    fn carry(&mut self, record: &Record) -> Carried {
        let passed = self.parts.directory.in_force(|snapshot| {
            let pipeline = self.parts.pipeline.load();
            let passage = pipeline.pass(record);
            let groups = snapshot.takers_among(&passage.events, self.aboard.sids());
            let read = !passage.events.is_empty() || pipeline.reads(&record.origin.topic);
            read.then_some((passage, groups))
        });
        let Some((passage, groups)) = passed else { return Carried::Unread };
        let Passage { events, mut faults, dropped, stop, absent } = passage;
        if let Some(schema) = absent {
            match self.parts.desk.ask(schema, clock::now()) {
                Said::Wait => return Carried::Lacks(schema),
                Said::Nothing(why) => faults.push(decode::fault(why)),
            }
        }
        if let Some(why) = self.stops(record, stop.as_ref(), &faults) {
            return Carried::Stopped(why);
        }
        for fault in dropped {
            let offset = record.origin.offset;
            let trace_id = Parent::of(record).map(|parent| display(parent.context().trace));
            warn!(offset, mapping = fault.mapping, trace_id, "dropped, as its mapping asks: {}", fault.detail);
        }
        for fault in faults {
            self.quarantine(record, fault);
        }
        if !events.is_empty() {
            fault::point("scan.offer");
            groups.iter().for_each(|group| self.aboard.offer(record.origin.offset, group));
        }
        Carried::On
    }

    /// Why a record cannot be passed now, if so.
    fn stops(&self, record: &Record, stop: Option<&Fault>, faults: &[Fault]) -> Option<String> {
        let no_room = || Some(self.parts.quarantine.admits(record, faults).err()?.to_string());
        stop.map(Fault::stops).or_else(no_room)
    }

    /// The schema of the next record is being looked up.
    fn wait_for(&mut self, schema: SchemaId) -> Option<Ended> {
        if self.lacks.get_or_insert_with(Instant::now).elapsed() >= SCHEMA {
            return Some(self.trouble(&format!("schema {schema} is not known yet")));
        }
        std::thread::sleep(SLICE);
        None
    }

    /// Keeps a record for those who ride: the others have it, or come to it by themselves.
    ///
    /// INVARIANT (P7): handed over before any lane hears that the record was passed, so no cursor is durable earlier.
    fn quarantine(&self, record: &Record, fault: Fault) {
        let (offset, riders) = (record.origin.offset, self.aboard.sids().iter().copied().collect());
        let owed = Owed::to_riders(riders, clock::now());
        self.parts.quarantine.keep(record, (fault, owed), move |result| {
            if let Err(error) = result {
                error!(offset, %error, "a record could not be quarantined");
            }
        });
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
        self.platform.board(self.here).into_iter().for_each(|waiter| self.aboard.board(waiter));
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
        self.platform.board(held.low - 1).into_iter().for_each(|waiter| self.aboard.board(waiter));
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
        if self.worked >= SLICE {
            let live = if self.hands().partitions.bytes() > 0 { Live::Busy } else { Live::Quiet };
            std::thread::sleep(turns::rest(std::mem::take(&mut self.worked), self.parts.scans, live));
        }
    }
}
