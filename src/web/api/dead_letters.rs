//! `/v1/dead-letters`: deliveries that were given up, each with the reason and the last outcome.

use crate::model::dead_letter::{DeadLetter, DeadReason};
use crate::model::id::Sid;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::subscriptions::snapshot::Snapshot;
use crate::web::api::asked::Id;
use crate::web::api::lost;
use crate::web::api::page::{self, Asked, Page};
use crate::web::api::problem::Problem;
use crate::web::api::shape;
use crate::web::api::stored;
use crate::web::auth::Caller;
use crate::web::state::Api;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// Rows read at once: each may hold a whole event, of which a list shows only the head.
const CHUNK: usize = 16;
/// Rows a request looks at, at most; behind them the next page begins.
const LOOKED: usize = 2_000;

/// What a list is about.
struct Wanted {
    /// These subscriptions in order; `None`: all.
    sids: Option<Vec<Sid>>,
    reason: Option<Reason>,
    after: Option<String>,
    limit: usize,
    /// The last id on the page.
    shown: Option<String>,
}

/// Why a delivery was given up, or a whole range lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Letter(DeadReason),
    Lost,
}

/// The ids of subscriptions by their keys.
pub(crate) type Names = HashMap<Sid, String>;

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    let asked = Asked::read(query.as_deref(), &["subscription", "reason"])?;
    let reason = asked.filter("reason").map(Reason::read);
    let after = if asked.after.as_deref().is_some_and(|after| after.starts_with(lost::PREFIX)) {
        asked.after.clone()
    } else {
        asked.after("dead_")?
    };
    let (names, sids) = scope(&api.state.directory.snapshot(), &caller, asked.filter("subscription"))?;
    let wanted = Wanted { sids, reason: reason.transpose()?, after, limit: asked.limit, shown: None };
    stored::read(&api, move |store| wanted.page(store, &names)).await
}

pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Json<Value>, Problem> {
    let (names, _) = scope(&api.state.directory.snapshot(), &caller, None)?;
    let wanted = id.clone();
    if id.starts_with(lost::PREFIX) {
        let sids: Vec<Sid> = names.keys().copied().collect();
        let range = stored::read(&api, move |store| lost::find(store, sids, &wanted)).await?;
        let range = range.ok_or_else(|| Problem::not_found("dead letter"))?;
        return Ok(Json(lost::head(&id, &range, names.get(&range.sid))));
    }
    let letter = stored::read(&api, move |store| store.dead_letter(&wanted)).await?;
    let may = |letter: &DeadLetter| caller.tenant().is_none() || names.contains_key(&letter.sid);
    let letter = letter.filter(may).ok_or_else(|| Problem::not_found("dead letter"))?;
    let mut body = head(&id, &letter, &names);
    body["event"]["data"] = letter.event.data;
    Ok(Json(body))
}

/// The subscriptions that the caller may know of, and those that were asked for.
pub(crate) fn scope(
    snapshot: &Snapshot,
    caller: &Caller,
    id: Option<&str>,
) -> Result<(Names, Option<Vec<Sid>>), Problem> {
    let mine = snapshot.iter().map(|entry| &entry.subscription).filter(|one| caller.sees(&one.tenant));
    let names: Names = mine.map(|one| (one.sid, one.id.clone())).collect();
    let mut sids: Vec<Sid> = match id {
        Some(id) => names.iter().filter(|(_, name)| *name == id).map(|(sid, _)| *sid).collect(),
        None if caller.tenant().is_none() => return Ok((names, None)),
        None => names.keys().copied().collect(),
    };
    if id.is_some() && sids.is_empty() {
        return Err(Problem::not_found("subscription"));
    }
    sids.sort_unstable();
    Ok((names, Some(sids)))
}

// === impl Reason ===

impl Reason {
    /// The reason that a parameter names.
    pub(crate) fn read(text: &str) -> Result<Self, Problem> {
        let reason = DeadReason::ALL.into_iter().find(|reason| reason.as_str() == text);
        let lost = (text == lost::REASON).then_some(Self::Lost);
        let reason = reason.map(Self::Letter).or(lost);
        reason.ok_or_else(|| page::bad("reason", &format!("must be one of {}", reasons())))
    }
}

// === impl Wanted ===

impl Wanted {
    /// Letters first, then lost ranges.
    fn page(mut self, store: &Store, names: &Names) -> Result<Page, StoreError> {
        let mut page = Page { items: Vec::new(), last: None };
        let mut all: Vec<Sid> = self.sids.clone().unwrap_or_else(|| names.keys().copied().collect());
        all.sort_unstable();
        let among_lost = self.after.as_deref().is_some_and(|after| after.starts_with(lost::PREFIX));
        if !among_lost && self.reason != Some(Reason::Lost) {
            self.letters(store, names, &mut page)?;
        }
        if page.last.is_some() || matches!(self.reason, Some(Reason::Letter(_))) {
            return Ok(page);
        }
        let after = self.after.filter(|_| among_lost);
        let mut shown = self.shown;
        for (id, range) in lost::of(store, all)? {
            if after.as_deref().is_some_and(|after| !lost::is_behind(&range, after)) {
                continue;
            }
            if page.items.len() == self.limit {
                page.last = shown;
                break;
            }
            page.items.push(lost::head(&id, &range, names.get(&range.sid)));
            shown = Some(id);
        }
        Ok(page)
    }

    fn letters(&mut self, store: &Store, names: &Names, page: &mut Page) -> Result<(), StoreError> {
        let ranges = match self.sids.take() {
            None => vec![None],
            Some(sids) => sids.into_iter().map(Some).collect(),
        };
        let mut looked = 0;
        for sid in ranges {
            loop {
                let rows = store.dead_letters(sid, self.after.as_deref(), CHUNK)?;
                let ended = rows.len() < CHUNK;
                for (id, letter) in rows {
                    looked += 1;
                    if self.reason.is_none_or(|reason| reason == Reason::Letter(letter.reason)) {
                        if page.items.len() == self.limit {
                            page.last = self.shown.take();
                            return Ok(());
                        }
                        page.items.push(head(&id, &letter, names));
                        self.shown = Some(id.clone());
                    }
                    self.after = Some(id);
                }
                if looked >= LOOKED && !ended {
                    page.last = self.after.take();
                    return Ok(());
                }
                if ended {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A dead letter without its event's data.
fn head(id: &str, letter: &DeadLetter, names: &Names) -> Value {
    json!({
        "id": id,
        "subscription": names.get(&letter.sid),
        "reason": letter.reason.as_str(),
        "died_at": letter.died.to_string(),
        "attempts": letter.attempts,
        "last": letter.last.as_ref().map(shape::outcome),
        "event": shape::event(&letter.event),
        "mapping": &*letter.event.mapping,
        "origin": shape::origin(&letter.event.origin),
    })
}

fn reasons() -> String {
    let mut all = DeadReason::ALL.map(DeadReason::as_str).to_vec();
    all.push(lost::REASON);
    all.join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::dead_letter::DeadRange;
    use crate::model::event::IntegrationEvent;
    use crate::model::id::EventId;
    use crate::model::outcome::{Answer, Outcome, RetryAfter};
    use crate::model::record::{Origin, TopicPartition};
    use crate::model::subscription::Tenant;
    use crate::model::time::Timestamp;
    use crate::store::batch::Batch;
    use crate::web::trial::Trial;

    pub(crate) fn letter(sid: Sid, offset: i64, reason: DeadReason) -> DeadLetter {
        let origin = Origin { topic: "shop.orders".into(), partition: 1, offset, timestamp: Timestamp::from_millis(5) };
        let event = IntegrationEvent {
            id: EventId::derive(&origin, "order-placed", 0),
            origin,
            mapping: "order-placed".into(),
            ord: 0,
            source: "urn:shop".into(),
            event_type: "com.acme.order.placed".into(),
            subject: Some("o-1".into()),
            time: Timestamp::from_millis(6),
            tenant: None,
            key: Some("o-1".into()),
            traceparent: None,
            extensions: Vec::new(),
            data: json!({ "order": offset }),
        };
        let head = b"no more orders".as_slice().into();
        let last = Some(Outcome::Answered(Answer { status: 413, retry_after: RetryAfter::Absent, head }));
        DeadLetter { sid, died: Timestamp::from_millis(offset), reason, attempts: 3, last, event }
    }

    pub(crate) async fn bury(trial: &Trial, letters: impl IntoIterator<Item = DeadLetter>) {
        let mut batch = Batch::new();
        for letter in letters {
            batch.dead_letter(&letter);
        }
        trial.state.store.durable(batch).await.unwrap();
    }

    /// The offsets of a list, over all of its pages.
    async fn offsets(trial: &Trial, token: &str, query: &str) -> Vec<(String, i64)> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..20 {
            let ask = trial.ask(&format!("GET /v1/dead-letters?{query}{cursor}")).token(token);
            let page = ask.send().await.json();
            for one in page["items"].as_array().unwrap() {
                let subscription = one["subscription"].as_str().unwrap_or("?").to_owned();
                found.push((subscription, one["origin"]["offset"].as_i64().unwrap()));
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
        panic!("the list does not end");
    }

    #[tokio::test]
    async fn a_dead_letter_says_why_and_only_by_itself_shows_the_events_data() {
        let trial = Trial::open().await;
        let sid = trial.given("billing", Tenant::None, Sid::new(1, 1)).await.sid;
        bury(&trial, [letter(sid, 7, DeadReason::Refused)]).await;
        let list = trial.ask("GET /v1/dead-letters").send().await.json();
        let one = &list["items"][0];
        assert_eq!(
            (&one["subscription"], &one["reason"], &one["attempts"]),
            (&json!("billing"), &json!("refused"), &json!(3))
        );
        let last = json!({ "status": 413, "error": "status", "detail": null, "response_head": "no more orders" });
        assert_eq!(one["last"], last);
        let origin =
            json!({ "topic": "shop.orders", "partition": 1, "offset": 7, "timestamp": "1970-01-01T00:00:00.005Z" });
        assert_eq!((&one["origin"], &one["mapping"]), (&origin, &json!("order-placed")));
        assert_eq!(one["event"].get("data"), None);
        let id = one["id"].as_str().unwrap();
        let shown = trial.ask(&format!("GET /v1/dead-letters/{id}")).send().await.json();
        assert_eq!((&shown["event"]["data"], &shown["id"]), (&json!({ "order": 7 }), &one["id"]));
        assert_eq!((&shown["event"]["type"], &shown["event"]["key"]), (&json!("com.acme.order.placed"), &json!("o-1")));
    }

    #[tokio::test]
    async fn pages_give_each_dead_letter_once_whatever_is_asked_for() {
        let trial = Trial::guarded().await;
        let (a, b, c) = (Sid::new(1, 1), Sid::new(1, 2), Sid::new(1, 3));
        for (id, tenant, sid) in [("a", "t-1", a), ("b", "t-2", b), ("c", "t-1", c)] {
            trial.given(id, Tenant::One(tenant.into()), sid).await;
        }
        let gone = |offset| if offset % 5 == 0 { DeadReason::Gone } else { DeadReason::Expired };
        bury(&trial, (0..40).flat_map(|offset| [a, b, c].map(|sid| letter(sid, offset, gone(offset))))).await;
        let of = |id: &str| (0..40).map(|offset| (id.to_owned(), offset)).collect::<Vec<_>>();
        for limit in ["limit=7", "limit=16", "limit=200"] {
            assert_eq!(offsets(&trial, "boss", limit).await, [of("a"), of("b"), of("c")].concat(), "{limit}");
            assert_eq!(offsets(&trial, "boss", &format!("{limit}&subscription=b")).await, of("b"), "{limit}");
            assert_eq!(offsets(&trial, "one", limit).await, [of("a"), of("c")].concat(), "{limit}");
        }
        let some = offsets(&trial, "one", "limit=3&reason=gone").await;
        assert_eq!(some, [of("a"), of("c")].concat().into_iter().filter(|(_, n)| n % 5 == 0).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_retention_took_is_told_among_them_page_by_page() {
        let trial = Trial::guarded().await;
        let (a, b) = (Sid::new(1, 1), Sid::new(1, 2));
        for (id, tenant, sid) in [("a", "t-1", a), ("b", "t-2", b)] {
            trial.given(id, Tenant::One(tenant.into()), sid).await;
        }
        bury(&trial, (0..3).map(|offset| letter(a, offset, DeadReason::Gone))).await;
        let mut batch = Batch::new();
        for (sid, from) in [(a, 10), (b, 20), (a, 30)] {
            let at = TopicPartition { topic: "shop.orders".into(), partition: 1 };
            batch.lost(&DeadRange { sid, at, stream: 0, died: Timestamp::from_millis(from), from, to: from + 5 });
        }
        trial.state.store.durable(batch).await.unwrap();
        for (token, reason, expected) in
            [("boss", "", 6), ("one", "", 5), ("boss", "&reason=retention_lost", 3), ("boss", "&reason=gone", 3)]
        {
            for limit in [1, 2, 3, 50] {
                let (mut items, mut cursor) = (Vec::new(), String::new());
                loop {
                    let ask = trial.ask(&format!("GET /v1/dead-letters?limit={limit}{reason}{cursor}")).token(token);
                    let page = ask.send().await.json();
                    items.extend(page["items"].as_array().unwrap().iter().map(|one| one["id"].clone()));
                    let Some(next) = page["next_cursor"].as_str() else { break };
                    cursor = format!("&cursor={next}");
                }
                let distinct: std::collections::BTreeSet<_> = items.iter().map(Value::to_string).collect();
                assert_eq!((items.len(), distinct.len()), (expected, expected), "{token} {reason} {limit}");
            }
        }
        let list = trial.ask("GET /v1/dead-letters?reason=retention_lost&subscription=b").token("boss").send().await;
        let one = list.json()["items"][0].clone();
        assert_eq!((&one["reason"], &one["subscription"]), (&json!("retention_lost"), &json!("b")));
        assert_eq!(one["range"], json!({ "topic": "shop.orders", "partition": 1, "from": 20, "to": 25 }));
        let path = format!("/v1/dead-letters/{}", one["id"].as_str().unwrap());
        assert_eq!(trial.ask(&format!("GET {path}")).token("two").send().await.json(), one);
        trial.ask(&format!("GET {path}")).token("one").send().await.problem(404, "not-found");
        trial.ask(&format!("DELETE {path}")).token("one").send().await.problem(404, "not-found");
        assert_eq!(trial.ask(&format!("DELETE {path}")).token("two").send().await.status, 204);
        trial.ask(&format!("GET {path}")).token("boss").send().await.problem(404, "not-found");
    }

    #[tokio::test]
    async fn another_tenants_dead_letter_is_not_there() {
        let trial = Trial::guarded().await;
        let sid = trial.given("a", Tenant::One("t-1".into()), Sid::new(1, 1)).await.sid;
        bury(&trial, [letter(sid, 1, DeadReason::Gone)]).await;
        let list = trial.ask("GET /v1/dead-letters").token("one").send().await.json();
        let path = format!("GET /v1/dead-letters/{}", list["items"][0]["id"].as_str().unwrap());
        assert_eq!(trial.ask(&path).token("one").send().await.status, 200);
        assert_eq!(trial.ask(&path).token("reader").send().await.status, 200);
        trial.ask(&path).token("two").send().await.problem(404, "not-found");
        let none = trial.ask("GET /v1/dead-letters").token("two").send().await.json();
        assert_eq!(none["items"], json!([]));
    }

    #[tokio::test]
    async fn what_cannot_be_asked_for_is_refused() {
        let trial = Trial::open().await;
        let reason = trial.ask("GET /v1/dead-letters?reason=bored").send().await.problem(400, "bad-request");
        assert!(reason["detail"].as_str().unwrap().contains("expired, refused, gone"), "{reason}");
        trial.ask("GET /v1/dead-letters?subscription=x").send().await.problem(404, "not-found");
        trial.ask("GET /v1/dead-letters?cursor=cXVhcl8").send().await.problem(400, "bad-request");
        for id in ["dead_AAAA", "dead_", "nothing", "quar_AAAA", "dead_%25"] {
            trial.ask(&format!("GET /v1/dead-letters/{id}")).send().await.problem(404, "not-found");
        }
    }
}
