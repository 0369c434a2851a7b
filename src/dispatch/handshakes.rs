//! Endpoints that have not said yet whether they want events are asked, again after a while when they did not say yes.
//!
//! Wakes when a subscription changes and when one is due. What an endpoint says is kept by the directory; how often it
//! was asked is known here only, so a start asks anew.

use crate::deliver::handshake::{self, Introduction, Word};
use crate::egress::exchange::Transport;
use crate::model::id::Sid;
use crate::model::secret::Secret;
use crate::model::subscription::{State, Subscription};
use crate::runtime::shutdown::Shutdown;
use crate::subscriptions::Directory;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{error, info, warn};

/// How long after a no, or no answer, it is asked again; then no more, until somebody asks for it. Whoever deploys
/// the receiver after the subscription is found soon, and whoever never agreed is left alone after two days (WH-8).
const WAITS: [Duration; 6] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(40 * 3600),
];

/// How long a question may take, with room: after that it counts as one that nobody answered.
const QUESTION: Duration = Duration::from_secs(15);

/// Endpoints that are asked at the same time: a file may declare a thousand.
const AT_ONCE: usize = 16;

/// Asks endpoints.
pub struct Handshakes<T> {
    /// Whose.
    pub directory: Arc<Directory>,
    /// How.
    pub transport: T,
    /// As whom.
    pub introduction: Introduction,
}

/// How far one endpoint was asked.
struct Round {
    /// Which endpoint: another URL has another.
    grant: Secret,
    /// How often it was asked.
    asked: usize,
    /// When it is asked next; `None`: no more.
    due: Option<Instant>,
}

// === impl Handshakes ===

impl<T: Transport + Clone + 'static> Handshakes<T> {
    /// Asks until the stop; who is being asked then is cut off, and asked at the next start.
    pub async fn run(self, shutdown: Shutdown) {
        let (mut rounds, mut asking) = (HashMap::<Sid, Round>::new(), JoinSet::new());
        loop {
            let due = self.due(&mut rounds, AT_ONCE - asking.len());
            for (subscription, grant) in due {
                let sid = subscription.sid;
                let (directory, transport) = (Arc::clone(&self.directory), self.transport.clone());
                let asked = ask(directory, transport, self.introduction.clone(), subscription);
                asking.spawn(async move {
                    asked.await;
                    (sid, grant)
                });
            }
            let room = asking.len() < AT_ONCE;
            let next = rounds.values().filter_map(|round| round.due).min().filter(|_| room);
            tokio::select! {
                biased;
                () = shutdown.stopped() => break,
                Some(asked) = asking.join_next() => {
                    let round = asked.ok().and_then(|(sid, grant)| Some((rounds.get_mut(&sid)?, grant)));
                    if let Some((round, _)) = round.filter(|(round, grant)| round.grant == *grant) {
                        round.due = round.next(Instant::now());
                    }
                }
                () = self.directory.changed() => {}
                () = until(next) => {}
            }
        }
        asking.shutdown().await;
    }

    /// Those to ask now, who waits longest first and `room` at most; rounds of who is verified, changed or gone are over.
    fn due(&self, rounds: &mut HashMap<Sid, Round>, room: usize) -> Vec<(Arc<Subscription>, Secret)> {
        let (snapshot, now, mut before, mut due) =
            (self.directory.snapshot(), Instant::now(), std::mem::take(rounds), Vec::new());
        for subscription in snapshot.iter().map(|entry| &entry.subscription) {
            let unverified = subscription.status.state == State::Unverified;
            let Some(verification) = subscription.verification.as_ref().filter(|_| unverified) else { continue };
            let known = before.remove(&subscription.sid).filter(|round| round.grant == verification.grant);
            let round = known.unwrap_or_else(|| Round { grant: verification.grant.clone(), asked: 0, due: Some(now) });
            due.extend(round.due.filter(|at| *at <= now).map(|at| (at, Arc::clone(subscription))));
            rounds.insert(subscription.sid, round);
        }
        due.sort_by_key(|(at, _)| *at);
        due.truncate(room);
        let asked = due.into_iter().filter_map(|(_, subscription)| {
            let round = rounds.get_mut(&subscription.sid)?;
            round.asked += 1;
            // What became of the question is told when it ends; should it break down, it counts as not answered.
            round.due = round.next(now + QUESTION);
            Some((subscription, round.grant.clone()))
        });
        asked.collect()
    }
}

// === impl Round ===

impl Round {
    /// When it is asked again, if it did not say yes at this time.
    fn next(&self, now: Instant) -> Option<Instant> {
        WAITS.get(self.asked - 1).map(|wait| now + *wait)
    }
}

async fn ask(
    directory: Arc<Directory>,
    transport: impl Transport,
    introduction: Introduction,
    subscription: Arc<Subscription>,
) {
    let Some(word) = handshake::ask(&transport, &subscription, &introduction).await else { return };
    match &word {
        Word::Yes { .. } => info!(subscription = %subscription.id, "its endpoint says that it wants the events"),
        Word::No(why) | Word::Silence(why) => {
            warn!(subscription = %subscription.id, why, "its endpoint has not said that it wants the events");
        }
    }
    if let Err(error) = directory.hear(&subscription, &word).await {
        error!(subscription = %subscription.id, %error, "what its endpoint said is not kept");
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::exchange::{ExchangeError, Request, Response};
    use crate::egress::guard::Guard;
    use crate::egress::settings::EgressSettings;
    use crate::lane::settings::DeliverySettings;
    use crate::metrics::Metrics;
    use crate::model::outcome::FailureCause;
    use crate::progress::partitions::Partitions;
    use crate::runtime::clock;
    use crate::store::Store;
    use crate::store::settings::StoreSettings;
    use crate::subscriptions::cell::Hands;
    use crate::subscriptions::written;
    use crate::yaml::node::Node;
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::json;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Sends the token back once it wants to, and keeps where and when it was asked.
    #[derive(Clone, Default)]
    struct Endpoint {
        wants: Arc<AtomicBool>,
        asked: Arc<Mutex<Vec<(String, Instant)>>>,
    }

    impl Transport for Endpoint {
        async fn exchange(&self, request: Request) -> Result<Response, ExchangeError> {
            self.asked.lock().unwrap().push((request.url.path().to_owned(), Instant::now()));
            if !self.wants.load(Ordering::SeqCst) {
                return Err(ExchangeError { cause: FailureCause::Connect, detail: "refused".into() });
            }
            let token = request.url.query_pairs().last().unwrap().1.into_owned();
            Ok(Response { status: 200, headers: HeaderMap::new(), head: Bytes::from(token) })
        }
    }

    struct House {
        directory: Arc<Directory>,
        endpoint: Endpoint,
        shutdown: Shutdown,
        running: JoinSet<()>,
        _folder: tempfile::TempDir,
    }

    impl House {
        /// One subscription, whose endpoint is asked.
        async fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let settings = StoreSettings { path: folder.path().join("store"), min_free: 0, ..StoreSettings::default() };
            let store = Store::open(&settings, Box::new(|_| {})).unwrap();
            let hands = Hands::new(store, Arc::new(Partitions::default()), Metrics::new());
            let directory = Directory::load(Arc::new(hands), DeliverySettings::default()).unwrap();
            let order = json!({ "url": "https://example.com/a", "types": ["**"], "verification": "challenge" });
            let made = written::create(&Node::from_json(&"test".into(), &order), &guard(), clock::now()).unwrap();
            let made = Subscription { id: "sub_a".into(), ..made };
            directory.create(made, Vec::new()).await.unwrap();
            let (endpoint, shutdown, mut running) = (Endpoint::default(), Shutdown::default(), JoinSet::new());
            let introduction = Introduction::default();
            let handshakes =
                Handshakes { directory: Arc::clone(&directory), transport: endpoint.clone(), introduction };
            running.spawn(handshakes.run(shutdown.clone()));
            Self { directory, endpoint, shutdown, running, _folder: folder }
        }

        fn subscription(&self) -> Arc<Subscription> {
            Arc::clone(&self.directory.snapshot().get("sub_a").unwrap().subscription)
        }

        /// Waits while the clock stands: it is not paused for threads, and the store has one.
        async fn until(&self, what: impl Fn(&Self) -> bool) {
            while !what(self) {
                tokio::task::spawn_blocking(std::thread::yield_now).await.unwrap();
            }
        }

        async fn until_refused(&self) {
            self.until(|house| house.subscription().status.reason.as_deref() == Some("connect: refused")).await;
        }

        fn asked(&self) -> Vec<String> {
            self.endpoint.asked.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
        }

        async fn end(mut self) {
            self.shutdown.stop();
            self.running.join_next().await.unwrap().unwrap();
        }
    }

    fn guard() -> Guard {
        Guard::new(EgressSettings::default())
    }

    #[tokio::test(start_paused = true)]
    async fn wh_8_who_does_not_say_yes_is_asked_ever_more_seldom_and_then_no_more() {
        let house = House::open().await;
        house.until_refused().await;
        tokio::time::sleep(Duration::from_secs(30 * 24 * 3600)).await;
        let asked: Vec<_> = house.endpoint.asked.lock().unwrap().iter().map(|(_, at)| *at).collect();
        let waits: Vec<_> = asked.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
        assert_eq!(waits, WAITS.map(|wait| wait.as_secs()));
        assert_eq!(house.subscription().version, 2, "the same answer is written once");
        house.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn wh_8_a_yes_ends_it_and_another_url_begins_it_anew() {
        let house = House::open().await;
        house.until_refused().await;
        house.endpoint.wants.store(true, Ordering::SeqCst);
        tokio::time::sleep(WAITS[0]).await;
        house.until(|house| house.subscription().status.state == State::Active).await;
        tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(house.asked(), ["/a", "/a"]);
        house.endpoint.wants.store(false, Ordering::SeqCst);
        let patch = Node::from_json(&"test".into(), &json!({ "url": "https://example.com/b" }));
        let moved = written::change(&house.subscription(), &patch, &guard(), clock::now()).unwrap();
        let version = house.subscription().version;
        house.directory.update(moved, version).await.unwrap();
        let target = || house.directory.snapshot().get("sub_a").unwrap().cell.target();
        assert_eq!(target().url.path(), "/a", "an attempt in hand is not taken to who has not said yes");
        house.until_refused().await;
        assert_eq!((house.asked().len(), house.subscription().status.state), (3, State::Unverified));
        house.endpoint.wants.store(true, Ordering::SeqCst);
        tokio::time::sleep(WAITS[0]).await;
        house.until(|house| house.subscription().status.state == State::Active).await;
        assert_eq!(target().url.path(), "/b");
        house.end().await;
    }
}
