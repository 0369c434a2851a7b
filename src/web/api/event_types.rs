//! `/v1/event-types` and `/asyncapi.json`: what subscribers may ask for. For everybody who has a token: it is what is
//! published.

use crate::catalogue::asyncapi;
use crate::catalogue::event_type::{EventType, Lifecycle};
use crate::catalogue::schema::Schema;
use crate::web::api::page::{Asked, Page};
use crate::web::api::problem::Problem;
use crate::web::state::Api;
use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Page, Problem> {
    let asked = Asked::read(query.as_deref(), &[])?;
    let (pipeline, after) = (api.state.pipeline.load(), asked.after("")?);
    let mut types: Vec<&EventType> = pipeline.catalogue().types().iter().collect();
    types.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rest = types.into_iter().filter(|one| after.as_ref().is_none_or(|after| one.name > *after));
    let page: Vec<&EventType> = rest.by_ref().take(asked.limit).collect();
    let last = rest.next().and_then(|_| page.last()).map(|one| one.name.clone());
    Ok(Page { items: page.into_iter().map(shape).collect(), last })
}

pub(crate) async fn document(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(asyncapi::document(api.state.pipeline.load().catalogue()))
}

fn shape(one: &EventType) -> Value {
    let instead = match &one.lifecycle {
        Lifecycle::Current | Lifecycle::Deprecated(None) => None,
        Lifecycle::Deprecated(Some(instead)) => Some(instead),
    };
    json!({
        "type": one.name,
        "title": one.title,
        "description": one.description,
        "version": one.version,
        "deprecated": one.lifecycle.is_deprecated(),
        "deprecation": instead,
        "schema": one.schema.as_ref().map(Schema::written),
        "examples": one.examples,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::trial::Trial;

    const RULES: &str = "
events:
  com.acme.b: { title: B, version: '2', deprecated: take c, schema: { type: object }, example: { n: 10.10 } }
  com.acme.a: {}
  com.acme.c: {}
";

    #[tokio::test]
    async fn event_types_are_listed_for_everybody_who_may_subscribe() {
        let trial = Trial::publishing(RULES).await;
        let first = trial.ask("GET /v1/event-types?limit=2").token("one").send().await.json();
        let names: Vec<&str> =
            first["items"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
        assert_eq!(names, ["com.acme.a", "com.acme.b"]);
        let b = &first["items"][1];
        assert_eq!(
            (&b["deprecated"], &b["deprecation"], &b["schema"]["type"]),
            (&json!(true), &json!("take c"), &json!("object"))
        );
        assert_eq!(b["examples"].to_string(), r#"[{"n":10.10}]"#);
        let next = format!("GET /v1/event-types?cursor={}", first["next_cursor"].as_str().unwrap());
        let second = trial.ask(&next).token("one").send().await.json();
        assert_eq!((&second["items"][0]["type"], &second["next_cursor"]), (&json!("com.acme.c"), &Value::Null));
        trial.ask("GET /v1/event-types").send().await.problem(401, "unauthorized");
    }

    #[tokio::test]
    async fn the_asyncapi_document_is_that_of_the_rules_in_force() {
        let trial = Trial::publishing(RULES).await;
        let document = trial.ask("GET /asyncapi.json").token("reader").send().await.json();
        assert_eq!(document["asyncapi"], "3.0.0");
        assert_eq!(document["components"]["messages"]["com.acme.b"]["title"], "B");
    }
}
