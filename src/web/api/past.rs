//! Looks offsets up in the log, off the async threads.

use crate::kafka::group::GroupError;
use crate::subscriptions::begin::{Past, Topics};
use crate::web::api::problem::{Kind, Problem};
use crate::web::state::Api;
use tracing::warn;

/// What `look` finds in the log, among the topics of the rules in force.
///
/// # Errors
/// 503: Kafka did not answer.
pub(crate) async fn look<T: Send + 'static>(
    api: &Api,
    look: impl FnOnce(&Past, Topics<'_>) -> Result<T, GroupError> + Send + 'static,
) -> Result<T, Problem> {
    let (kafka, pipeline) = (api.state.kafka.clone(), api.state.pipeline.load_full());
    let found = tokio::task::spawn_blocking(move || {
        let past = Past::of(&kafka)?;
        look(&past, &|existing| pipeline.topics(existing))
    });
    match found.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            warn!(%error, "an offset could not be looked up");
            Err(Problem::of(Kind::KafkaUnavailable, "Kafka did not answer where the log begins; nothing changed"))
        }
        Err(_) => Err(Problem::of(Kind::Internal, "looking an offset up broke down")),
    }
}
