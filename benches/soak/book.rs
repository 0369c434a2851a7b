//! What one endpoint received: counts, order per key, how old records were when they were accepted.

use crate::load::KEYS;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Ages are counted in steps of two in a hundred: far finer than what is asked of them.
const STEP: f64 = 1.02;

/// The book of one endpoint.
#[derive(Default)]
pub(crate) struct Book {
    /// Records that were accepted, each once.
    pub(crate) arrived: u64,
    /// All numbers below this one were accepted.
    pub(crate) whole: u64,
    /// Those that were accepted again.
    pub(crate) twins: u64,
    /// Those whose first acceptance came after that of a later one of their key.
    pub(crate) disorder: u64,
    pub(crate) ages: Ages,
    /// When requests came that were not accepted.
    pub(crate) refused: Vec<Instant>,
    /// A bit for each number.
    seen: Vec<u64>,
    /// Of each key, what comes after the highest number so far.
    next: Vec<u64>,
}

/// How old records were.
#[derive(Clone, Default)]
pub(crate) struct Ages(Vec<u64>);

// === impl Book ===

impl Book {
    /// A request came that is not accepted.
    pub(crate) fn refuse(&mut self) {
        self.refused.push(Instant::now());
    }

    /// A request came that is accepted.
    pub(crate) fn accept(&mut self, body: &[u8]) {
        let number = field(body, br#""n":"#).expect("each event has its number");
        if !self.enter(number) {
            self.twins += 1;
            return;
        }
        self.arrived += 1;
        while self.has(self.whole) {
            self.whole += 1;
        }
        let key = usize::try_from(number % KEYS).unwrap();
        if self.next.len() <= key {
            self.next.resize(key + 1, 0);
        }
        self.disorder += u64::from(number < self.next[key]);
        self.next[key] = self.next[key].max(number + 1);
        let sent = field(body, br#""sent":"#).expect("each event says when it was sent");
        self.ages.add(micros().saturating_sub(sent));
    }

    /// How many of the numbers below `end` did not come.
    pub(crate) fn lost(&self, end: u64) -> u64 {
        (0..end).filter(|number| !self.has(*number)).count() as u64
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.seen.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Whether the number is new.
    fn enter(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }
}

// === impl Ages ===

impl Ages {
    fn add(&mut self, micros: u64) {
        let step = (micros.max(1) as f64).log(STEP) as usize;
        if self.0.len() <= step {
            self.0.resize(step + 1, 0);
        }
        self.0[step] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        self.0.iter_mut().zip(&other.0).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// The age that this share of all does not exceed, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = self.0.iter().sum::<u64>() as f64 * share;
        let mut before = 0;
        let step = self.0.iter().position(|count| {
            before += count;
            before as f64 >= wanted
        });
        STEP.powi(i32::try_from(step.unwrap_or(0)).unwrap()) / 1_000.0
    }
}

/// Now, as records say when they were sent.
pub(crate) fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn place(number: u64) -> (usize, u64) {
    (usize::try_from(number / 64).unwrap(), 1 << (number % 64))
}

/// The digits after `name`.
fn field(body: &[u8], name: &[u8]) -> Option<u64> {
    let at = body.windows(name.len()).position(|window| window == name)? + name.len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
