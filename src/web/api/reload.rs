//! `POST /v1/reload`: the files again, from the beginning. For operators.

use crate::web::api::asked::Plain;
use crate::web::api::problem::{Kind, Problem};
use crate::web::auth::Caller;
use crate::web::reload::{Affected, Refused, Reloaded};
use crate::web::state::Api;
use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;
use tracing::info;

pub(crate) async fn reload(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    _: Plain,
) -> Result<Json<Value>, Problem> {
    caller.operator()?;
    info!(by = %caller.name, "a reload is asked for");
    match api.state.reloads.ask().await {
        Some(Ok(reloaded)) => Ok(Json(shown(&reloaded))),
        Some(Err(Refused::Invalid(problems))) => Err(Problem::config(&problems)),
        Some(Err(Refused::Kafka(why))) => Err(Problem::of(Kind::KafkaUnavailable, why)),
        Some(Err(Refused::Store(why))) => Err(Problem::of(Kind::StoreUnavailable, why)),
        None => Err(Problem::of(Kind::StoreUnavailable, "the process stops")),
    }
}

fn shown(reloaded: &Reloaded) -> Value {
    json!({
        "generation": reloaded.generation,
        "subscriptions": {
            "added": reloaded.added, "changed": reloaded.changed, "removed": reloaded.removed,
        },
        "affected": reloaded.affected.iter().map(affected).collect::<Vec<_>>(),
    })
}

fn affected(one: &Affected) -> Value {
    json!({ "mapping": one.mapping, "type": one.event_type, "subscriptions": one.subscriptions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::problem::{Place, Problems};
    use crate::web::trial::{Answer, Trial};

    /// What is answered when a reload comes to this.
    async fn answered(trial: &mut Trial, answer: Result<Reloaded, Refused>) -> Answer {
        let ask = trial.ask("POST /v1/reload").token("boss");
        let daemon = async { trial.reloads.recv().await.unwrap().send(answer).unwrap() };
        tokio::join!(ask.send(), daemon).0
    }

    #[tokio::test]
    async fn what_is_in_force_now_is_told_with_what_changed_and_who_is_affected() {
        let mut trial = Trial::guarded().await;
        let affected = Affected { mapping: "placed".into(), event_type: None, subscriptions: vec!["sub_a".into()] };
        let reloaded = Reloaded {
            generation: 7,
            added: vec!["sub_b".into()],
            removed: vec!["sub_c".into()],
            affected: vec![affected],
            ..Reloaded::default()
        };
        let answer = answered(&mut trial, Ok(reloaded)).await;
        let expected = json!({
            "generation": 7,
            "subscriptions": { "added": ["sub_b"], "changed": [], "removed": ["sub_c"] },
            "affected": [{ "mapping": "placed", "type": null, "subscriptions": ["sub_a"] }],
        });
        assert_eq!((answer.status, answer.json()), (200, expected));
    }

    #[tokio::test]
    async fn all_mistakes_of_the_files_are_told_with_their_places() {
        let mut trial = Trial::guarded().await;
        let mut problems = Problems::default();
        let place = Place { file: "rules.yaml".into(), line: 3, column: 5 };
        problems.add(&place, "mappings[0].emit.typ", "is not a known key", "Did you mean `type`?");
        problems.add(&Place::whole("hookline.yaml"), "kafka.group", "differs", "");
        let problem = answered(&mut trial, Err(Refused::Invalid(problems))).await.problem(422, "invalid");
        let line = "rules.yaml:3:5: mappings[0].emit.typ: is not a known key. Did you mean `type`?";
        let errors = json!([
            { "pointer": "/mappings/0/emit/typ", "detail": line },
            { "pointer": "/kafka/group", "detail": "hookline.yaml: kafka.group: differs" },
        ]);
        assert_eq!(problem["errors"], errors);
        assert!(problem["detail"].as_str().unwrap().starts_with("there are 2 mistakes"), "{problem}");
    }

    #[tokio::test]
    async fn what_may_come_right_by_itself_is_503() {
        let mut trial = Trial::guarded().await;
        let kafka = Refused::Kafka("no broker".into());
        answered(&mut trial, Err(kafka)).await.problem(503, "kafka-unavailable");
        answered(&mut trial, Err(Refused::Store("full".into()))).await.problem(503, "store-unavailable");
        trial.reloads.close();
        trial.ask("POST /v1/reload").token("boss").send().await.problem(503, "store-unavailable");
    }

    #[tokio::test]
    async fn a_reload_is_for_operators_who_may_write() {
        let trial = Trial::guarded().await;
        trial.ask("POST /v1/reload").token("reader").send().await.problem(403, "forbidden");
        trial.ask("POST /v1/reload").token("one").send().await.problem(403, "forbidden");
        trial.ask("POST /v1/reload").send().await.problem(401, "unauthorized");
    }
}
