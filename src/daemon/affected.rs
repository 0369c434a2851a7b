//! Who waits behind a cursor for events that other rules do not make any more, or make of another type (protocol T18).

use crate::map::difference::{Became, Difference};
use crate::matching::pattern::Pattern;
use crate::model::subscription::Subscription;
use crate::pipeline::Pipeline;
use crate::subscriptions::Directory;
use crate::subscriptions::health::Health;
use crate::web::reload::Affected;
use std::sync::Arc;

/// The mappings that are not under the `new` rules what they are under the `old` ones, and who waits for their events.
pub(crate) fn affected(directory: &Directory, old: &Pipeline, new: &Pipeline) -> Vec<Affected> {
    let differences = old.differences(new);
    if differences.is_empty() {
        return Vec::new(); // no lane is asked
    }
    let snapshot = directory.snapshot();
    let waiting = snapshot.iter().map(|entry| {
        let health = Health::of(entry.subscription.status.state, &entry.cell);
        let topics = health.cursors.into_iter().map(|behind| behind.at.topic).collect::<Vec<_>>();
        (Arc::clone(&entry.subscription), topics)
    });
    let waiting = waiting.filter(|(_, topics)| !topics.is_empty()).collect::<Vec<_>>();
    let told = |difference: Difference| {
        let waits = waiting.iter().filter(|(subscription, topics)| {
            topics.iter().any(|topic| difference.reads(topic))
                && asks_for(subscription, difference.event_type.as_deref())
        });
        let subscriptions: Vec<_> = waits.map(|(subscription, _)| subscription.id.clone()).collect();
        let event_type = match difference.became {
            Became::Gone => None,
            Became::Type(event_type) => Some(event_type),
        };
        Affected { mapping: difference.mapping, event_type, subscriptions }
    };
    differences.into_iter().map(told).filter(|one| !one.subscriptions.is_empty()).collect()
}

/// Whether a subscription asks for events of this type; of a computed one it may.
fn asks_for(subscription: &Subscription, event_type: Option<&str>) -> bool {
    let Some(event_type) = event_type else { return true };
    subscription.types.iter().any(|text| Pattern::parse(text).is_ok_and(|pattern| pattern.matches(event_type)))
}
