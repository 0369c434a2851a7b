//! What operators hear of a subscription: lines in the log, counts, and the stories of operational events.

use crate::lane::signal::{Disabling, News};
use crate::lane::vitals::Mark;
use crate::metrics::Metrics;
use crate::model::dead_letter::DeadRange;
use crate::model::id::Sid;
use crate::model::operational::Happening;
use crate::model::subscription::{State, Status};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tracing::{info, warn};

/// Tells the news of this subscription's lane.
pub(crate) fn tell(subscription: Sid, news: News, metrics: &Metrics) {
    match news {
        News::Failing => warn!(%subscription, "its endpoint fails: the breaker opened, probes go out"),
        News::Trying => info!(%subscription, "its endpoint answered: it is tried carefully"),
        News::Recovered => info!(%subscription, "its endpoint is well again"),
        News::LedgerFull => warn!(%subscription, "its ledger is full: nothing new is tried until half of it is free"),
        News::LedgersFull => {
            warn!(%subscription, "all ledgers together are full: nothing new of it is tried until half of its own is free");
        }
        News::LedgerFree => info!(%subscription, "its ledger has room again"),
        News::DeadLettersFull => {
            warn!(%subscription, "its dead letters are full (delivery.dead_letter_budget): nothing is tried until a quarter \
                of them is sent again or removed");
        }
        News::DeadLettersFree => info!(%subscription, "its dead letters have room again"),
    }
    metrics.breaker(match news {
        News::Failing => "open",
        News::Trying => "probation",
        News::Recovered => "closed",
        News::LedgerFull | News::LedgersFull | News::LedgerFree | News::DeadLettersFull | News::DeadLettersFree => {
            return;
        }
    });
}

/// What happened, and what else is to be said of it.
pub(crate) type Story = (Happening, Map<String, Value>);

/// The story of what a lane tells, if it is one.
pub(crate) fn story(news: News) -> Option<Story> {
    let (what, full) = match news {
        News::LedgerFull => (Happening::Blocked, "ledger"),
        News::LedgersFull => (Happening::Blocked, "ledgers"),
        News::DeadLettersFull => (Happening::Blocked, "dead_letters"),
        News::LedgerFree => (Happening::Unblocked, "ledger"),
        News::DeadLettersFree => (Happening::Unblocked, "dead_letters"),
        // Each probe that fails opens the breaker anew: outages are told by their marks.
        News::Failing | News::Trying | News::Recovered => return None,
    };
    Some((what, detail([("full", json!(full))])))
}

/// The story of an outage.
pub(crate) fn outage(mark: Mark) -> Option<Story> {
    let (what, since) = match mark {
        Mark::Failing(since) => (Happening::Failing, since),
        Mark::Recovered(since) => (Happening::Recovered, since),
        Mark::Forgotten => return None,
    };
    Some((what, detail([("failing_since", json!(since.to_string()))])))
}

/// The story of another status.
pub(crate) fn turned(old: &Status, new: &Status) -> Option<Story> {
    if old.state == new.state {
        return None;
    }
    let what = match (old.state, new.state) {
        (State::Unverified, State::Active) => Happening::Verified,
        (_, State::Active) => Happening::Resumed,
        (_, State::Paused) => Happening::Paused,
        (_, State::Disabled) => Happening::Disabled,
        (_, State::Unverified) => Happening::Unverified,
    };
    Some((what, detail([("was", json!(old.state.as_str())), ("reason", json!(new.reason))])))
}

/// The story of records that will be lost when so much time has passed.
pub(crate) fn near(topic: &str, left: Duration) -> Story {
    (Happening::Near, detail([("topic", json!(topic)), ("left_s", json!(left.as_secs()))]))
}

/// The story of records that are lost.
pub(crate) fn lost(range: &DeadRange) -> Story {
    let DeadRange { at, stream, from, to, .. } = range;
    let place = [("topic", json!(&*at.topic)), ("partition", json!(at.partition))];
    let what = [("from", json!(from)), ("to", json!(to)), ("replay", json!(*stream != 0))];
    (Happening::Lost, detail(place.into_iter().chain(what)))
}

/// Why a subscription is disabled, for people.
pub(crate) fn reason(why: Disabling) -> &'static str {
    match why {
        Disabling::Gone => "the endpoint answered 410 Gone",
        Disabling::Failing => "the endpoint failed for as long as delivery.disable_after",
    }
}

fn detail<'a>(of: impl IntoIterator<Item = (&'a str, Value)>) -> Map<String, Value> {
    of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn every_other_status_is_told_and_the_same_one_is_not() {
        let at = |state| Status { state, reason: None, since: Timestamp::from_millis(0) };
        let told = |old, new| turned(&at(old), &at(new)).map(|(what, _)| what);
        let (active, paused, disabled, unverified) = (State::Active, State::Paused, State::Disabled, State::Unverified);
        assert_eq!(told(unverified, active), Some(Happening::Verified));
        assert_eq!([paused, disabled].map(|old| told(old, active)), [Some(Happening::Resumed); 2]);
        let left = [paused, disabled, unverified].map(|new| told(active, new));
        assert_eq!(left, [Happening::Paused, Happening::Disabled, Happening::Unverified].map(Some));
        assert_eq!(told(paused, unverified), Some(Happening::Unverified), "it goes on only with a yes");
        assert!([active, paused, disabled, unverified].into_iter().all(|same| told(same, same).is_none()));
    }
}
