//! Loop 3: the past to lanes that are behind, by shared scans (protocol section 6).
//!
//! Lanes call when a place of theirs waits and has room; a few threads pass over the partitions, one scan each, from
//! the longest waiting place to the next. What is read goes to the lanes by the rules in force. Where a place comes
//! up to intake, intake takes over.

mod aboard;
mod effort;
mod keeping;
mod lately;
mod parts;
mod passing;
mod reader;
mod retention;
mod scan;
mod tails;
mod turns;
mod waiters;

#[cfg(test)]
mod world;

use crate::catchup::effort::Effort;
use crate::catchup::keeping::Keeping;
use crate::catchup::lately::Lately;
use crate::catchup::parts::Parts;
use crate::catchup::reader::Reader;
use crate::catchup::retention::Retention;
use crate::catchup::scan::Scan;
use crate::catchup::tails::Tails;
use crate::catchup::turns::{Next, Stand, Turns};
use crate::catchup::waiters::Waiters;
use crate::kafka::settings::KafkaSettings;
use crate::pipeline::Pipeline;
use crate::quarantine::Quarantine;
use crate::registry::desk::Desk;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::Board;
use crate::subscriptions::Directory;
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a thread waits for a call before it looks again: a back-off may have passed.
const PAUSE: Duration = Duration::from_millis(200);
/// As [`PAUSE`], when others will have room in a moment.
const SOON: Duration = Duration::from_millis(10);
/// Between two looks, whatever calls come in: each asks every lane that waits.
const BREATH: Duration = Duration::from_millis(5);
/// How long what was fetched is kept for a place that comes back.
const KEEP: Duration = Duration::from_secs(5);

/// What catching up works with.
pub struct Catchup {
    /// How to reach the brokers.
    pub kafka: KafkaSettings,
    /// The rules in force; swapped whole.
    pub pipeline: Arc<ArcSwap<Pipeline>>,
    /// Who gets what, and whose places wait.
    pub directory: Arc<Directory>,
    /// Where records go that are not understood.
    pub quarantine: Arc<Quarantine>,
    /// Where schemas are asked for.
    pub desk: Arc<Desk>,
    /// Where it reports.
    pub board: Board,
    /// When it stops.
    pub shutdown: Shutdown,
    /// How many scans there are at once (`limits.catch_up_scans`), at least 1.
    pub scans: usize,
}

// === impl Catchup ===

impl Catchup {
    /// Runs until the stop, on the calling thread and one more for each further scan. Call it before the store
    /// closes; partitions may go before, after or meanwhile.
    pub fn run(self) {
        let Self { kafka, pipeline, directory, desk, quarantine, board, shutdown, scans } = self;
        let (waiters, turns) = (Waiters::default(), Mutex::new(Turns::default()));
        let (scans, lately) = (scans.max(1), Lately::default());
        let parts = Parts { pipeline, directory, desk, quarantine, board, shutdown, scans, waiters, turns, lately };
        std::thread::scope(|scope| {
            for _ in 1..parts.scans {
                scope.spawn(|| work(&parts, &kafka, None));
            }
            let beside =
                Beside { retention: Retention::new(), tails: Tails::new(), keeping: Keeping::new(kafka.clone()) };
            work(&parts, &kafka, Some(beside));
        });
    }
}

/// What one of the threads looks at between its scans.
struct Beside {
    retention: Retention,
    tails: Tails,
    keeping: Keeping,
}

/// One scan after the other.
fn work(parts: &Parts, kafka: &KafkaSettings, mut beside: Option<Beside>) {
    let (mut reader, mut scanned, mut effort) = (Reader::new(kafka.clone()), Instant::now(), Effort::new());
    let mut stand = None;
    while !parts.shutdown.stopping() {
        if let Some(Beside { retention, tails, keeping }) = &mut beside {
            retention.look(parts, &mut reader);
            tails.look(parts, &mut reader);
            keeping.look(parts);
        }
        let next = parts.next(stand.as_ref());
        if let Next::Scan((choice, waiters)) = next {
            let at = choice.at.clone();
            let over = Scan::new(parts, (&mut reader, &mut effort), (choice.at, choice.start)).run(waiters);
            stand = Some(Stand { at: at.clone(), here: over.here });
            parts.over(&at, over);
            scanned = Instant::now();
            continue;
        }
        if scanned.elapsed() >= KEEP {
            stand = None;
            reader.rest();
            parts.lately.rest(KEEP);
        }
        std::thread::sleep(BREATH);
        parts.listen(if matches!(next, Next::Soon) { SOON } else { PAUSE });
    }
}

#[cfg(test)]
mod tests {
    use crate::catchup::aboard::Aboard;
    use crate::catchup::waiters::Waiter;
    use crate::catchup::world::{World, at};
    use crate::lane::settings::DeliverySettings;
    use crate::lane::signal::PlaceKey;
    use crate::metrics::gauges::Gauges;
    use crate::model::id::Sid;
    use crate::model::schema::SchemaId;
    use crate::quarantine::Becomes;
    use crate::quarantine::settings::QuarantineSettings;
    use std::sync::Arc;

    /// Lanes with 4 slots and a queue of 16 each; the topic holds so many records, and intake stands behind them.
    async fn world(records: i64) -> World {
        queueing(16, records).await
    }

    async fn queueing(queue: usize, records: i64) -> World {
        let mut world = World::new(DeliverySettings { queue, concurrency: 4, ..Default::default() }).await;
        world.write(records).await;
        world.assign(records);
        world
    }

    fn is_live(world: &World, sid: Sid) -> bool {
        world.cell(sid).act(|lane, _| lane.is_live(&at()))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_behind_gets_everything_once_then_is_live_with_no_gap_and_no_twin() {
        let world = world(300).await;
        let sid = world.subscribe(0).await;
        let running = world.catch_up();
        for n in 300..600 {
            world.live(&format!("{{\"n\":{n}}}")).await;
        }
        world.until("live", |world| is_live(world, sid)).await;
        for n in 600..650 {
            world.live(&format!("{{\"n\":{n}}}")).await;
        }
        world.until("all", |world| world.book.of(sid).len() >= 650).await;
        assert_eq!(world.book.sorted(sid), (0..650).collect::<Vec<_>>());
        assert!(is_live(&world, sid));
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn fifty_riders_share_what_is_read() {
        let world = queueing(256, 200).await;
        let mut sids = Vec::new();
        for _ in 0..50 {
            sids.push(world.subscribe(0).await);
        }
        let running = world.catch_up();
        world.until("all", |world| sids.iter().all(|sid| world.book.of(*sid).len() >= 200)).await;
        for sid in &sids {
            assert_eq!(world.book.sorted(*sid), (0..200).collect::<Vec<_>>());
        }
        world.until("live", |world| sids.iter().all(|sid| is_live(world, *sid))).await;
        // Alone each would read 200. A scan whose time is up reads the record at hand once more, so not 200 to the letter.
        let read = world.records_read();
        assert!((200..400).contains(&read), "{read} records read for fifty riders of 200");
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_behind_the_others_gets_what_they_read_lately() {
        let world = world(400).await;
        let (first, second) = (world.subscribe(0).await, world.subscribe(0).await);
        world.book.hang_at(second);
        let running = world.catch_up();
        world.until("live", |world| is_live(world, first) && world.book.of(first).len() >= 400).await;
        assert!(world.book.of(second).is_empty());
        world.book.answer();
        world.until("all", |world| world.book.of(second).len() >= 400).await;
        assert_eq!(world.book.sorted(second), (0..400).collect::<Vec<_>>());
        // Alone each would read 400. Who comes back after what it needs was let go reads some of it again.
        let read = world.records_read();
        assert!((400..600).contains(&read), "{read} records read for two riders of 400");
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_rider_that_is_full_gets_off_and_comes_back() {
        let world = world(100).await;
        let sid = world.subscribe(10).await;
        world.book.hang();
        let running = world.catch_up();
        // 16 wait and up to 4 are out; the next one found no room.
        world.until("full", |world| world.records_read() >= 17).await;
        world.until("off", |world| world.cell(sid).act(|lane, _| lane.riders().is_empty())).await;
        world.book.answer();
        world.until("all", |world| world.book.of(sid).len() >= 90).await;
        assert_eq!(world.book.sorted(sid), (10..100).collect::<Vec<_>>());
        assert!(world.records_read() < 150, "it goes on where it got off: {}", world.records_read());
        world.until("live", |world| is_live(world, sid)).await;
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replay_reads_its_range_and_ends() {
        let world = world(100).await;
        let sid = world.subscribe(100).await;
        world.replay(sid, (20, 30));
        let running = world.catch_up();
        world
            .until("the replay is gone", |world| {
                let place = PlaceKey { at: at(), stream: 7 };
                world.cell(sid).act(|lane, _| lane.next_of(&place).is_none())
            })
            .await;
        assert_eq!(world.book.sorted(sid), (20..30).collect::<Vec<_>>());
        assert!(is_live(&world, sid));
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replay_of_some_types_sends_these_and_ends() {
        let world = world(0).await;
        for n in 0..20 {
            world
                .write_value(&format!("{{\"n\":{n},\"kind\":\"{}\"}}", if n % 5 == 0 { "fifth" } else { "other" }))
                .await;
        }
        let mut world = world;
        world.rules_of("{ type: 't.${payload.kind}', data: '${payload.n}' }");
        world.assign(20);
        let sid = world.subscribe(20).await;
        world.cell(sid).narrowed.add(7, &["t.fifth".into(), "none.**".into()]);
        world.replay(sid, (0, 20));
        let running = world.catch_up();
        let place = PlaceKey { at: at(), stream: 7 };
        let is_over = |world: &World| world.cell(sid).act(|lane, _| lane.next_of(&place).is_none());
        world.until("the replay is gone", is_over).await;
        assert_eq!(world.book.sorted(sid), [0, 5, 10, 15]);
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_place_that_was_put_back_lets_go_and_misses_nothing() {
        let world = world(30).await;
        let sid = world.subscribe(0).await;
        world.book.hang();
        let (cell, mut aboard) = (world.cell(sid), Aboard::default());
        let rider = cell.act(|lane, _| lane.riders()).remove(0);
        aboard.board(Waiter { cell: Arc::clone(&cell), rider });
        for offset in 0..10 {
            world.groups(offset).iter().for_each(|group| aboard.offer(offset, group));
        }
        cell.act(|lane, turn| lane.shed(turn));
        world.groups(10).iter().for_each(|group| aboard.offer(10, group));
        assert!(aboard.is_empty(), "its queue was given back to the cursor");
        world.book.answer();
        let running = world.catch_up();
        world.until("all", |world| world.book.of(sid).len() >= 30).await;
        assert_eq!(world.book.sorted(sid), (0..30).collect::<Vec<_>>());
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn p7_what_is_not_understood_is_quarantined_and_passed() {
        let mut world = world(3).await;
        world.write_value("{").await;
        world.write(3).await;
        world.assign(7);
        let sid = world.subscribe(0).await;
        let running = world.catch_up();
        world.until("live", |world| is_live(world, sid) && world.book.of(sid).len() >= 6).await;
        assert_eq!(world.book.sorted(sid), [0, 1, 2, 4, 5, 6]);
        world.until("durable", |world| world.quarantined().len() == 1).await;
        let (first, row) = world.quarantined().remove(0);
        assert_eq!((row.record.origin.offset, row.owed.live.is_some()), (3, false));
        assert_eq!(row.owed.riders, [sid].into());
        let late = world.subscribe(0).await;
        world.until("live, too", |world| is_live(world, late) && world.book.of(late).len() >= 6).await;
        world.until("extended", |world| world.quarantined()[0].1.owed.riders == [sid, late].into()).await;
        assert_eq!((world.quarantined().len(), &world.quarantined()[0].0), (1, &first), "never doubled");
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_the_quarantine_is_full_who_is_behind_waits_and_misses_nothing() {
        let mut world = World::with(DeliverySettings::default(), QuarantineSettings { bytes: 1 }).await;
        for value in ["{\"n\":0}", "{", "{\"n\":2}", "{", "{\"n\":4}"] {
            world.write_value(value).await;
        }
        world.assign(5);
        let sid = world.subscribe(0).await;
        let running = world.catch_up();
        world.until("the first", |world| world.quarantined().len() == 1 && world.book.of(sid).len() == 2).await;
        let read = world.records_read();
        world.until("another try", |world| world.records_read() > read).await;
        assert_eq!((world.quarantined().len(), world.book.sorted(sid)), (1, vec![0, 2]));
        let id = world.quarantined().remove(0).0;
        world.quarantine.look(&id, |_| Some(Becomes::default()), |_| ()).unwrap();
        world.until("all", |world| world.book.of(sid).len() == 3).await;
        assert_eq!(world.book.sorted(sid), [0, 2, 4]);
        assert_eq!(world.quarantined()[0].1.record.origin.offset, 3);
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_mapping_that_stops_keeps_its_riders_until_the_rules_change() {
        let world = world(5).await;
        world.rules("'${payload.absent}'", "stop");
        let sid = world.subscribe(0).await;
        let running = world.catch_up();
        world.until("a look", |world| world.records_read() >= 1).await;
        world.rules("'${payload.n}'", "stop");
        world.until("all", |world| world.book.of(sid).len() >= 5).await;
        assert_eq!(world.book.sorted(sid), (0..5).collect::<Vec<_>>());
        assert!(world.quarantined().is_empty());
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_owed_of_a_topic_that_no_rule_reads_any_more_waits_until_one_does() {
        let world = world(5).await;
        world.rules_elsewhere();
        let sid = world.subscribe(0).await;
        let running = world.catch_up();
        world.until("a look", |world| world.records_read() >= 1).await;
        world.rules("'${payload.n}'", "quarantine");
        world.until("all", |world| world.book.of(sid).len() >= 5).await;
        assert_eq!(world.book.sorted(sid), (0..5).collect::<Vec<_>>());
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sr_5_a_schema_that_is_not_known_keeps_its_riders_until_it_is() {
        let mut world = world(0).await;
        world.registered();
        for n in 0..5 {
            world.write_value(&format!("\0\0\0\0\u{1}{{\"n\":{n}}}")).await;
        }
        world.assign(5);
        let sid = world.subscribe(0).await;
        let running = world.catch_up();
        let asked = |world: &World| format!("{:?}", world.desk).contains("Number(1)");
        world.until("a question for the schema", asked).await;
        assert!(world.book.of(sid).is_empty() && !is_live(&world, sid));
        world.learn(SchemaId::Number(1));
        world.until("all", |world| world.book.of(sid).len() >= 5).await;
        assert_eq!(world.book.sorted(sid), (0..5).collect::<Vec<_>>());
        assert!(world.quarantined().is_empty());
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_retention_took_is_a_dead_range_and_the_rest_is_delivered() {
        let mut world = world(0).await;
        let large = format!("{{\"n\":1,\"x\":\"{}\"}}", "x".repeat(900_000));
        for _ in 0..8 {
            world.write_value(&large).await; // the in-process broker keeps 5 MiB
        }
        world.assign(8);
        let sid = world.subscribe(0).await;
        let running = world.catch_up();
        world.until("live", |world| is_live(world, sid)).await;
        let lost = world.hands.store.lost(sid).unwrap();
        assert_eq!((lost.len(), lost[0].from), (1, 0));
        assert!((1..8).contains(&lost[0].to), "{lost:?}");
        let counted = format!("\nhookline_lost_records_total {}\n", lost[0].to);
        assert!(world.hands.metrics.scrape(&Gauges::default()).contains(&counted), "{counted}");
        world.until("the rest", |world| world.book.of(sid).last() == Some(&7)).await;
        assert_eq!(world.book.sorted(sid), (lost[0].to..8).collect::<Vec<_>>());
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn without_a_broker_riders_wait_and_go_on_when_it_is_back() {
        let world = world(20).await;
        let sid = world.subscribe(0).await;
        world.broker.down().unwrap();
        let running = world.catch_up();
        world.until("a try", |world| world.cell(sid).act(|lane, _| !lane.riders().is_empty())).await;
        assert!(world.book.of(sid).is_empty());
        world.broker.up().unwrap();
        world.until("all", |world| world.book.of(sid).len() >= 20).await;
        assert_eq!(world.book.sorted(sid), (0..20).collect::<Vec<_>>());
        world.stop(running);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_partition_that_goes_and_comes_again_is_read_from_its_cursors() {
        let mut world = world(60).await;
        let sid = world.subscribe(0).await;
        world.book.hang();
        let running = world.catch_up();
        world.until("full", |world| world.records_read() >= 17).await;
        world.lose();
        world.book.answer();
        world.assign(60);
        world.until("live", |world| is_live(world, sid)).await;
        world.until("all", |world| world.book.of(sid).last() == Some(&59)).await;
        let mut taken = world.book.sorted(sid);
        taken.dedup(); // a loss may bring twins
        assert_eq!(taken, (0..60).collect::<Vec<_>>());
        world.stop(running);
    }
}
