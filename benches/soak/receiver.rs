//! The receiving process from outside: endpoints are opened, given moods, and asked for their books.

use crate::{support::ports, wire::Process};
use std::{collections::BTreeMap, time::Duration};

/// The other process.
pub(crate) struct Receiver(Process);

/// An endpoint of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Endpoint(u16);

/// How an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// 204 at once.
    Well,
    /// 503 at once.
    Failing,
    /// Nothing, ever; what came while it hung is not answered later either.
    Hanging,
    /// Nobody listens.
    Refusing,
}

/// What an endpoint received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// Records that were accepted, each once.
    pub(crate) arrived: u64,
    /// All records below this number were accepted.
    pub(crate) whole: u64,
    pub(crate) twins: u64,
    pub(crate) disorder: u64,
}

/// How old records were when they were accepted, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ages {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

// === impl Mood ===

impl Mood {
    const ALL: [(&str, Self); 4] =
        [("well", Self::Well), ("failing", Self::Failing), ("hanging", Self::Hanging), ("refusing", Self::Refusing)];

    /// The mood of this name.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, mood)| *mood)
    }

    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, mood)| *mood == self).expect("all are there").0
    }
}

// === impl Receiver ===

impl Receiver {
    pub(crate) fn start() -> Self {
        Self(Process::start("receiver"))
    }

    /// An endpoint at a port of its own.
    pub(crate) fn open(&self, mood: Mood) -> Endpoint {
        let endpoint = Endpoint(ports::free());
        self.turn(endpoint, mood);
        endpoint
    }

    pub(crate) fn turn(&self, endpoint: Endpoint, mood: Mood) {
        assert_eq!(self.0.ask(&format!("/{}/{}", mood.word(), endpoint.0)), "done");
    }

    pub(crate) fn accounts(&self) -> BTreeMap<Endpoint, Account> {
        let answer = self.0.ask("/books");
        let account = |line: &str| {
            let numbers = line.split(' ').map(|number| number.parse().unwrap()).collect::<Vec<u64>>();
            let [port, arrived, whole, twins, disorder] = numbers[..] else { panic!("{line}") };
            (Endpoint(u16::try_from(port).unwrap()), Account { arrived, whole, twins, disorder })
        };
        answer.lines().map(account).collect()
    }

    pub(crate) fn account(&self, endpoint: Endpoint) -> Account {
        self.accounts()[&endpoint]
    }

    pub(crate) fn arrived(&self, endpoint: Endpoint) -> u64 {
        self.account(endpoint).arrived
    }

    /// The number below which all of these have all records.
    pub(crate) fn least(&self, endpoints: &[Endpoint]) -> u64 {
        let accounts = self.accounts();
        endpoints.iter().map(|endpoint| accounts[endpoint].whole).min().unwrap_or(0)
    }

    /// What these got together.
    pub(crate) fn sum(&self, endpoints: &[Endpoint]) -> u64 {
        let accounts = self.accounts();
        endpoints.iter().map(|endpoint| accounts[endpoint].arrived).sum()
    }

    /// How many of the records below `end` did not come.
    pub(crate) fn lost(&self, endpoint: Endpoint, end: u64) -> u64 {
        self.0.ask(&format!("/lost/{}/{end}", endpoint.0)).parse().unwrap()
    }

    /// From now on ages are counted anew.
    pub(crate) fn forget_ages(&self) {
        assert_eq!(self.0.ask("/forget"), "done");
    }

    /// The ages at all of these, since they were counted anew.
    pub(crate) fn ages(&self, endpoints: &[Endpoint]) -> Ages {
        let ports = endpoints.iter().map(|endpoint| format!("/{}", endpoint.0)).collect::<String>();
        let answer = self.0.ask(&format!("/ages{ports}"));
        let (p50, p99) = answer.split_once(' ').unwrap();
        Ages { p50: p50.parse().unwrap(), p99: p99.parse().unwrap() }
    }

    /// How long ago requests came that were not accepted, in their order.
    pub(crate) fn refused(&self, endpoint: Endpoint) -> Vec<Duration> {
        let answer = self.0.ask(&format!("/refused/{}", endpoint.0));
        answer.lines().map(|millis| Duration::from_millis(millis.parse().unwrap())).collect()
    }
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn url(self) -> String {
        format!("http://127.0.0.1:{}/", self.0)
    }
}
