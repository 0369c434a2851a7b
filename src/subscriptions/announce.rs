//! Operational events become deliveries: ledger rows, due now, of every operator's subscription (tenant `*`) whose `types`
//! and filters match. From there on they are signed, tried again and given up like all others.
//!
//! In one batch the rows come and the events go. Nobody hears of his own subscription: an endpoint that fails would be told
//! so for ever. Whose ledger has no room misses the event, which is counted.

use crate::metrics::Told;
use crate::model::delivery::LedgerKey;
use crate::model::event::Emitted;
use crate::model::id::Sid;
use crate::model::operational::Operational;
use crate::model::subscription::Subscription;
use crate::runtime::clock;
use crate::store::batch::Batch;
use crate::store::error::StoreError;
use crate::subscriptions::again::Rows;
use crate::subscriptions::cell::Hands;
use crate::subscriptions::snapshot::Snapshot;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tracing::warn;

/// Events in one batch, so that its rows are a few hundred kilobytes.
const MANY: usize = 256;

/// Makes these events owed, durably.
pub(crate) async fn announce(hands: &Hands, snapshot: &Snapshot, events: &[Operational]) -> Result<(), StoreError> {
    for some in events.chunks(MANY) {
        owe(hands, snapshot, some).await?;
    }
    Ok(())
}

async fn owe(hands: &Hands, snapshot: &Snapshot, events: &[Operational]) -> Result<(), StoreError> {
    let (mut batch, mut rows, now) = (Batch::new(), Rows::default(), clock::now());
    let abouts = abouts(snapshot, events);
    for event in events {
        batch.drop_operational(event);
        let Some(about) = abouts.get(&event.about) else { continue }; // it was deleted since
        let emitted = Arc::new(Emitted::new(event.event(about)));
        for cell in snapshot.operators(&emitted.event).iter().filter(|cell| cell.sid != event.about) {
            if rows.has_room(cell, std::slice::from_ref(&emitted)) {
                let key = LedgerKey::of(&emitted.event, cell.sid);
                rows.add(cell, (key, &emitted.event), (&mut batch, now));
                hands.metrics.operational(Told::Owed);
            } else {
                warn!(subscription = %cell.sid, what = event.what.as_str(), about = %about.id,
                    "its ledger is full: this operational event is dropped");
                hands.metrics.operational(Told::Dropped);
            }
        }
    }
    hands.store.durable(batch).await?;
    rows.adopt(hands);
    hands.outbox.announced(events.len());
    Ok(())
}

/// The subscriptions that they are about.
fn abouts(snapshot: &Snapshot, events: &[Operational]) -> HashMap<Sid, Arc<Subscription>> {
    let sids = events.iter().map(|event| event.about).collect::<HashSet<_>>();
    let meant = snapshot.iter().filter(|entry| sids.contains(&entry.cell.sid));
    meant.map(|entry| (entry.cell.sid, Arc::clone(&entry.subscription))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::guard::Guard;
    use crate::lane::settings::DeliverySettings;
    use crate::lane::signal::{PlaceKey, What};
    use crate::metrics::Metrics;
    use crate::metrics::gauges::Gauges;
    use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
    use crate::model::operational::Happening;
    use crate::model::record::TopicPartition;
    use crate::model::subscription::State;
    use crate::model::weight::Weight;
    use crate::progress::partitions::Partitions;
    use crate::store::Store;
    use crate::store::settings::StoreSettings;
    use crate::subscriptions::{Directory, written};
    use crate::yaml::node::Node;
    use serde_json::{Value, json};
    use std::path::Path;

    /// All subscriptions, as a start finds them in the store of this folder.
    fn started(folder: &Path, defaults: DeliverySettings) -> Arc<Directory> {
        let settings = StoreSettings { path: folder.join("store"), min_free: 0, ..StoreSettings::default() };
        let store = Store::open(&settings, Box::new(|_| {})).unwrap();
        let hands = Hands::new(store, Arc::new(Partitions::default()), Metrics::new());
        Directory::load(Arc::new(hands), defaults).unwrap()
    }

    async fn made(directory: &Directory, more: Value) -> Arc<Subscription> {
        let mut body = json!({ "url": "https://example.com/hooks", "types": ["hookline.**"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let guard = Guard::new(Default::default());
        let made = written::create(&Node::from_json(&"test".into(), &body), &guard, clock::now()).unwrap();
        directory.create(made, Vec::new()).await.unwrap()
    }

    async fn paused(directory: &Directory, one: &Arc<Subscription>) {
        directory.turn(one, (State::Paused, Some("by hand".into()))).await.unwrap();
    }

    /// The events that are owed, for whom, in their order.
    fn owed(directory: &Directory) -> Vec<(Sid, Value)> {
        let store = &directory.hands().store;
        let rows = store.ledger_heads().unwrap().into_iter();
        rows.map(|(key, _)| (key.sid, store.ledger_event(&key).unwrap().unwrap().data)).collect()
    }

    #[tokio::test]
    async fn operators_who_ask_for_it_are_owed_the_event_and_nobody_else_nor_whom_it_is_about() {
        let folder = tempfile::tempdir().unwrap();
        let directory = started(folder.path(), DeliverySettings::default());
        let operator = made(&directory, json!({ "tenant": "*", "name": "Operations" })).await;
        made(&directory, json!({ "tenant": "*", "types": ["hookline.subscription.failing"] })).await;
        made(&directory, json!({ "tenant": "*", "filter": "event.data.subscription.tenant == 'm-2'" })).await;
        made(&directory, json!({})).await;
        let about = made(&directory, json!({ "tenant": "m-1", "name": "Billing" })).await;
        paused(&directory, &about).await;
        let events = directory.hands().outbox.next().await;
        directory.announce(&events).await.unwrap();
        let subscription = json!({ "id": about.id, "name": "Billing", "tenant": "m-1" });
        let data = json!({ "subscription": subscription, "was": "active", "reason": "by hand" });
        assert_eq!(owed(&directory), [(operator.sid, data)]);

        let rows = directory.hands().store.ledger_heads().unwrap();
        let event = directory.hands().store.ledger_event(&rows[0].0).unwrap().unwrap();
        assert_eq!((&*event.event_type, event.subject.as_ref()), ("hookline.subscription.paused", Some(&about.id)));
        paused(&directory, &operator).await;
        let events = directory.hands().outbox.next().await;
        directory.announce(&events).await.unwrap();
        assert_eq!(
            (owed(&directory).len(), directory.hands().store.outbox().unwrap()),
            (1, Vec::new()),
            "not to itself"
        );
    }

    #[tokio::test]
    async fn an_event_outlives_a_stop_before_and_after_it_is_owed_and_is_owed_once() {
        let folder = tempfile::tempdir().unwrap();
        let directory = started(folder.path(), DeliverySettings::default());
        let operator = made(&directory, json!({ "tenant": "*" })).await;
        let about = made(&directory, json!({ "tenant": "m-1" })).await;
        paused(&directory, &about).await;
        directory.hands().store.close().unwrap();
        drop(directory);

        let directory = started(folder.path(), DeliverySettings::default());
        let events = directory.hands().outbox.next().await;
        directory.announce(&events).await.unwrap();
        let first = owed(&directory);
        assert_eq!(first.iter().map(|(sid, _)| *sid).collect::<Vec<_>>(), [operator.sid]);
        directory.hands().store.close().unwrap();
        drop(directory);

        let directory = started(folder.path(), DeliverySettings::default());
        assert_eq!((owed(&directory), directory.hands().store.outbox().unwrap()), (first, Vec::new()));
        let cell = Arc::clone(&directory.snapshot().get(&operator.id).unwrap().cell);
        let start = cell.act(|lane, turn| lane.start(turn.now)).unwrap();
        assert!(matches!(start.what, What::Retry(key) if *key.at.topic == *crate::model::operational::TOPIC));
    }

    #[tokio::test]
    async fn whose_ledger_is_full_misses_events_and_that_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let defaults = DeliverySettings { ledger_rows: 2, ..DeliverySettings::default() };
        let directory = started(folder.path(), defaults);
        made(&directory, json!({ "tenant": "*" })).await;
        for _ in 0..3 {
            let about = made(&directory, json!({ "tenant": "m-1" })).await;
            paused(&directory, &about).await;
        }
        let events = directory.hands().outbox.next().await;
        directory.announce(&events).await.unwrap();
        assert_eq!((events.len(), owed(&directory).len()), (3, 2));
        let scrape = directory.hands().metrics.scrape(&Gauges::default());
        for line in ["{outcome=\"owed\"} 2", "{outcome=\"dropped\"} 1"] {
            assert!(scrape.contains(&format!("hookline_operational_events_total{line}")), "{scrape}");
        }
    }
    #[tokio::test]
    async fn what_a_lane_loses_and_what_blocks_it_is_told_with_the_rows_that_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let directory = started(folder.path(), DeliverySettings::default());
        let about = made(&directory, json!({ "tenant": "m-1" })).await;
        let cell = Arc::clone(&directory.snapshot().get(&about.id).unwrap().cell);
        let place = PlaceKey { at: TopicPartition { topic: "shop.orders".into(), partition: 3 }, stream: 0 };
        let (mode, reason, since) = (CursorMode::Behind, BehindReason::Slow, clock::now());
        let row = CursorRow { mode, offset: 5, near: None, since, reason, to: None };
        cell.act(|lane, turn| {
            lane.begin(place.clone(), (1, row), turn);
            lane.overtaken(&place, 20, turn);
            lane.letters_found(Weight { rows: 1 << 20, bytes: 0 }, turn);
            lane.letters_gone(Weight { rows: 1 << 20, bytes: 0 }, turn);
        });
        directory.hands().store.settle().unwrap();
        let told = directory.hands().outbox.next().await;
        assert_eq!(told, directory.hands().store.outbox().unwrap(), "they are durable");
        let told = told.into_iter().map(|event| (event.what, Value::Object(event.detail))).collect::<Vec<_>>();
        let lost = json!({ "topic": "shop.orders", "partition": 3, "from": 5, "to": 20, "replay": false });
        let full = json!({ "full": "dead_letters" });
        let expected = [(Happening::Lost, lost), (Happening::Blocked, full.clone()), (Happening::Unblocked, full)];
        assert_eq!(told, expected);
    }
}
