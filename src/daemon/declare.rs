//! Brings subscriptions in line with what the files say, together with the rules that go with them: at the start, and at
//! every reload.

use crate::daemon::error::DaemonError;
use crate::kafka::group::GroupError;
use crate::kafka::settings::KafkaSettings;
use crate::model::problem::{Place, Problems};
use crate::model::subscription::{Start, Subscription};
use crate::pipeline::Pipeline;
use crate::runtime::clock;
use crate::runtime::shutdown::Shutdown;
use crate::store::space::Space;
use crate::subscriptions::Directory;
use crate::subscriptions::amend::{Amendment, Cursors};
use crate::subscriptions::begin::Past;
use crate::subscriptions::declared::{self, Misfit, Plan, Wanted};
use crate::subscriptions::error::DirectoryError;
use crate::subscriptions::health::Health;
use crate::web::reload::Refused;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::{error, info, warn};

/// How often it is begun again when a subscription changes meanwhile: its endpoint said 410, or somebody resumed it.
const TRIES: usize = 5;

/// How soon a start is tried again that had to wait.
const AGAIN: Duration = Duration::from_secs(2);

/// Brings subscriptions in line.
pub(crate) struct Declaring<'h> {
    /// All subscriptions.
    pub(crate) directory: &'h Directory,
    /// How to reach the log, to look up where new ones begin.
    pub(crate) kafka: &'h KafkaSettings,
    /// The configuration file, for whoever reads what is wrong.
    pub(crate) file: &'h Path,
}

/// Declared subscriptions that were made, changed and deleted, by id.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    pub(crate) added: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
}

// === impl Declaring ===

impl Declaring<'_> {
    /// Does what `wanted` says before anything runs. A Kafka that is away is waited for: who begins in the past must
    /// have a place there before the first record is read.
    ///
    /// # Errors
    /// The files cannot be followed, or the store failed.
    pub(crate) async fn begin(
        &self,
        wanted: &Wanted,
        rules: &Arc<Pipeline>,
        shutdown: &Shutdown,
    ) -> Result<(), DaemonError> {
        loop {
            match self.follow(wanted, rules, || {}).await {
                Ok(_) => return Ok(()),
                Err(Refused::Invalid(problems)) => return Err(DaemonError::Declared(problems)),
                Err(Refused::Kafka(why) | Refused::Store(why)) => warn!("the start has to wait: {why}"),
            }
            if let Some(error) = self.directory.hands().store.health() {
                return Err(error.into());
            }
            tokio::select! {
                biased;
                () = shutdown.stopped() => return Ok(()),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Does what `wanted` says; `swap` puts the rules in force that go with it, between two records. New ones that
    /// begin in the past begin on the topics of `pipeline`.
    ///
    /// # Errors
    /// Why nothing changed.
    pub(crate) async fn follow(
        &self,
        wanted: &Wanted,
        pipeline: &Arc<Pipeline>,
        swap: impl Fn() + Send + Sync,
    ) -> Result<Followed, Refused> {
        for _ in 0..TRIES {
            let plan = declared::plan(&self.directory.snapshot(), wanted.declared.as_deref(), clock::now());
            let plan = plan.map_err(|misfits| self.invalid(&misfits))?;
            if !plan.is_empty() && self.directory.hands().store.space() == Space::Hard {
                return Err(Refused::Store("the disk is full: free space is below store.min_free".into()));
            }
            let followed = Followed::of(&plan);
            let cursors = self.cursors(&plan.made, pipeline).await.map_err(|error| unreached(&error))?;
            self.announce(&plan);
            let amendment = Amendment { defaults: wanted.defaults.clone(), plan, cursors };
            match self.directory.amend(amendment, &swap).await {
                Err(DirectoryError::Conflict { .. } | DirectoryError::NotFound) => {}
                Err(error @ (DirectoryError::Store(_) | DirectoryError::Full | DirectoryError::Target(_))) => {
                    error!(%error, "subscriptions could not be changed");
                    return Err(Refused::Store(error.to_string()));
                }
                Ok(()) => {
                    followed.tell();
                    return Ok(followed);
                }
            }
        }
        Err(Refused::Store("subscriptions change all the time".into()))
    }

    fn invalid(&self, misfits: &[Misfit]) -> Refused {
        let (mut problems, place) = (Problems::default(), Place::whole(self.file.display().to_string()));
        misfits.iter().for_each(|misfit| problems.add(&place, "subscriptions", misfit.to_string(), ""));
        Refused::Invalid(problems)
    }

    /// Where those of `made` that begin in the past begin.
    async fn cursors(
        &self,
        made: &[Subscription],
        pipeline: &Arc<Pipeline>,
    ) -> Result<HashMap<String, Cursors>, GroupError> {
        let past = made.iter().filter(|one| one.start != Start::Now);
        let starts: Vec<_> = past.map(|one| (one.id.clone(), one.start)).collect();
        if starts.is_empty() {
            return Ok(HashMap::new());
        }
        let (kafka, pipeline) = (self.kafka.clone(), Arc::clone(pipeline));
        let look = move || {
            let past = Past::of(&kafka)?;
            let topics = |existing: &[String]| pipeline.topics(existing);
            let cursors = |(id, start)| Ok((id, past.cursors(&topics, (start, clock::now()))?));
            starts.into_iter().map(cursors).collect()
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
    }

    /// Says loudly who goes, before it is too late to look at the store.
    fn announce(&self, plan: &Plan) {
        let snapshot = self.directory.snapshot();
        for one in plan.gone.iter().filter_map(|gone| snapshot.get(&gone.id)) {
            let health = Health::of(one.subscription.status.state, &one.cell);
            warn!(
                subscription = %one.subscription.id, url = %one.subscription.url.origin().ascii_serialization(),
                ledger_rows = health.rows, behind = health.behind,
                "no file declares it any more: it is deleted, with everything it is owed, its dead letters and its secrets"
            );
        }
    }
}

// === impl Followed ===

impl Followed {
    fn of(plan: &Plan) -> Self {
        let ids = |all: &[Subscription]| all.iter().map(|one| one.id.clone()).collect();
        let removed = plan.gone.iter().map(|one| one.id.clone()).collect();
        Self { added: ids(&plan.made), changed: ids(&plan.changed), removed }
    }

    fn tell(&self) {
        for (ids, what) in [(&self.added, "new"), (&self.changed, "changed"), (&self.removed, "deleted")] {
            ids.iter().for_each(|id| info!(subscription = %id, "declared subscription: {what}"));
        }
    }
}

fn unreached(error: &GroupError) -> Refused {
    Refused::Kafka(format!("Kafka did not answer where a new subscription begins: {error}"))
}
