//! Makes metrics from their definitions, bounds labels whose values come from outside, writes the text.

use crate::metrics::table::Definition;
use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Values of a label that comes from outside, at most; the rest is counted together as [`OTHER`]. A service of
/// ours reads some dozens of topics, so this is met only when names run wild.
pub(crate) const VALUES: usize = 1_000;

/// The label value of what found no room.
pub(crate) const OTHER: &str = "other";

const DEFINED: &str = "the table's names and labels are valid and used once (the_table_is_what_a_scrape_holds)";

/// Where metrics are registered; one per [`crate::metrics::Metrics`], nothing is global.
pub(crate) struct Book(Registry);

/// Series of one label value from outside each, found without asking the metrics crate.
///
/// Readers never wait; a new value copies the map once, at most [`VALUES`] times.
pub(crate) struct Bounded<T> {
    known: ArcSwap<HashMap<Box<str>, Arc<T>>>,
    adding: Mutex<()>,
    other: Arc<T>,
    make: Box<dyn Fn(&str) -> T + Send + Sync>,
}

// === impl Book ===

impl Book {
    pub(crate) fn new() -> Self {
        Self(Registry::new())
    }

    pub(crate) fn counter(&self, what: &Definition) -> IntCounter {
        self.keep(IntCounter::with_opts(opts(what)).expect(DEFINED))
    }

    pub(crate) fn counters(&self, what: &Definition) -> IntCounterVec {
        self.keep(IntCounterVec::new(opts(what), what.labels).expect(DEFINED))
    }

    /// One counter of seconds for each value of its only label, from 0.
    pub(crate) fn seconds<const N: usize>(&self, what: &Definition, values: [&str; N]) -> [Counter; N] {
        let vec = self.keep(CounterVec::new(opts(what), what.labels).expect(DEFINED));
        values.map(|value| vec.with_label_values(&[value]))
    }

    /// One counter for each value of its only label, from 0.
    pub(crate) fn closed<const N: usize>(&self, what: &Definition, values: [&str; N]) -> [IntCounter; N] {
        let vec = self.counters(what);
        values.map(|value| vec.with_label_values(&[value]))
    }

    pub(crate) fn level(&self, what: &Definition) -> IntGauge {
        self.keep(IntGauge::with_opts(opts(what)).expect(DEFINED))
    }

    pub(crate) fn gauge(&self, what: &Definition) -> Gauge {
        self.keep(Gauge::with_opts(opts(what)).expect(DEFINED))
    }

    pub(crate) fn gauges(&self, what: &Definition) -> GaugeVec {
        self.keep(GaugeVec::new(opts(what), what.labels).expect(DEFINED))
    }

    pub(crate) fn histogram(&self, what: &Definition, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::new(what.name, what.help).buckets(buckets.to_vec());
        self.keep(Histogram::with_opts(opts).expect(DEFINED))
    }

    /// CPU, memory, files and threads of this process, by their usual names.
    pub(crate) fn process(&self) {
        #[cfg(target_os = "linux")]
        self.0
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("its names are not ours");
    }

    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        self.0.gather()
    }

    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect(DEFINED);
        metric
    }
}

// === impl Bounded ===

impl<T> Bounded<T> {
    pub(crate) fn new(make: impl Fn(&str) -> T + Send + Sync + 'static) -> Self {
        let (known, adding, other) = (ArcSwap::from_pointee(HashMap::new()), Mutex::new(()), Arc::new(make(OTHER)));
        Self { known, adding, other, make: Box::new(make) }
    }

    /// Lets `count` use the series of `value`.
    pub(crate) fn with(&self, value: &str, count: impl FnOnce(&T)) {
        let known = self.known.load();
        if let Some(series) = known.get(value) {
            return count(series);
        }
        if known.len() >= VALUES {
            return count(&self.other);
        }
        count(&self.add(value));
    }

    fn add(&self, value: &str) -> Arc<T> {
        let _turn = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load_full();
        if let Some(series) = known.get(value) {
            return Arc::clone(series);
        }
        if known.len() >= VALUES {
            return Arc::clone(&self.other);
        }
        let (series, mut more) = (Arc::new((self.make)(value)), (*known).clone());
        more.insert(value.into(), Arc::clone(&series));
        self.known.store(Arc::new(more));
        series
    }
}

/// Families as text, format 0.0.4 (PM-4), sorted by name.
pub(crate) fn text(mut families: Vec<MetricFamily>) -> String {
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&families).expect("families that a registry gathered can be written")
}

fn opts(what: &Definition) -> Opts {
    Opts::new(what.name, what.help)
}
