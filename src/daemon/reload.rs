//! Loads the configuration again while the process runs, and takes it over whole or not at all.
//!
//! Asked by SIGHUP, by `POST /v1/reload`, or by files that hold something else. What is wrong, or can only be read at
//! the start, leaves everything as it is; why stands in log, metric and `/v1/status`.

use crate::config::Config;
use crate::config::error::ConfigError;
use crate::config::fixed::Fixed;
use crate::config::reads::Reads;
use crate::daemon::affected::affected;
use crate::daemon::declare::Declaring;
use crate::daemon::watch;
use crate::dryrun::suite;
use crate::kafka::settings::KafkaSettings;
use crate::model::problem::{Place, Problems};
use crate::pipeline::Pipeline;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::runtime::status::{Board, Cause, Reload, Taken};
use crate::subscriptions::Directory;
use crate::subscriptions::declared::Wanted;
use crate::web::reload::{Asked, Refused, Reloaded};
use arc_swap::ArcSwap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tracing::{Level, error, info, warn};

/// Where a configuration comes from, and what is outside of the daemon.
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// What is set over it.
    pub sets: Vec<String>,
    /// Says how much is logged from now on.
    pub log: Box<dyn Fn(Level) + Send + Sync>,
    /// The signal that asks for a reload, if one does.
    pub hangup: Option<Signal>,
}

/// Reloads.
pub(crate) struct Reloader {
    pub(crate) origin: Origin,
    pub(crate) asked: mpsc::Receiver<Asked>,
    pub(crate) pipeline: Arc<ArcSwap<Pipeline>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) board: Board,
    pub(crate) kafka: KafkaSettings,
    pub(crate) fixed: Fixed,
    /// What was read for the configuration in force.
    pub(crate) in_force: Reads,
    /// What was read at the last try.
    pub(crate) tried: Reads,
}

/// A configuration of which every file is right, with its rules bound together.
struct Bound {
    rules: Pipeline,
    wanted: Wanted,
    level: Level,
    fixed: Fixed,
    reads: Reads,
    /// The tests beside its mappings that fail.
    failing: Problems,
}

// === impl Reloader ===

impl Reloader {
    /// Reloads whenever somebody asks, until the stop.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        loop {
            let (cause, answer) = tokio::select! {
                biased;
                () = shutdown.stopped() => return,
                Some(asked) = self.asked.recv() => (Cause::Api, Some(asked)),
                () = hangup(&mut self.origin.hangup) => (Cause::Signal, None),
                () = watch::changed(&self.tried) => (Cause::Files, None),
            };
            let result = self.reload(cause).await;
            if let Some(answer) = answer {
                drop(answer.send(result)); // who asked may be gone
            }
        }
    }

    /// Takes over what the files say now.
    async fn reload(&mut self, cause: Cause) -> Result<Reloaded, Refused> {
        let (taken, answer) = match self.checked().await {
            Err(problems) => (Taken::Refused, Err(Refused::Invalid(problems))),
            Ok(bound) if bound.reads == self.in_force => (Taken::Unchanged, Ok(self.unchanged())),
            Ok(bound) => match self.take(bound).await {
                Ok(reloaded) => (Taken::Applied, Ok(reloaded)),
                Err(refused) => (Taken::Refused, Err(refused)),
            },
        };
        if let Err(Refused::Kafka(_) | Refused::Store(_)) = &answer {
            self.tried = self.in_force.clone(); // so that the files count as changed, and it is tried again
        }
        let problems = answer.as_ref().err().map(Refused::problems).unwrap_or_default();
        self.tell(Reload { at: clock::now(), cause, taken, problems });
        answer
    }

    fn unchanged(&self) -> Reloaded {
        Reloaded { generation: self.board.read().generation, ..Reloaded::default() }
    }

    /// The configuration, when everything about it is right: its files, the tests beside its mappings, and that it asks
    /// for nothing that needs a restart.
    async fn checked(&mut self) -> Result<Bound, Problems> {
        let (file, sets, in_force) = (self.origin.file.clone(), self.origin.sets.clone(), self.in_force.clone());
        let (mut problems, place) = (Problems::default(), Place::whole(file.display().to_string()));
        let bound = match tokio::task::spawn_blocking(move || Bound::load(&file, &sets, &in_force)).await {
            Ok(Ok(bound)) => bound,
            Ok(Err(error)) => {
                self.tried = error.reads;
                return Err(error.problems);
            }
            Err(_) => {
                problems.add(&place, "", "reading it broke down", "Tell us, with the file");
                return Err(problems);
            }
        };
        self.tried = bound.reads.clone();
        for key in self.fixed.changes(&bound.fixed) {
            problems.add(&place, key, "is read at the start only", "Restart to take it over, or put it back");
        }
        problems.extend(bound.failing.clone());
        problems.or(bound)
    }

    /// Puts it in force: subscriptions and rules between two records, then the rest, which cannot fail.
    async fn take(&mut self, bound: Bound) -> Result<Reloaded, Refused> {
        let (before, wanted) = (self.pipeline.load_full(), bound.wanted);
        // What the registry said of an id holds for ever (SR-5).
        let pipeline = Arc::new(bound.rules.sharing(Arc::clone(before.schemas())));
        let affected = affected(&self.directory, &before, &pipeline);
        let declaring = Declaring { directory: &self.directory, kafka: &self.kafka, file: &self.origin.file };
        let followed = declaring.follow(&wanted, &pipeline, || self.pipeline.store(Arc::clone(&pipeline))).await?;
        (self.origin.log)(bound.level);
        self.in_force = bound.reads;
        let mut generation = 0;
        self.board.update(|report| {
            report.generation += 1;
            generation = report.generation;
        });
        let (added, changed, removed) = (followed.added, followed.changed, followed.removed);
        for one in &affected {
            warn!(mapping = one.mapping, now = one.event_type.as_deref().unwrap_or("gone"), subscriptions = ?one.subscriptions,
                "who waits behind a cursor gets what the new rules say");
        }
        Ok(Reloaded { generation, added, changed, removed, affected })
    }

    fn tell(&self, reload: Reload) {
        self.directory.hands().metrics.reloaded(reload.taken.as_str());
        let (generation, cause, mistakes) =
            (self.board.read().generation, reload.cause.as_str(), reload.problems.0.len());
        if mistakes == 0 {
            info!(cause, generation, "configuration: {}", reload.taken.as_str());
        } else {
            error!(cause, generation, mistakes, "the configuration is not taken; the one before stays in force");
            reload.problems.0.iter().for_each(|problem| error!("{problem}"));
        }
        self.board.update(|report| report.reload = Some(reload));
    }
}

// === impl Bound ===

impl Bound {
    /// Loads it, and runs its tests: by no registry's schemas, as `hookline test` does. What is in force already runs
    /// whatever they say. Blocks.
    fn load(file: &Path, sets: &[String], in_force: &Reads) -> Result<Self, ConfigError> {
        let config = Config::load(file, sets)?;
        let fixed = config.fixed();
        let rules = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
        let rules = rules.publishing(config.catalogue, config.validate);
        let failing = match config.reads == *in_force {
            true => Problems::default(),
            false => suite::run(&rules, &config.tests).problems(),
        };
        let wanted = Wanted { declared: config.declared, defaults: config.delivery };
        Ok(Self { rules, wanted, level: config.log.level, fixed, reads: config.reads, failing })
    }
}

/// Waits for the signal; for ever when there is none. Cancel-safe.
async fn hangup(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::gauges::Gauges;
    use crate::model::cursor::{BehindReason, CursorMode, CursorRow};
    use crate::model::record::TopicPartition;
    use crate::model::subscription::State;
    use crate::progress::partitions::Partitions;
    use crate::store::Store;
    use crate::store::settings::StoreSettings;
    use crate::subscriptions::amend::{Amendment, Cursors};
    use crate::subscriptions::cell::Hands;
    use crate::subscriptions::declared::Plan;
    use crate::web::reload::Reloads;
    use std::collections::HashMap;
    use std::fs;
    use std::sync::Mutex;
    use tempfile::TempDir;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// A reloader over files in a folder, with no loop around it.
    struct Trial {
        folder: TempDir,
        reloader: Reloader,
        reloads: Reloads,
        levels: Arc<Mutex<Vec<Level>>>,
    }

    fn mapping(name: &str, event_type: &str) -> String {
        format!("mappings: [{{ name: {name}, from: shop.orders, emit: {{ type: {event_type} }} }}]")
    }

    fn declared(ids: &[&str], more: &str) -> String {
        let one = |id: &&str| {
            format!("{{ id: {id}, url: 'https://example.com/h', types: ['t.**'], secrets: ['{SECRET}'], {more} }}")
        };
        format!("subscriptions: [{}]", ids.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    impl Trial {
        /// In force: a mapping `placed` of the type `t.placed`, and the defaults.
        async fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            write(&folder, "hookline.yaml", "");
            write(&folder, "mappings/a.yaml", &mapping("placed", "t.placed"));
            files.iter().for_each(|(name, text)| write(&folder, name, text));
            let file = folder.path().join("hookline.yaml");
            let config = Config::load(&file, &[]).map_err(|error| error.report()).unwrap();
            let settings = StoreSettings { path: folder.path().join("store"), min_free: 0, ..StoreSettings::default() };
            let store = Store::open(&settings, Box::new(|_| {})).unwrap();
            let hands = Arc::new(Hands::new(store, Arc::new(Partitions::default()), Metrics::new()));
            let directory = Directory::load(hands, config.delivery.clone()).unwrap();
            let (board, (reloads, asked)) = (Board::default(), Reloads::new());
            board.update(|report| report.generation = 1);
            let (levels, fixed) = (Arc::<Mutex<Vec<Level>>>::default(), config.fixed());
            let heard = Arc::clone(&levels);
            let log = Box::new(move |level| heard.lock().unwrap().push(level));
            let pipeline = Arc::new(Pipeline::new(config.mappings, config.formats, config.limits.event_bytes));
            let wanted = Wanted { declared: config.declared, defaults: config.delivery };
            let declaring = Declaring { directory: &directory, kafka: &config.kafka, file: &file };
            declaring.begin(&wanted, &pipeline, &Shutdown::default()).await.unwrap();
            let reloader = Reloader {
                origin: Origin { file, sets: Vec::new(), log, hangup: None },
                asked,
                pipeline: Arc::new(ArcSwap::new(pipeline)),
                directory,
                board,
                kafka: config.kafka,
                fixed,
                in_force: config.reads.clone(),
                tried: config.reads,
            };
            Self { folder, reloader, reloads, levels }
        }

        fn write(&self, name: &str, text: &str) {
            write(&self.folder, name, text);
        }

        async fn reload(&mut self) -> Result<Reloaded, String> {
            let told = |refused: Refused| refused.problems().to_string();
            self.reloader.reload(Cause::Signal).await.map_err(told)
        }

        fn mappings(&self) -> Vec<String> {
            self.reloader.pipeline.load().mappings().map(str::to_owned).collect()
        }

        fn ids(&self) -> Vec<String> {
            self.reloader.directory.snapshot().iter().map(|entry| entry.subscription.id.clone()).collect()
        }

        fn counted(&self, result: &str) -> bool {
            let text = self.reloader.directory.hands().metrics.scrape(&Gauges::default());
            text.contains(&format!("hookline_config_reloads_total{{result=\"{result}\"}} 1\n"))
        }
    }

    fn write(folder: &TempDir, name: &str, text: &str) {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[tokio::test]
    async fn a_good_configuration_is_in_force_at_once_with_a_generation_of_its_own() {
        let mut trial = Trial::new(&[]).await;
        trial.write("mappings/b.yaml", &mapping("cancelled", "t.cancelled"));
        trial.write("hookline.yaml", "delivery: { timeout: 3s }\nlog: { level: debug }");
        let reloaded = trial.reload().await.unwrap();
        assert_eq!(reloaded, Reloaded { generation: 2, ..Reloaded::default() });
        assert_eq!(trial.mappings(), ["placed", "cancelled"]);
        assert_eq!(*trial.levels.lock().unwrap(), [Level::DEBUG]);
        let report = trial.reloader.board.read();
        assert_eq!((report.generation, report.reload.unwrap().taken), (2, Taken::Applied));
        assert!(trial.counted("applied"));
    }

    #[tokio::test]
    async fn a_configuration_with_mistakes_changes_nothing_and_they_are_told_everywhere() {
        let mut trial = Trial::new(&[]).await;
        trial.write("mappings/a.yaml", "mappings: [{ name: placed, from: shop.orders, emit: { typ: t.placed } }]");
        trial.write("hookline.yaml", "delivery: { timeout: soon }");
        let told = trial.reload().await.unwrap_err();
        assert!(told.contains("hookline.yaml:1:22: delivery.timeout: ") && told.contains("emit.typ: "), "{told}");
        assert_eq!(trial.mappings(), ["placed"]);
        let report = trial.reloader.board.read();
        let reload = report.reload.unwrap();
        assert_eq!((report.generation, reload.taken, reload.problems.to_string()), (1, Taken::Refused, told));
        assert!(trial.counted("refused") && trial.levels.lock().unwrap().is_empty());
        trial.write("mappings/a.yaml", &mapping("placed", "t.placed"));
        trial.write("hookline.yaml", "");
        assert_eq!(trial.reload().await.unwrap().generation, 1, "it holds what is in force");
        assert!(trial.counted("unchanged"));
    }

    #[tokio::test]
    async fn rules_whose_tests_fail_are_not_taken() {
        let mut trial = Trial::new(&[]).await;
        let file = |event_type: &str, payload: &str, rest: &str| {
            let test = "tests: [{ name: is placed, record: { topic: shop.orders, ";
            let expect = "expect: [{ type: t.placed }] }]";
            let rules = mapping("placed", event_type);
            format!("{rules}\n{test}{payload} }}, {expect}\n{rest}")
        };
        trial.write("mappings/a.yaml", &file("t.other", "payload: {}", ""));
        let told = trial.reload().await.unwrap_err();
        assert!(told.contains("mappings/a.yaml:2:9: tests[0]: the test `is placed` fails: "), "{told}");
        assert_eq!((trial.reloader.board.read().generation, trial.counted("refused")), (1, true));
        trial.write("mappings/order.json", "{}");
        let published = "events: { t.placed: { schema: { type: string } } }";
        trial.write("mappings/a.yaml", &file("t.placed", "payload_file: order.json", published));
        let told = trial.reload().await.unwrap_err();
        assert!(told.contains("does not fit the schema of t.placed"), "{told}");
        trial.write("mappings/a.yaml", &file("t.placed", "payload_file: order.json", ""));
        assert_eq!(trial.reload().await.unwrap().generation, 2);
        assert!(trial.reloader.pipeline.load().catalogue().types().is_empty());
        trial.write("mappings/order.json", "not JSON");
        assert_ne!(trial.reloader.tried.again(), trial.reloader.tried, "a file of a test is watched as well");
        trial.reload().await.unwrap_err();
    }

    #[tokio::test]
    async fn what_needs_a_restart_is_told_by_name_and_nothing_else_is_taken_either() {
        let mut trial = Trial::new(&[]).await;
        trial.write("mappings/b.yaml", &mapping("cancelled", "t.cancelled"));
        trial.write("hookline.yaml", "kafka: { brokers: 'a:1', properties: { client.rack: a } }");
        let told = trial.reload().await.unwrap_err();
        for key in ["kafka.brokers", "kafka.properties"] {
            let line =
                format!("hookline.yaml: {key}: is read at the start only. Restart to take it over, or put it back");
            assert!(told.contains(&line), "{told}");
        }
        assert_eq!(trial.mappings(), ["placed"]);
    }

    #[tokio::test]
    async fn declared_subscriptions_are_made_changed_and_deleted_and_who_did_not_change_stays_as_he_is() {
        let mut trial = Trial::new(&[("subscriptions/a.yaml", &declared(&["sub_a", "sub_b", "sub_c"], ""))]).await;
        assert_eq!(trial.ids(), ["sub_a", "sub_b", "sub_c"]);
        let before = Arc::clone(trial.reloader.directory.snapshot().get("sub_a").unwrap());
        trial.write("subscriptions/a.yaml", &declared(&["sub_a", "sub_d"], ""));
        trial.write("subscriptions/b.yaml", &declared(&["sub_b"], "status: paused"));
        let reloaded = trial.reload().await.unwrap();
        let expected = Reloaded {
            generation: 2,
            added: vec!["sub_d".into()],
            changed: vec!["sub_b".into()],
            removed: vec!["sub_c".into()],
            affected: vec![],
        };
        assert_eq!((reloaded, trial.ids()), (expected, vec!["sub_a".into(), "sub_b".into(), "sub_d".into()]));
        let snapshot = trial.reloader.directory.snapshot();
        assert_eq!(snapshot.get("sub_a").unwrap().subscription, before.subscription);
        assert!(Arc::ptr_eq(&snapshot.get("sub_a").unwrap().cell, &before.cell));
        assert_eq!(snapshot.get("sub_b").unwrap().subscription.status.state, State::Paused);
    }

    #[tokio::test]
    async fn a_folder_that_vanished_or_a_file_that_is_cut_off_deletes_nobody() {
        let mut trial = Trial::new(&[("subscriptions/a.yaml", &declared(&["sub_a"], ""))]).await;
        fs::remove_dir_all(trial.folder.path().join("subscriptions")).unwrap();
        let told = trial.reload().await.unwrap_err();
        assert!(told.contains("1 were declared (sub_a)") && told.contains("`subscriptions: []`"), "{told}");
        for text in ["", "subscriptions:\n", "subscriptions: ["] {
            trial.write("subscriptions/a.yaml", text);
            trial.reload().await.unwrap_err();
            assert_eq!(trial.ids(), ["sub_a"], "{text:?}");
        }
        trial.write("subscriptions/a.yaml", "subscriptions: []");
        assert_eq!(trial.reload().await.unwrap().removed, ["sub_a"], "now it is said");
        assert!(trial.ids().is_empty());
    }

    #[tokio::test]
    async fn who_waits_behind_a_cursor_for_what_is_not_made_any_more_is_told() {
        let mut trial = Trial::new(&[]).await;
        let at = TopicPartition { topic: "shop.orders".into(), partition: 0 };
        let (mode, reason) = (CursorMode::Behind, BehindReason::Starting);
        let row = CursorRow { mode, offset: 5, near: None, since: clock::now(), reason, to: None };
        let waits = |id: &str| (id.to_owned(), vec![(at.clone(), row)] as Cursors);
        let made: Vec<_> = {
            let file = trial.folder.path().join("more.yaml");
            let text = declared(&["sub_a", "sub_b", "sub_c"], "").replacen("t.**", "t.other", 1);
            fs::write(&file, text).unwrap();
            crate::config::declared::load(&[file]).unwrap()
        };
        let directory = Arc::clone(&trial.reloader.directory);
        directory.hands().partitions.open(&at, 10);
        let plan = Plan { made, ..Plan::default() };
        let cursors = HashMap::from(["sub_a", "sub_b"].map(waits));
        let defaults = Default::default();
        directory.amend(Amendment { defaults, plan, cursors }, || {}).await.unwrap();
        trial.write("subscriptions/more.yaml", &fs::read_to_string(trial.folder.path().join("more.yaml")).unwrap());
        trial.write("mappings/a.yaml", &mapping("ordered", "t.placed"));
        let reloaded = trial.reload().await.unwrap();
        // sub_a asks for another type, sub_c is behind nowhere.
        let told: Vec<_> =
            reloaded.affected.iter().map(|one| (&*one.mapping, &one.event_type, &one.subscriptions)).collect();
        assert_eq!(told, [("placed", &None, &vec!["sub_b".to_owned()])]);
        trial.write("mappings/a.yaml", &mapping("ordered", "t.ordered"));
        let reloaded = trial.reload().await.unwrap();
        assert_eq!(
            (&*reloaded.affected[0].mapping, reloaded.affected[0].event_type.as_deref()),
            ("ordered", Some("t.ordered"))
        );
    }

    #[tokio::test]
    async fn without_kafka_who_begins_in_the_past_is_refused_for_now_and_tried_again() {
        let mut trial = Trial::new(&[("hookline.yaml", "kafka: { brokers: '127.0.0.1:1' }")]).await;
        trial.write("subscriptions/a.yaml", &declared(&["sub_a"], "start: earliest"));
        let refused = trial.reloader.reload(Cause::Files).await.unwrap_err();
        assert!(matches!(refused, Refused::Kafka(_)), "{refused:?}");
        assert!(trial.ids().is_empty());
        assert_ne!(trial.reloader.tried.again(), trial.reloader.tried, "the files count as changed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_files_is_taken_over_by_itself_and_who_asks_is_answered() {
        let trial = Trial::new(&[]).await;
        let (board, pipeline) = (trial.reloader.board.clone(), Arc::clone(&trial.reloader.pipeline));
        let shutdown = Shutdown::default();
        let Trial { folder, reloader, reloads, .. } = trial;
        let asking = async {
            write(&folder, "mappings/a.yaml", &mapping("ordered", "t.placed"));
            while board.read().generation < 2 {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            let report = board.read();
            assert_eq!(report.reload.unwrap().cause, Cause::Files);
            assert_eq!(pipeline.load().mappings().collect::<Vec<_>>(), ["ordered"]);
            write(&folder, "mappings/a.yaml", "mappings: []");
            assert_eq!(reloads.ask().await.unwrap().unwrap().generation, 3);
            shutdown.stop();
        };
        tokio::join!(reloader.run(shutdown.clone()), asking);
        assert_eq!(reloads.ask().await, None, "it stopped");
    }
}
