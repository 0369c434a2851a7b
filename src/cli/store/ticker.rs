//! How far a long work is, on one line of a terminal that is written over; nothing where nobody looks.

use crate::cli::store::amount;
use crate::store::upkeep::Amount;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is done sooner needs no line, and no line is worth more than this.
const PAUSE: Duration = Duration::from_secs(1);

/// The line.
pub(crate) struct Ticker {
    verb: &'static str,
    last: Option<Instant>,
    shows: bool,
}

// === impl Ticker ===

impl Ticker {
    /// A line that will say what was done (`read`, `wrote`) with how much.
    pub(crate) fn new(verb: &'static str) -> Self {
        Self { verb, last: io::stderr().is_terminal().then(Instant::now), shows: false }
    }

    /// So much is done.
    pub(crate) fn tick(&mut self, amount: Amount) {
        if self.last.is_some_and(|last| last.elapsed() >= PAUSE) {
            self.last = Some(Instant::now());
            self.shows = true;
            self.show(&format!("{} {}", self.verb, amount::shown(amount)));
        }
    }

    /// Where standard error is closed, nobody looks.
    fn show(&self, text: &str) {
        let mut err = io::stderr().lock();
        drop(write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush()));
    }
}

impl Drop for Ticker {
    /// All is done, or failed: the line goes.
    fn drop(&mut self) {
        if self.shows {
            self.show("");
        }
    }
}
