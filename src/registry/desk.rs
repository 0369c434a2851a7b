//! Where the loops ask for schemas, without waiting: what they ask for is looked up in the background.
//!
//! Takes ids, and hands what it finds to who decodes. While the registry does not answer it asks on, each schema at
//! its own pace, for as long as it takes; what the registry does not have it remembers for a while.

use crate::model::schema::{SchemaId, SchemaText};
use crate::model::time::Timestamp;
use crate::registry::client::{Answer, Registry};
use crate::registry::error::RegistryError;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::Health;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{info, warn};

/// Between two questions for a schema while the registry does not answer; doubles. The longest is what an outage costs
/// beyond its end.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Schemas that are looked up at once: one that hangs keeps no other.
const AT_ONCE: usize = 4;
/// How long it is remembered that the registry does not have a schema. Then a record that names it asks again: it may
/// have been registered late.
const NOTHING: Duration = Duration::from_secs(60);
/// How many such are remembered: garbage names a new one each time.
const NOTHINGS: usize = 1_000;

/// Where the loops ask.
#[derive(Debug, Default)]
pub struct Desk {
    registry: Option<Arc<Registry>>,
    state: Mutex<State>,
    called: Notify,
}

#[derive(Debug, Default)]
struct State {
    wanted: BTreeMap<SchemaId, Wanted>,
    nothing: HashMap<SchemaId, Nothing>,
}

/// A schema that somebody waits for.
#[derive(Debug)]
struct Wanted {
    now: Now,
    /// What is waited after the next failure.
    wait: Duration,
    /// Why it is not there yet.
    trouble: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    Due(Instant),
    Asked,
}

/// A schema that is not there.
#[derive(Debug)]
struct Nothing {
    why: String,
    until: Timestamp,
}

/// What the desk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is being looked up: come again.
    Wait,
    /// The registry does not have it, or it cannot be used; why, a sentence for people.
    Nothing(String),
}

/// What came of a look-up.
enum Came {
    /// It was handed on.
    Learnt,
    /// It is not there, or cannot be used; why.
    Nothing(String),
    /// The registry did not say.
    Failed(RegistryError),
}

/// Takes a schema; says what is wrong with it if it cannot be used.
type Learn = dyn Fn(SchemaId, &SchemaText) -> Result<(), String> + Send + Sync;

// === impl Desk ===

impl Desk {
    /// A desk in front of this registry. Without one, what is asked for waits.
    #[must_use]
    pub fn new(registry: Option<Registry>) -> Self {
        Self { registry: registry.map(Arc::new), ..Self::default() }
    }

    /// Asks for a schema. Never blocks; to be asked again until the schema is there or nothing is.
    pub fn ask(&self, id: SchemaId, now: Timestamp) -> Said {
        let mut state = self.lock();
        match state.nothing.get(&id) {
            Some(nothing) if nothing.until > now => return Said::Nothing(nothing.why.clone()),
            Some(_) => drop(state.nothing.remove(&id)),
            None => {}
        }
        state.wanted.entry(id).or_insert_with(|| {
            self.called.notify_one();
            Wanted { now: Now::Due(Instant::now()), wait: WAIT_MIN, trouble: None }
        });
        Said::Wait
    }

    /// Whether everything that is asked for can be looked up; `None` without a registry.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.registry.as_ref()?;
        let state = self.lock();
        let trouble = state.wanted.iter().find_map(|(id, wanted)| Some((id, wanted.trouble.as_ref()?)));
        Some(trouble.map_or(Health::Good, |(id, why)| Health::Bad(format!("schema {id} is waited for: {why}"))))
    }

    /// Looks up what is asked for until the stop, and hands it on.
    pub async fn serve(&self, shutdown: Shutdown, learn: Arc<Learn>) {
        let Some(registry) = &self.registry else { return shutdown.stopped().await };
        let mut asked: JoinSet<(SchemaId, Came)> = JoinSet::new();
        loop {
            for id in self.take_due(AT_ONCE - asked.len()) {
                let (registry, learn) = (Arc::clone(registry), Arc::clone(&learn));
                asked.spawn(async move { (id, look_up(&registry, id, learn).await) });
            }
            tokio::select! {
                biased;
                () = shutdown.stopped() => break,
                Some(done) = asked.join_next() => match done {
                    Ok((id, came)) => self.came(id, came),
                    Err(error) => self.broke(&error),
                },
                () = self.called.notified(), if asked.len() < AT_ONCE => {}
                () = until(self.next_due()), if asked.len() < AT_ONCE => {}
            }
        }
        asked.shutdown().await;
    }

    /// At most so many that are due; they are asked for from here on.
    fn take_due(&self, most: usize) -> Vec<SchemaId> {
        let (now, mut state) = (Instant::now(), self.lock());
        let is_due = |wanted: &Wanted| matches!(wanted.now, Now::Due(at) if at <= now);
        let due = state.wanted.iter_mut().filter(|(_, wanted)| is_due(wanted)).take(most);
        due.map(|(id, wanted)| {
            wanted.now = Now::Asked;
            *id
        })
        .collect()
    }

    fn next_due(&self) -> Option<Instant> {
        let of = |wanted: &Wanted| match wanted.now {
            Now::Due(at) => Some(at),
            Now::Asked => None,
        };
        self.lock().wanted.values().filter_map(of).min()
    }

    fn came(&self, id: SchemaId, came: Came) {
        let mut state = self.lock();
        match came {
            Came::Learnt => {
                info!(schema = %id, "looked up");
                state.wanted.remove(&id);
            }
            Came::Nothing(why) => {
                state.wanted.remove(&id);
                state.nothing(id, why);
            }
            Came::Failed(error) => state.failed(id, &error),
        }
    }

    /// Which look-up broke down is not known: all are asked for again.
    fn broke(&self, error: &JoinError) {
        warn!(%error, "a look-up broke down");
        let again = Now::Due(Instant::now() + WAIT_MAX);
        self.lock().wanted.values_mut().for_each(|wanted| wanted.now = again);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn failed(&mut self, id: SchemaId, error: &RegistryError) {
        let Some(wanted) = self.wanted.get_mut(&id) else { return };
        if wanted.trouble.is_none() {
            warn!(schema = %id, "the schema registry cannot be asked; partitions that need the schema wait: {error}");
        }
        wanted.trouble = Some(error.to_string());
        wanted.now = Now::Due(Instant::now() + wanted.wait);
        wanted.wait = (wanted.wait * 2).min(WAIT_MAX);
    }

    fn nothing(&mut self, id: SchemaId, why: String) {
        warn!(schema = %id, "{why}");
        if self.nothing.len() >= NOTHINGS
            && let Some(oldest) = self.nothing.iter().min_by_key(|(_, one)| one.until).map(|(id, _)| *id)
        {
            self.nothing.remove(&oldest);
        }
        self.nothing.insert(id, Nothing { why, until: clock::now().after(NOTHING) });
    }
}

async fn look_up(registry: &Registry, id: SchemaId, learn: Arc<Learn>) -> Came {
    let text = match registry.look_up(&id).await {
        Ok(Answer::Found(text)) => text,
        Ok(Answer::Nothing(why)) => return Came::Nothing(why),
        Err(error) => return Came::Failed(error),
    };
    // Compiling takes a while, and what a stranger registered may break a compiler: that costs the schema alone.
    match tokio::task::spawn_blocking(move || learn(id, &text)).await {
        Ok(Ok(())) => Came::Learnt,
        Ok(Err(why)) => Came::Nothing(format!("schema {id} cannot be used: {why}")),
        Err(_) => Came::Nothing(format!("schema {id} cannot be used: it breaks its compiler")),
    }
}

/// Waits until then; for ever when there is nothing to wait for.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::trial::{Reply, Trial, settings};
    use serde_json::json;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A desk at work in front of a scripted registry, and what it handed on.
    struct Office {
        desk: Arc<Desk>,
        learnt: Arc<Mutex<Vec<SchemaId>>>,
        shutdown: Shutdown,
        serving: JoinSet<()>,
    }

    fn id(number: u32) -> SchemaId {
        SchemaId::Number(number)
    }

    fn open(trial: &Trial) -> Office {
        let desk = Arc::new(Desk::new(Some(Registry::new(&settings(&[trial.url()])).unwrap())));
        let (learnt, shutdown, mut serving) = (Arc::new(Mutex::new(Vec::new())), Shutdown::default(), JoinSet::new());
        let (own, sink, stop) = (Arc::clone(&desk), Arc::clone(&learnt), shutdown.clone());
        serving.spawn(async move {
            let learn = move |id, text: &SchemaText| match text.text.as_str() {
                "bad" => Err("it is bad".to_owned()),
                "worse" => panic!("it is worse"),
                _ => {
                    sink.lock().unwrap().push(id);
                    Ok(())
                }
            };
            own.serve(stop, Arc::new(learn)).await;
        });
        Office { desk, learnt, shutdown, serving }
    }

    impl Office {
        async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
            let begun = Instant::now();
            while !holds(self) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }

        async fn close(mut self) {
            self.shutdown.stop();
            assert!(self.serving.join_next().await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn sr_5_what_is_asked_for_is_looked_up_once_however_often_it_is_asked_for() {
        let trial = Trial::start(|_| Reply::json(200, &json!({"schema": "good"})));
        let office = open(&trial);
        for _ in 0..10 {
            assert_eq!(office.desk.ask(id(7), clock::now()), Said::Wait);
        }
        office.until("it is learnt", |office| *office.learnt.lock().unwrap() == [id(7)]).await;
        assert_eq!((trial.requests().len(), office.desk.health()), (1, Some(Health::Good)));
        office.close().await;
    }

    #[tokio::test]
    async fn sr_5_while_the_registry_is_away_it_asks_on_and_says_why_and_others_are_served() {
        let up = Arc::new(AtomicBool::new(false));
        let well = Arc::clone(&up);
        let trial = Trial::start(move |request| match request.path.as_str() {
            "/schemas/ids/1" if !well.load(Ordering::SeqCst) => Reply::text(503, ""),
            "/schemas/ids/2" => Reply::Hang,
            _ => Reply::json(200, &json!({"schema": "good"})),
        });
        let office = open(&trial);
        for number in [1, 2, 3] {
            office.desk.ask(id(number), clock::now());
        }
        office.until("3 is learnt", |office| *office.learnt.lock().unwrap() == [id(3)]).await;
        let asked = || trial.requests().iter().filter(|request| request.path == "/schemas/ids/1").count();
        office.until("1 is asked for again", |_| asked() >= 3).await;
        let Some(Health::Bad(why)) = office.desk.health() else { panic!("{:?}", office.desk.health()) };
        assert!(why.starts_with("schema 1 is waited for: ") && why.contains("answers 503"), "{why}");
        assert_eq!(office.desk.ask(id(1), clock::now()), Said::Wait, "an outage is no answer");
        up.store(true, Ordering::SeqCst);
        office.until("1 is learnt", |office| *office.learnt.lock().unwrap() == [id(3), id(1)]).await;
        assert_eq!(office.desk.health(), Some(Health::Good));
        office.close().await;
    }

    #[tokio::test]
    async fn what_is_not_there_or_cannot_be_used_is_remembered_for_a_minute() {
        let trial = Trial::start(|request| match request.path.as_str() {
            "/schemas/ids/3" => Reply::json(200, &json!({"schema": "worse"})),
            "/schemas/ids/4" => Reply::json(200, &json!({"schema": "bad"})),
            _ => Reply::json(404, &json!({"error_code": 40403, "message": "Schema not found"})),
        });
        let office = open(&trial);
        let says = |number: u32, expected: &str| {
            let expected = Said::Nothing(expected.to_owned());
            move |office: &Office| office.desk.ask(id(number), clock::now()) == expected
        };
        office.until("5 is not there", says(5, "the registry has no schema 5: Schema not found")).await;
        office.until("4 cannot be used", says(4, "schema 4 cannot be used: it is bad")).await;
        office.until("3 breaks it", says(3, "schema 3 cannot be used: it breaks its compiler")).await;
        let now = clock::now();
        assert!(matches!(office.desk.ask(id(5), now.after(Duration::from_secs(58))), Said::Nothing(_)));
        assert_eq!(trial.requests().len(), 3);
        assert_eq!(office.desk.ask(id(5), now.after(Duration::from_secs(61))), Said::Wait);
        office.until("it is asked for again", |_| trial.requests().len() == 4).await;
        office.close().await;
    }

    #[test]
    fn garbage_does_not_fill_the_memory() {
        let mut state = State::default();
        for number in 0..2 * u32::try_from(NOTHINGS).unwrap() {
            state.nothing(id(number), String::new());
        }
        assert_eq!(state.nothing.len(), NOTHINGS);
    }
}
