//! All metrics, listed in [`table`]; the only room that names the metrics crate.
//!
//! Takes counts from the loops and, at a scrape, gauges; gives text. Series that are known in advance are there
//! from the start with 0, and counting costs no search among labels: each series is held by whom it counts.

pub mod gauges;
mod registry;
pub mod table;

use crate::metrics::gauges::Gauges;
use crate::metrics::registry::{Book, Bounded, text};
use crate::model::dead_letter::DeadReason;
use crate::model::jump::JumpReason;
use crate::model::outcome::{FailureCause, Outcome};
use crate::model::quarantine::FaultReason;
use prometheus::{Counter, Histogram, IntCounter, IntGauge};
use std::sync::Arc;
use std::time::Duration;

/// The metrics of one process; clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    book: Book,
    topics: Bounded<Topic>,
    mappings: Bounded<IntCounter>,
    validated: Bounded<[IntCounter; 2]>,
    deliveries: [IntCounter; DELIVERIES.len()],
    attempts: [IntCounter; CLASSES.len()],
    attempt_duration: Histogram,
    delivery_age: Histogram,
    in_flight: IntGauge,
    retries: IntCounter,
    breakers: [IntCounter; BREAKERS.len()],
    operational: [IntCounter; 2],
    dead_letters: [IntCounter; DeadReason::ALL.len()],
    backpressure: [Counter; PAUSES.len()],
    store_flush: Histogram,
    catch_up_read: IntCounter,
    lost: IntCounter,
    reloads: [IntCounter; RELOADS.len()],
    jumps: [IntCounter; JumpReason::ALL.len()],
    spans: [IntCounter; SPANS.len()],
}

/// What became of a span of a recorded trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanFate {
    /// The collector has it.
    Exported,
    /// It found no room in the queue.
    Dropped,
    /// The collector did not take it.
    Failed,
}

/// What a schema said to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It fits.
    Valid,
    /// It does not.
    Invalid,
}

/// What became of an operational event for one who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is a delivery now.
    Owed,
    /// There was no room for it.
    Dropped,
}

/// The series of one topic.
struct Topic {
    consumed: IntCounter,
    mapped: IntCounter,
    unmatched: IntCounter,
    quarantined: [IntCounter; FaultReason::ALL.len()],
}

/// The `class` label of attempts; the place of each is what [`class`] gives.
const CLASSES: [&str; 15] = [
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "other",
    "dns",
    "connect",
    "tls",
    "timeout",
    "reset",
    "blocked",
    "too_large",
    "protocol",
    "cut_off",
    "transform",
];

/// The `outcome` label of deliveries.
const DELIVERIES: [&str; 6] = ["accepted", "refused", "failed", "blocked", "dead", "expired"];

/// The `reason` label of back-pressure; what is not in it counts as the last.
const PAUSES: [&str; 7] = ["bytes", "partition", "registry", "quarantine", "store", "egress", "other"];

/// The `to` label of breaker transitions.
const BREAKERS: [&str; 3] = ["open", "probation", "closed"];

/// The `result` label of spans, in the order of [`SpanFate`].
const SPANS: [&str; 3] = ["exported", "dropped", "failed"];

/// The `result` label of reloads.
const RELOADS: [&str; 3] = ["applied", "unchanged", "refused"];

/// Up to the longest timeout one may set; OpenTelemetry's and more (PM-8).
const EXCHANGE: [f64; 19] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0];

/// 1 ms, the age we aim at, to 3 d, the age at which a delivery is given up.
const AGE: [f64; 22] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
    10_800.0, 43_200.0, 86_400.0, 259_200.0,
];

/// From what a fast disk needs to what no disk should.
const FLUSH: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

// === impl Metrics ===

impl Metrics {
    /// Metrics that all stand at 0.
    #[must_use]
    pub fn new() -> Self {
        let book = Book::new();
        let counters = |what| book.counters(what);
        let consumed = counters(&table::RECORDS_CONSUMED);
        let mapped = counters(&table::RECORDS_MAPPED);
        let unmatched = counters(&table::RECORDS_UNMATCHED);
        let quarantined = counters(&table::RECORDS_QUARANTINED);
        let emitted = counters(&table::EVENTS_EMITTED);
        let validated = counters(&table::EVENTS_VALIDATED);
        let topics = Bounded::new(move |topic| Topic {
            consumed: consumed.with_label_values(&[topic]),
            mapped: mapped.with_label_values(&[topic]),
            unmatched: unmatched.with_label_values(&[topic]),
            quarantined: FaultReason::ALL.map(|reason| quarantined.with_label_values(&[topic, reason.as_str()])),
        });
        let build = [env!("CARGO_PKG_VERSION"), option_env!("HOOKLINE_COMMIT").unwrap_or("unknown")];
        book.gauges(&table::BUILD_INFO).with_label_values(&build).set(1.0);
        book.process();
        Self(Arc::new(Inner {
            topics,
            mappings: Bounded::new(move |mapping| emitted.with_label_values(&[mapping])),
            validated: Bounded::new(move |mapping| {
                ["valid", "invalid"].map(|result| validated.with_label_values(&[mapping, result]))
            }),
            deliveries: book.closed(&table::DELIVERIES, DELIVERIES),
            attempts: book.closed(&table::ATTEMPTS, CLASSES),
            attempt_duration: book.histogram(&table::ATTEMPT_DURATION, &EXCHANGE),
            delivery_age: book.histogram(&table::DELIVERY_AGE, &AGE),
            in_flight: book.level(&table::IN_FLIGHT_ATTEMPTS),
            retries: book.counter(&table::RETRIES),
            breakers: book.closed(&table::BREAKER_TRANSITIONS, BREAKERS),
            operational: book.closed(&table::OPERATIONAL_EVENTS, ["owed", "dropped"]),
            dead_letters: book.closed(&table::DEAD_LETTERS, DeadReason::ALL.map(DeadReason::as_str)),
            backpressure: book.seconds(&table::BACKPRESSURE, PAUSES),
            store_flush: book.histogram(&table::STORE_FLUSH, &FLUSH),
            catch_up_read: book.counter(&table::CATCH_UP_READ),
            lost: book.counter(&table::LOST_RECORDS),
            reloads: book.closed(&table::CONFIG_RELOADS, RELOADS),
            jumps: book.closed(&table::POSITION_JUMPS, JumpReason::ALL.map(JumpReason::as_str)),
            spans: book.closed(&table::SPANS, SPANS),
            book,
        }))
    }

    /// Series of a topic that is read are there with 0 before its first record: an increase shows only over one.
    pub fn reads_topic(&self, topic: &str) {
        self.0.topics.with(topic, |_| ());
    }

    /// The same for a mapping in force.
    pub fn has_mapping(&self, mapping: &str) {
        self.0.mappings.with(mapping, |_| ());
    }

    /// Records of `topic` were admitted.
    pub fn records_consumed(&self, topic: &str, count: u64) {
        self.0.topics.with(topic, |topic| topic.consumed.inc_by(count));
    }

    /// Records of `topic` became at least one event.
    pub fn records_mapped(&self, topic: &str, count: u64) {
        self.0.topics.with(topic, |topic| topic.mapped.inc_by(count));
    }

    /// Records of `topic` became events that nobody asked for.
    pub fn records_unmatched(&self, topic: &str, count: u64) {
        self.0.topics.with(topic, |topic| topic.unmatched.inc_by(count));
    }

    /// A record of `topic` went to the quarantine.
    pub fn records_quarantined(&self, topic: &str, reason: FaultReason) {
        let place = FaultReason::ALL.iter().position(|other| *other == reason);
        let place = place.expect("ALL has every reason");
        self.0.topics.with(topic, |topic| topic.quarantined[place].inc());
    }

    /// A mapping made events.
    pub fn events_emitted(&self, mapping: &str, count: u64) {
        self.0.mappings.with(mapping, |emitted| emitted.inc_by(count));
    }

    /// An event of `mapping` was held against its schema.
    pub fn event_validated(&self, mapping: &str, result: Validity) {
        self.0.validated.with(mapping, |results| results[result as usize].inc());
    }

    /// Reading was paused for this `reason`, so long.
    pub fn backpressure(&self, reason: &str, paused: Duration) {
        let place = PAUSES.iter().position(|other| *other == reason).unwrap_or(PAUSES.len() - 1);
        self.0.backpressure[place].inc_by(paused.as_secs_f64());
    }

    /// A delivery was given up.
    pub fn dead_letter(&self, reason: DeadReason) {
        let place = DeadReason::ALL.iter().position(|other| *other == reason).expect("ALL has every reason");
        self.0.dead_letters[place].inc();
        self.delivered(if reason == DeadReason::Expired { "expired" } else { "dead" });
    }

    /// A breaker went over to this state; an unknown one is not counted.
    pub fn breaker(&self, to: &str) {
        if let Some(place) = BREAKERS.iter().position(|other| *other == to) {
            self.0.breakers[place].inc();
        }
    }

    /// An operational event was owed to somebody, or was not.
    pub fn operational(&self, told: Told) {
        self.0.operational[told as usize].inc();
    }

    /// An attempt begins that is not the delivery's first.
    pub fn retry(&self) {
        self.0.retries.inc();
    }

    /// So many attempts more are out (or, below 0, less).
    pub fn in_flight_attempts(&self, change: i64) {
        self.0.in_flight.add(change);
    }

    /// An attempt ended.
    pub fn attempted(&self, outcome: &Outcome, took: Duration) {
        self.0.attempts[class(outcome)].inc();
        self.0.attempt_duration.observe(took.as_secs_f64());
        self.delivered(match outcome {
            _ if outcome.accepted() => "accepted",
            Outcome::Answered(_) => "refused",
            Outcome::Failed { cause: FailureCause::BlockedAddress, .. } => "blocked",
            Outcome::Failed { .. } => "failed",
        });
    }

    /// An endpoint accepted a delivery whose record was so old.
    pub fn delivery_age(&self, age: Duration) {
        self.0.delivery_age.observe(age.as_secs_f64());
    }

    /// Scans read records again, for those who are behind.
    pub fn catch_up_read(&self, count: u64) {
        self.0.catch_up_read.inc_by(count);
    }

    /// Retention took so many offsets before one that was behind had read them.
    pub fn lost(&self, count: u64) {
        self.0.lost.inc_by(count);
    }

    /// Another configuration was asked for: it was `applied`, `unchanged` or `refused`; what is none of these is not
    /// counted.
    pub fn reloaded(&self, result: &str) {
        if let Some(place) = RELOADS.iter().position(|other| *other == result) {
            self.0.reloads[place].inc();
        }
    }

    /// A partition did not go on where it was left.
    pub fn jumped(&self, reason: JumpReason) {
        let place = JumpReason::ALL.iter().position(|other| *other == reason).expect("ALL has every reason");
        self.0.jumps[place].inc();
    }

    /// This became of so many spans.
    pub fn spans(&self, fate: SpanFate, count: usize) {
        self.0.spans[fate as usize].inc_by(count as u64);
    }

    /// The store made a tick's changes durable.
    pub fn store_flush(&self, took: Duration) {
        self.0.store_flush.observe(took.as_secs_f64());
    }

    /// Everything as text, format 0.0.4; `gauges` are what is true now.
    #[must_use]
    pub fn scrape(&self, gauges: &Gauges) -> String {
        let mut families = self.0.book.gather();
        families.extend(gauges.gather());
        text(families)
    }

    fn delivered(&self, outcome: &'static str) {
        let place = DELIVERIES.iter().position(|other| *other == outcome).expect("outcomes are named here only");
        self.0.deliveries[place].inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// The place of an outcome in [`CLASSES`].
fn class(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Answered(answer) => match answer.status {
            200..=299 => 0,
            300..=399 => 1,
            400..=499 => 2,
            500..=599 => 3,
            _ => 4,
        },
        Outcome::Failed { cause, .. } => match cause {
            FailureCause::Dns => 5,
            FailureCause::Connect => 6,
            FailureCause::Tls => 7,
            FailureCause::Timeout => 8,
            FailureCause::Reset => 9,
            FailureCause::BlockedAddress => 10,
            FailureCause::TooLarge => 11,
            FailureCause::Protocol => 12,
            FailureCause::CutOff => 13,
            FailureCause::Transform => 14,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::gauges::{PartitionGauges, SUBSCRIPTIONS, SubscriptionGauges};
    use crate::metrics::table::ALL;
    use crate::model::outcome::{Answer, RetryAfter};
    use bytes::Bytes;
    use std::collections::{BTreeMap, BTreeSet};

    fn answered(status: u16) -> Outcome {
        Outcome::Answered(Answer { status, retry_after: RetryAfter::Absent, head: Bytes::new() })
    }

    fn failed(cause: FailureCause) -> Outcome {
        Outcome::Failed { cause, detail: "because".into() }
    }

    /// Metrics and gauges in which every family has a series.
    fn full() -> (Metrics, Gauges) {
        let metrics = Metrics::new();
        metrics.records_consumed("shop.orders", 3);
        metrics.events_emitted("order-placed", 2);
        metrics.event_validated("order-placed", Validity::Invalid);
        let partition =
            PartitionGauges { topic: "shop.orders".into(), partition: 7, lag: Some(5), ..Default::default() };
        let gauges = Gauges {
            partitions: vec![partition],
            lanes: vec![("active", 2)],
            subscriptions: vec![("active", 2)],
            ready: vec![("kafka", 1)],
            cursor_headroom: Some(Duration::from_secs(3)),
            each: vec![SubscriptionGauges { id: "sub_a".into(), attempts: 3, failures: 1, ..Default::default() }],
            ..Gauges::default()
        };
        (metrics, gauges)
    }

    fn value(text: &str, series: &str) -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    #[test]
    fn the_table_is_what_a_scrape_holds() {
        let (metrics, gauges) = full();
        let text = metrics.scrape(&gauges);
        let mut found: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                found.insert(name, (help, ""));
            }
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                found.get_mut(name).unwrap().1 = kind;
            }
        }
        found.retain(|name, _| !name.starts_with("process_"));
        let listed: BTreeMap<_, _> = ALL.iter().map(|one| (one.name, (one.help, one.kind.as_str()))).collect();
        assert_eq!(found, listed);
        for one in ALL {
            let end = |line: &&str| line.starts_with(one.name) && !line.contains("_bucket{");
            let series = text.lines().find(end).unwrap_or_else(|| panic!("{} has no series", one.name));
            let labels = series.split_once('{').map_or("", |(_, labels)| labels.rsplit_once('}').unwrap().0);
            let names: BTreeSet<_> =
                labels.split(',').filter_map(|label| label.split_once('=')).map(|(n, _)| n).collect();
            assert_eq!(names, one.labels.iter().copied().collect(), "{}", one.name);
        }
    }

    #[test]
    fn the_documented_table_is_the_table() {
        let page = include_str!("../../docs/metrics.md");
        let listed = ALL.iter().map(|one| {
            let labels = if one.labels.is_empty() { "-".into() } else { one.labels.join(", ") };
            format!("| `{}` | {} | {labels} | {} |", one.name, one.kind.as_str(), one.help)
        });
        let written = page.lines().filter(|line| line.starts_with("| `hookline_"));
        assert_eq!(written.collect::<Vec<_>>(), listed.collect::<Vec<_>>());
    }

    #[test]
    fn pm_1_names_say_prefix_and_unit() {
        for one in ALL {
            assert!(one.name.starts_with("hookline_"), "{}", one.name);
            assert!(one.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", one.name);
            assert_eq!(one.name.ends_with("_total"), one.kind == table::Kind::Counter, "{}", one.name);
        }
    }

    #[test]
    fn pm_3_what_is_known_in_advance_is_there_with_0() {
        let text = Metrics::new().scrape(&Gauges::default());
        for class in CLASSES {
            assert_eq!(value(&text, &format!("hookline_attempts_total{{class=\"{class}\"}}")), Some(0.0), "{class}");
        }
        for outcome in DELIVERIES {
            assert_eq!(value(&text, &format!("hookline_deliveries_total{{outcome=\"{outcome}\"}}")), Some(0.0));
        }
        for reason in ["bytes", "partition", "registry", "quarantine", "store"] {
            let series = format!("hookline_backpressure_seconds_total{{reason=\"{reason}\"}}");
            assert_eq!(value(&text, &series), Some(0.0));
        }
        assert_eq!(value(&text, "hookline_retries_total"), Some(0.0));
        assert_eq!(value(&text, "hookline_lost_records_total"), Some(0.0));
    }

    #[test]
    fn pm_4_the_text_can_be_read_by_a_parser_of_format_0_0_4() {
        let (metrics, gauges) = full();
        metrics.records_consumed("a\"b\\c\nd", 1);
        metrics.delivery_age(Duration::from_millis(3));
        let text = metrics.scrape(&gauges);
        assert!(text.ends_with('\n'));
        assert_eq!(value(&text, r#"hookline_records_consumed_total{topic="a\"b\\c\nd"}"#), Some(1.0));
        let mut family = "";
        let mut seen = BTreeSet::new();
        let mut series = BTreeSet::new();
        for line in text.lines() {
            match line.strip_prefix("# HELP ") {
                Some(rest) => {
                    family = rest.split(' ').next().unwrap();
                    assert!(seen.insert(family), "{family} is there twice");
                }
                None if line.starts_with("# TYPE ") => assert!(line.starts_with(&format!("# TYPE {family} "))),
                None => {
                    assert!(line.starts_with(family), "{line} stands apart from its family");
                    assert!(series.insert(line.rsplit_once(' ').unwrap().0), "{line} is there twice");
                }
            }
        }
        let buckets = text.lines().filter(|line| line.starts_with("hookline_delivery_age_seconds_bucket"));
        let counts: Vec<f64> = buckets.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
        assert!(counts.is_sorted() && counts.len() == AGE.len() + 1);
        assert_eq!(counts.last().copied(), value(&text, "hookline_delivery_age_seconds_count"));
    }

    #[test]
    fn an_attempt_counts_once_by_its_class_and_once_by_what_came_of_it() {
        let metrics = Metrics::new();
        let outcomes = [(200, "2xx"), (204, "2xx"), (302, "3xx"), (410, "4xx"), (503, "5xx"), (101, "other")];
        for (status, class_name) in outcomes {
            assert_eq!(CLASSES[class(&answered(status))], class_name);
            metrics.attempted(&answered(status), Duration::from_millis(2));
        }
        for cause in FailureCause::ALL {
            let name = if cause == FailureCause::BlockedAddress { "blocked" } else { cause.as_str() };
            assert_eq!(CLASSES[class(&failed(cause))], name);
            metrics.attempted(&failed(cause), Duration::from_millis(2));
        }
        let text = metrics.scrape(&Gauges::default());
        let delivered = |outcome| value(&text, &format!("hookline_deliveries_total{{outcome=\"{outcome}\"}}"));
        assert_eq!(delivered("accepted"), Some(2.0));
        assert_eq!(delivered("refused"), Some(4.0));
        assert_eq!(delivered("blocked"), Some(1.0));
        assert_eq!(delivered("failed"), Some(9.0));
        assert_eq!(value(&text, "hookline_attempt_duration_seconds_count"), Some(16.0));
        assert_eq!(value(&text, "hookline_attempts_total{class=\"blocked\"}"), Some(1.0));
    }

    #[test]
    fn a_delivery_given_up_counts_by_reason_and_as_expired_or_dead() {
        let metrics = Metrics::new();
        DeadReason::ALL.into_iter().for_each(|reason| metrics.dead_letter(reason));
        let text = metrics.scrape(&Gauges::default());
        assert_eq!(value(&text, "hookline_dead_letters_total{reason=\"gone\"}"), Some(1.0));
        assert_eq!(value(&text, "hookline_deliveries_total{outcome=\"expired\"}"), Some(1.0));
        assert_eq!(value(&text, "hookline_deliveries_total{outcome=\"dead\"}"), Some(4.0));
    }

    #[test]
    fn pm_2_a_flood_of_names_is_counted_together_and_loses_nothing() {
        let metrics = Metrics::new();
        for number in 0..registry::VALUES + 50 {
            metrics.records_consumed(&format!("topic-{number}"), 1);
            metrics.events_emitted(&format!("mapping-{number}"), 2);
        }
        let text = metrics.scrape(&Gauges::default());
        let series = text.lines().filter(|line| line.starts_with("hookline_records_consumed_total{"));
        assert_eq!(series.count(), registry::VALUES + 1);
        assert_eq!(value(&text, "hookline_records_consumed_total{topic=\"other\"}"), Some(50.0));
        assert_eq!(value(&text, "hookline_events_emitted_total{mapping=\"other\"}"), Some(100.0));
        assert_eq!(value(&text, "hookline_records_consumed_total{topic=\"topic-3\"}"), Some(1.0));
    }

    #[test]
    fn threads_that_meet_a_topic_at_once_lose_no_count() {
        let metrics = Metrics::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|number| metrics.records_mapped(&format!("t{number}"), 1)));
            }
        });
        let text = metrics.scrape(&Gauges::default());
        let series = text.lines().filter(|line| line.starts_with("hookline_records_mapped_total{topic=\"t"));
        assert_eq!(series.filter(|line| line.ends_with("} 4")).count(), 100);
    }

    #[test]
    fn gauges_show_the_moment_and_leave_nothing_behind() {
        let (metrics, gauges) = full();
        metrics.in_flight_attempts(3);
        metrics.in_flight_attempts(-1);
        metrics.backpressure("bytes", Duration::from_millis(1_500));
        let text = metrics.scrape(&gauges);
        assert_eq!(value(&text, "hookline_in_flight_attempts"), Some(2.0));
        assert_eq!(value(&text, "hookline_backpressure_seconds_total{reason=\"bytes\"}"), Some(1.5));
        let lag = "hookline_partition_lag_records{partition=\"7\",topic=\"shop.orders\"}";
        assert_eq!(value(&text, lag), Some(5.0));
        assert_eq!(value(&metrics.scrape(&Gauges::default()), lag), None);
    }

    #[test]
    fn pm_2_subscriptions_are_shown_one_by_one_up_to_a_bound_and_leave_no_series_behind() {
        let metrics = Metrics::new();
        let one =
            |number: usize| SubscriptionGauges { id: format!("sub_{number:04}"), attempts: 2, ..Default::default() };
        let all = Gauges { each: (0..SUBSCRIPTIONS + 9).map(one).collect(), ..Gauges::default() };
        let text = metrics.scrape(&all);
        let series = text.lines().filter(|line| line.starts_with("hookline_subscription_attempts_total{"));
        assert_eq!(series.count(), SUBSCRIPTIONS);
        let first = "hookline_subscription_attempts_total{subscription=\"sub_0000\"}";
        assert_eq!(value(&metrics.scrape(&all), first), Some(2.0), "a scrape counts nothing");
        let fewer = Gauges { each: vec![one(1)], ..Gauges::default() };
        assert_eq!(value(&metrics.scrape(&fewer), first), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_shows_its_memory_and_cpu() {
        let text = Metrics::new().scrape(&Gauges::default());
        assert!(value(&text, "process_resident_memory_bytes").unwrap() > 1e5);
        assert!(value(&text, "process_cpu_seconds_total").is_some());
        assert_eq!(value(&text, "process_start_time_seconds").map(|time| time > 1e9), Some(true));
    }
}
