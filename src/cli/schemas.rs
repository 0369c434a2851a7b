//! Schemas of a registry, for commands that look at records.

use crate::model::schema::SchemaId;
use crate::pipeline::Pipeline;
use crate::registry::client::{Answer, Registry};
use crate::registry::settings::RegistrySettings;
use anyhow::Context;

/// Looks a schema up, so that the rules know it; gives why there is none.
///
/// # Errors
/// There is no registry, or it does not answer.
pub async fn learn(
    pipeline: &Pipeline,
    id: SchemaId,
    registry: Option<&RegistrySettings>,
) -> anyhow::Result<Option<String>> {
    let registry = registry.context("there is no schema registry")?;
    let answer = Registry::new(registry)?.look_up(&id).await;
    match answer.with_context(|| format!("schema {id} cannot be looked up"))? {
        Answer::Found(text) => Ok(pipeline.schemas().learn(id, &text).err()),
        Answer::Nothing(why) => Ok(Some(why)),
    }
}
