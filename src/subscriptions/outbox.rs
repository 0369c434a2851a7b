//! Operational events on their way from what happens to those who ask for them.
//!
//! One is durable together with what it tells of, in one batch; then it waits here until
//! [`crate::subscriptions::Directory::announce`] makes it owed. What waits is bounded: beyond, an event is dropped and counted,
//! for what it tells of can be read at any time.

use crate::lane::signal::{Change, News, Write};
use crate::lane::vitals::Mark;
use crate::metrics::{Metrics, Told};
use crate::model::id::Sid;
use crate::model::operational::Operational;
use crate::model::subscription::Subscription;
use crate::model::time::Timestamp;
use crate::runtime::clock;
use crate::store::Store;
use crate::store::batch::Batch;
use crate::subscriptions::inbox::Inbox;
use crate::subscriptions::news::{self, Story};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;
use tracing::warn;

/// Events that may wait; about a kilobyte each. Only a disk that takes nothing, or thousands of endpoints that fail within
/// a second, bring so many about.
const MOST: usize = 10_000;
/// Numbers in a millisecond: the number of an event is the time, so that it grows over restarts.
const PER_MILLI: i64 = 1_000;

/// Operational events that are not yet owed to anybody.
pub struct Outbox {
    durable: Inbox<Operational>,
    last: AtomicI64,
    waiting: AtomicUsize,
    metrics: Metrics,
}

// === impl Outbox ===

impl Outbox {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { durable: Inbox::default(), last: AtomicI64::new(0), waiting: AtomicUsize::new(0), metrics }
    }

    /// Waits for events that are durable, to be announced. Cancel-safe.
    pub async fn next(&self) -> Vec<Operational> {
        self.durable.take().await
    }

    /// So many events wait no more.
    pub(crate) fn announced(&self, many: usize) {
        self.waiting.fetch_sub(many, Ordering::Relaxed);
    }

    /// What the store holds from before. For the start.
    pub(crate) fn begin(&self, events: Vec<Operational>) {
        self.waiting.fetch_add(events.len(), Ordering::Relaxed);
        self.follow(events.last().map_or(0, |last| last.number));
        self.durable.put(events);
    }

    /// Later events have larger numbers than this one, which the store knows from before, also when the clock was set back.
    pub(crate) fn follow(&self, number: i64) {
        self.last.fetch_max(number, Ordering::Relaxed);
    }

    /// The event of a story, to be put into the batch that makes durable what it tells of; then [`Outbox::written`].
    pub(crate) fn raise(&self, about: Sid, story: Story) -> Option<Operational> {
        let (what, detail) = story;
        if self.waiting.load(Ordering::Relaxed) >= MOST {
            warn!(subscription = %about, what = what.as_str(), "too many operational events wait: this one is dropped");
            self.metrics.operational(Told::Dropped);
            return None;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let at = clock::now();
        Some(Operational { number: self.number(at), about, at, what, detail })
    }

    /// These are durable.
    pub(crate) fn written(&self, events: impl IntoIterator<Item = Operational>) {
        self.durable.put(events);
    }

    /// Makes durable what is to be remembered of an endpoint, and tells of it. Never blocks.
    pub(crate) fn mark(self: &Arc<Self>, store: &Store, (sid, mark): (Sid, Mark)) {
        let mut batch = Batch::new();
        let since = match mark {
            Mark::Failing(since) => Some(since),
            Mark::Recovered(_) | Mark::Forgotten => None,
        };
        batch.outage(sid, since);
        self.submit(store, (sid, news::outage(mark)), batch);
    }

    /// Tells the news of a lane, those that make a story. Never blocks.
    pub(crate) fn tell(self: &Arc<Self>, store: &Store, (sid, news): (Sid, News)) {
        if let Some(story) = news::story(news) {
            self.submit(store, (sid, Some(story)), Batch::new());
        }
    }

    /// Tells that retention comes near to what a subscription was not sent yet, in a topic. Never blocks.
    pub(crate) fn near(self: &Arc<Self>, store: &Store, sid: Sid, (topic, left): (&str, Duration)) {
        self.submit(store, (sid, Some(news::near(topic, left))), Batch::new());
    }

    /// The event of another status; as [`Outbox::raise`].
    pub(crate) fn turned(&self, old: &Subscription, new: &Subscription) -> Option<Operational> {
        self.raise(new.sid, news::turned(&old.status, &new.status)?)
    }

    /// Makes a batch durable, with the event that tells of it. A store that fails stops the process.
    fn submit(self: &Arc<Self>, store: &Store, (about, story): (Sid, Option<Story>), mut batch: Batch) {
        let event = story.and_then(|story| self.raise(about, story));
        event.iter().for_each(|event| batch.operational(event));
        let outbox = Arc::clone(self);
        store.submit(batch, move |result| {
            if result.is_ok() {
                outbox.written(event);
            }
        });
    }

    /// Adds to a lane's batch what is to be told of its changes.
    pub(crate) fn add(&self, (about, write): (Sid, &Write), batch: &mut Batch) -> Vec<Operational> {
        let lost = write.changes.iter().filter_map(|change| match change {
            Change::Lost(range) => Some(range),
            Change::Park(..)
            | Change::Head(..)
            | Change::Unpark(..)
            | Change::Dead(..)
            | Change::Cursor(..)
            | Change::DropCursor(_) => None,
        });
        let events = lost.filter_map(|range| self.raise(about, news::lost(range))).collect::<Vec<_>>();
        events.iter().for_each(|event| batch.operational(event));
        events
    }

    fn number(&self, at: Timestamp) -> i64 {
        let least = at.as_millis().saturating_mul(PER_MILLI);
        let next = |last: i64| (last + 1).max(least);
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operational::Happening;

    #[test]
    fn numbers_grow_within_a_millisecond_and_when_the_clock_goes_back() {
        let outbox = Outbox::new(Metrics::new());
        let at = Timestamp::from_millis;
        let numbers = [at(5), at(5), at(4), at(6)].map(|at| outbox.number(at));
        assert_eq!(numbers, [5_000, 5_001, 5_002, 6_000]);
    }

    #[test]
    fn beyond_the_bound_an_event_is_dropped_and_counted() {
        let metrics = Metrics::new();
        let (outbox, sid) = (Outbox::new(metrics.clone()), Sid::new(1, 1));
        let raise = || outbox.raise(sid, (Happening::Blocked, Default::default()));
        assert!((0..MOST).all(|_| raise().is_some()));
        assert!(raise().is_none());
        outbox.announced(1);
        assert!(raise().is_some() && raise().is_none());
    }
}
