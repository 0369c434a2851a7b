//! What is produced: numbered records of 300 bytes in many keys, as fast as the broker takes them or at an even rate.

use crate::{
    book::micros,
    support::broker::{self, Sample},
};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub(crate) const PARTITIONS: i32 = 12;
/// Record `n` has key `n % KEYS`: a prime, so that each partition has keys of all kinds.
pub(crate) const KEYS: u64 = 1_009;

/// Records at an even rate, until it is stopped.
pub(crate) struct Steady {
    made: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
    producer: JoinHandle<()>,
}

// === impl Steady ===

impl Steady {
    /// From number `from` on, so many a second.
    pub(crate) fn start((address, topic): (&str, &str), from: u64, rate: u64) -> Self {
        let (made, stopping) = (Arc::new(AtomicU64::new(from)), Arc::new(AtomicBool::new(false)));
        let (address, topic) = (address.to_owned(), topic.to_owned());
        let (counter, stop) = (Arc::clone(&made), Arc::clone(&stopping));
        let producer = thread::spawn(move || {
            let begun = Instant::now();
            let numbers = (from..).take_while(|n| {
                let due = begun + Duration::from_secs_f64((n - from) as f64 / rate as f64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                counter.store(*n, Ordering::SeqCst);
                !stop.load(Ordering::SeqCst)
            });
            broker::produce_each_at_once(&address, &topic, numbers.map(sample));
        });
        Self { made, stopping, producer }
    }

    /// The number of the next record.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// Stops; gives the number of the next record, all before it being with the broker.
    pub(crate) fn stop(self) -> u64 {
        self.stopping.store(true, Ordering::SeqCst);
        self.producer.join().unwrap();
        self.made.load(Ordering::SeqCst)
    }
}

/// Records of these numbers.
pub(crate) fn samples(numbers: Range<u64>) -> impl Iterator<Item = Sample> {
    numbers.map(sample)
}

fn sample(n: u64) -> Sample {
    let key = n % KEYS;
    let partition = i32::try_from(key % u64::from(PARTITIONS.unsigned_abs())).unwrap();
    let value = format!(
        concat!(
            r#"{{"type":"MeterRead","n":{n},"sent":{sent},"meter":{{"id":"m-{key}","site":"Canal Street 12","unit":"kWh","#,
            r#""model":"EM-340"}},"reading":{{"total":{n}.25,"peak":117.5,"phase":[38.1,40.2,39.2]}},"quality":"good","#,
            r#""note":"{note}"}}"#
        ),
        n = n,
        sent = micros(),
        key = key,
        note = "read by radio, no visit was needed; next at the end of the month",
    );
    Sample { partition, key: format!("m-{key}"), value: value.into_bytes() }
}

/// A mapping file that announces the readings of `topic`.
pub(crate) fn mapping(topic: &str) -> String {
    format!(
        r#"mappings:
  - name: meter-read
    from: {topic}
    when: payload.type == "MeterRead"
    emit:
      type: com.acme.meter.read.v1
      subject: ${{payload.meter.id}}
      data:
        n: ${{payload.n}}
        sent: ${{payload.sent}}
        site: ${{payload.meter.site}}
        unit: ${{payload.meter.unit}}
        total: ${{payload.reading.total}}
        peak: ${{payload.reading.peak}}
        quality: ${{payload.quality}}
"#
    )
}
