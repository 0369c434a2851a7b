//! What becomes of a topic's old records, as its configuration says (`cleanup.policy`).

use crate::kafka::group::GroupError;
use crate::kafka::offsets::PATIENCE;
use crate::kafka::properties;
use crate::kafka::settings::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;

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
pub fn of(settings: &KafkaSettings, topic: &str) -> Result<Cleanup, GroupError> {
    let admin: AdminClient<DefaultClientContext> = properties::producer(settings).create()?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(GroupError::Thread)?;
    let asked = [ResourceSpecifier::Topic(topic)];
    let mut answers = runtime.block_on(admin.describe_configs(&asked, &options))?;
    let told = answers.pop().unwrap_or(Err(rdkafka::error::RDKafkaErrorCode::UnknownTopicOrPartition));
    let told = told.map_err(KafkaError::AdminOp)?;
    let policy = told.get("cleanup.policy").and_then(|entry| entry.value.as_deref()).unwrap_or_default();
    Ok(if policy.split(',').any(|one| one.trim() == "compact") { Cleanup::Compact } else { Cleanup::Delete })
}
