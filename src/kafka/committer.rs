//! Commits on a thread of its own: at most one is out, and who polls never waits for it.
//!
//! rdkafka 0.39 gives no callback for a commit that it sends without waiting (its issue 856), so each is waited for
//! here. The last commit of partitions that go is made by who polls; `Committer::settle` comes before it, so that
//! an older offset can never follow a newer one.

use crate::model::record::TopicPartition;
use crate::runtime::fault;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Hands commits over; dropping it ends the thread once the last commit has its answer.
pub(crate) struct Committer(Arc<Desk>);

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: Option<Vec<Commit>>,
    busy: Busy,
    closed: Closed,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Busy {
    #[default]
    No,
    Yes,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Closed {
    #[default]
    No,
    Yes,
}

/// An offset to commit: the next to read, taken as given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub at: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// ASCII, under 128 bytes.
    pub metadata: String,
}

/// Whether a commit was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was; its answer comes as an event.
    Yes,
    /// It was not: there is nothing to commit, or one is still out.
    NotNow,
}

/// Sends commits and waits for the answer.
pub(crate) type Send = Box<dyn Fn(&[Commit]) -> KafkaResult<()> + std::marker::Send>;
/// Told of every answer.
pub(crate) type Answered = Box<dyn Fn(Vec<Commit>, Result<(), String>) + std::marker::Send>;

// === impl Committer ===

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(send: Send, answered: Answered) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let own = Arc::clone(&desk);
        thread::Builder::new().name("commit".into()).spawn(move || own.work(&send, &answered))?;
        Ok(Self(desk))
    }

    /// Takes commits when none is out.
    pub(crate) fn take(&self, commits: Vec<Commit>) -> Sent {
        let mut state = self.0.lock();
        if commits.is_empty() || state.busy == Busy::Yes || state.next.is_some() {
            return Sent::NotNow;
        }
        state.next = Some(commits);
        self.0.changed.notify_all();
        Sent::Yes
    }

    /// Drops what was not sent yet and waits for what is out, `at_most` so long.
    pub(crate) fn settle(&self, at_most: Duration) {
        let mut state = self.0.lock();
        state.next = None;
        drop(self.0.changed.wait_timeout_while(state, at_most, |state| state.busy == Busy::Yes));
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        (state.next, state.closed) = (None, Closed::Yes);
        self.0.changed.notify_all();
    }
}

// === impl Desk ===

impl Desk {
    fn work(&self, send: &Send, answered: &Answered) {
        loop {
            let Some(commits) = self.wait() else { return };
            fault::point("commit.before");
            let result = match send(&commits) {
                // Nothing to commit is no failure.
                Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
                Err(error) => Err(error.to_string()),
            };
            fault::point("commit.after");
            answered(commits, result);
            self.lock().busy = Busy::No;
            self.changed.notify_all();
        }
    }

    fn wait(&self) -> Option<Vec<Commit>> {
        let mut state = self.lock();
        loop {
            if state.closed == Closed::Yes {
                return None;
            }
            if let Some(commits) = state.next.take() {
                state.busy = Busy::Yes;
                return Some(commits);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn commit(offset: i64) -> Vec<Commit> {
        let at = TopicPartition { topic: "t".into(), partition: 0 };
        vec![Commit { at, offset, metadata: String::new() }]
    }

    #[test]
    fn one_commit_is_out_at_a_time_and_none_follows_a_settle() {
        let (go, gate) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let gate = Mutex::new(gate);
        let send = Box::new(move |_: &[Commit]| {
            gate.lock().unwrap().recv().ok();
            Ok(())
        });
        let answered = Box::new(move |commits: Vec<Commit>, _| tell.send(commits[0].offset).unwrap());
        let committer = Committer::start(send, answered).unwrap();
        assert_eq!(committer.take(Vec::new()), Sent::NotNow, "nothing to commit");
        assert_eq!(committer.take(commit(1)), Sent::Yes);
        assert_eq!(committer.take(commit(2)), Sent::NotNow, "one is out, or waits");
        go.send(()).unwrap();
        committer.settle(Duration::from_secs(10));
        // Either it was out and has its answer, or it was dropped: never does it come later.
        let first = told.try_recv().ok();
        assert!(first.is_none_or(|offset| offset == 1));
        go.send(()).ok();
        assert_eq!(committer.take(commit(3)), Sent::Yes);
        assert_eq!(told.recv_timeout(Duration::from_secs(10)).unwrap(), 3);
    }

    #[test]
    fn inv_8_who_settles_waits_for_the_commit_that_is_out() {
        let ((go, gate), (begin, begun), (tell, told)) = (mpsc::channel(), mpsc::channel(), mpsc::channel());
        let gate = Mutex::new(gate);
        let send = Box::new(move |_: &[Commit]| {
            begin.send(()).unwrap();
            gate.lock().unwrap().recv().unwrap();
            Ok(())
        });
        let answered = tell.clone();
        let answered = Box::new(move |_, _| answered.send("answered").unwrap());
        let committer = Committer::start(send, answered).unwrap();
        assert_eq!(committer.take(commit(1)), Sent::Yes);
        begun.recv().unwrap();
        let settling = thread::spawn(move || {
            committer.settle(Duration::from_secs(10));
            tell.send("settled").unwrap();
        });
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "it is out, and nobody may commit after it");
        go.send(()).unwrap();
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["answered", "settled"]);
        settling.join().unwrap();
    }

    #[test]
    fn a_commit_that_fails_is_told_with_its_reason() {
        let (tell, told) = mpsc::channel();
        let send = Box::new(|_: &[Commit]| Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::RebalanceInProgress)));
        let answered = Box::new(move |_, result: Result<(), String>| tell.send(result).unwrap());
        let committer = Committer::start(send, answered).unwrap();
        assert_eq!(committer.take(commit(1)), Sent::Yes);
        assert!(told.recv_timeout(Duration::from_secs(10)).unwrap().is_err());
    }
}
