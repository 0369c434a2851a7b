//! A receiver that is cheap and a process of its own: counts requests by path, answers 204.

use crate::wire::{self, Answer, Process, Request};
use std::{cell::RefCell, collections::HashMap, rc::Rc};

/// Who calls this path is never answered.
pub(crate) const HANGS: &str = "/hangs";
const COUNTS: &str = "/counts";

/// The other process.
pub(crate) struct Receiver(Process);

type Counts = Rc<RefCell<HashMap<String, u64>>>;

// === impl Receiver ===

impl Receiver {
    pub(crate) fn start() -> Self {
        Self(Process::start("receiver"))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.address)
    }

    /// How many requests came to these paths so far.
    pub(crate) fn count(&self, paths: &[&str]) -> u64 {
        let answer = self.0.ask(COUNTS);
        let counts = answer.lines().filter_map(|line| line.split_once(' '));
        counts.filter(|(path, _)| paths.contains(path)).map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    }
}

/// The other process's life, until it is killed.
pub(crate) fn serve() {
    let counts = Counts::default();
    wire::serve(move |request| answer(&counts, request));
}

fn answer(counts: &Counts, request: &Request<'_>) -> Answer {
    let path = request.path;
    if path == COUNTS {
        return Answer::Text(counts.borrow().iter().map(|(path, n)| format!("{path} {n}\n")).collect());
    }
    // Looked up first, so that only the first request of a path copies it.
    let known = counts.borrow_mut().get_mut(path).map(|count| *count += 1);
    if known.is_none() {
        counts.borrow_mut().insert(path.to_owned(), 1);
    }
    if path == HANGS { Answer::Nothing } else { Answer::Accepted }
}
