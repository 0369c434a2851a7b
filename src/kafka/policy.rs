//! What becomes of a topic's old records, as its configuration says (`cleanup.policy`, `retention.ms`).

use crate::kafka::group::GroupError;
use crate::kafka::offsets::PATIENCE;
use crate::kafka::properties;
use crate::kafka::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use std::time::Duration;

/// What a topic's configuration says of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What becomes of them.
    pub cleanup: Cleanup,
    /// How old a record may become; `None`: age alone takes none.
    pub retention: Option<Duration>,
}

/// What becomes of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// They go by age or size.
    Delete,
    /// Of each key the last one stays; the others may go at any time, whether somebody has read them or not.
    Compact,
}

/// What becomes of the old records of `topic`. Blocks.
///
/// # Errors
/// The cluster did not answer, or does not tell us.
pub fn of(settings: &KafkaSettings, topic: &str) -> Result<Policy, GroupError> {
    let admin: AdminClient<DefaultClientContext> = properties::producer(settings).create()?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(GroupError::Thread)?;
    let asked = [ResourceSpecifier::Topic(topic)];
    let mut answers = runtime.block_on(admin.describe_configs(&asked, &options))?;
    let told = answers.pop().unwrap_or(Err(rdkafka::error::RDKafkaErrorCode::UnknownTopicOrPartition));
    let told = told.map_err(KafkaError::AdminOp)?;
    let value = |name| told.get(name).and_then(|entry| entry.value.as_deref()).unwrap_or_default();
    Ok(read(value("cleanup.policy"), value("retention.ms")))
}

/// `-1` is for ever.
fn read(policy: &str, retention: &str) -> Policy {
    let says = |what| policy.split(',').any(|one| one.trim() == what);
    let cleanup = if says("compact") { Cleanup::Compact } else { Cleanup::Delete };
    let age = retention.parse().ok().map(Duration::from_millis);
    Policy { cleanup, retention: age.filter(|_| says("delete") || cleanup == Cleanup::Delete) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_where_records_are_deleted_and_is_bounded() {
        let week = Some(Duration::from_secs(7 * 86_400));
        for (policy, retention, expected) in [
            ("delete", "604800000", (Cleanup::Delete, week)),
            ("delete", "-1", (Cleanup::Delete, None)),
            ("compact", "604800000", (Cleanup::Compact, None)),
            ("compact, delete", "604800000", (Cleanup::Compact, week)),
            ("", "", (Cleanup::Delete, None)),
        ] {
            let (cleanup, retention_read) = expected;
            assert_eq!(read(policy, retention), Policy { cleanup, retention: retention_read }, "{policy} {retention}");
        }
    }
}
