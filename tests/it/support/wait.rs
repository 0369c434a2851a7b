//! Waiting for a condition, never for a time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Asks every 20 ms until there is an answer; fails the test after `within`, naming what it waited for.
#[track_caller]
pub(crate) fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < within, "waited {within:?} in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// As [`until`], for a question that is answered by yes.
#[track_caller]
pub(crate) fn until_so(what: &str, within: Duration, mut so: impl FnMut() -> bool) {
    until(what, within, || so().then_some(()));
}

/// Whether it is so within that time; for a test that has more to say of it.
pub(crate) fn so_within(within: Duration, mut so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !so() {
        if begun.elapsed() >= within {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Tests that need the whole machine take it one after the other.
pub(crate) fn whole_machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
