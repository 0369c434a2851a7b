//! What a process costs while it delivers: events a second, CPU time per event, memory.

use crate::support::{daemon::memory, wait};
use std::{
    fmt, fs,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(600);
/// Linux counts CPU time in hundredths of a second towards users, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// Deliveries a second.
    pub(crate) rate: f64,
    /// Microseconds of CPU per delivery.
    pub(crate) cpu: f64,
    /// Most memory the process had so far, in MiB.
    pub(crate) rss: f64,
}

// === impl Figure ===

impl Figure {
    /// Nothing measured yet.
    pub(crate) fn none() -> Self {
        Self { rate: 0.0, cpu: f64::INFINITY, rss: 0.0 }
    }

    /// The better of both, each number for itself; of memory the worse.
    pub(crate) fn better(self, other: Self) -> Self {
        Self { rate: self.rate.max(other.rate), cpu: self.cpu.min(other.cpu), rss: self.rss.max(other.rss) }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.0} {:>18.1} {:>10.0}", self.rate, self.cpu, self.rss)
    }
}

/// Measures process `pid` from when a tenth of `all` has arrived until nine tenths have.
pub(crate) fn under_load(pid: u32, all: u64, arrived: impl Fn() -> u64) -> Figure {
    let look = |tenths: u64| {
        wait::until(&format!("{tenths} tenths of {all}"), PATIENCE, || {
            let arrived = arrived();
            (arrived >= all * tenths / 10).then(|| (arrived, cpu(pid), Instant::now()))
        })
    };
    let ((from, cpu_from, begun), (to, cpu_to, ended)) = (look(1), look(9));
    let (events, took) = ((to - from) as f64, ended.duration_since(begun).as_secs_f64());
    Figure { rate: events / took, cpu: (cpu_to - cpu_from) * 1e6 / events, rss: memory(pid, "VmHWM") as f64 / 1024.0 }
}

/// CPU time that process `pid` has used so far, in seconds: user and system, all threads.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // The name stands in parentheses and may hold anything; what follows it begins with the third field.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 1..].split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().unwrap();
    (ticks(14) + ticks(15)) / TICKS_PER_SECOND
}
