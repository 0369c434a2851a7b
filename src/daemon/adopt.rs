//! Makes the group's commits those of this store, while no daemon runs: what another store owed is given up.

use crate::config::Config;
use crate::daemon::error::DaemonError;
use crate::intake::identity;
use crate::kafka::adopt::Commits;
use crate::pipeline::Pipeline;
use crate::store::Store;
use std::time::Duration;

/// A member that was killed stays in its group for 45 s, if nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(75);

/// What was adopted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The store whose they are now.
    pub store: String,
    /// How many partitions have a commit.
    pub partitions: usize,
}

/// Commits the group's offsets again, as this store's. Blocks.
///
/// # Errors
/// A daemon has the store, the group has members, or the cluster does not answer.
pub fn adopt(config: Config) -> Result<Adopted, DaemonError> {
    let store = Store::open(&config.store, Box::new(|_| {}))?;
    let name = identity::name(store.id());
    let pipeline = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
    let commits = Commits::new(&config.kafka)?;
    let existing = commits.topics()?;
    let wanted = pipeline.topics(&existing);
    let topics = wanted.iter().map(String::as_str).filter(|topic| existing.iter().any(|name| name == topic));
    let partitions = commits.rewrite(&topics.collect::<Vec<_>>(), |old| identity::adopted(&name, old), PATIENCE)?;
    store.close()?;
    Ok(Adopted { store: name, partitions })
}
