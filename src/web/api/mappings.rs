//! `/v1/mappings`: the rules in force, and what a record would become of them, or of others that are brought. For
//! operators. Nothing is sent or kept.

use crate::dryrun::explain;
use crate::dryrun::suite::Brought;
use crate::dryrun::told::{self, Known};
use crate::dryrun::written;
use crate::map::mapping::Mapping;
use crate::map::written::Rules;
use crate::model::problem::Problems;
use crate::model::record::Record;
use crate::model::subscription::Subscription;
use crate::pipeline::Pipeline;
use crate::web::api::asked::Document;
use crate::web::api::page::{Asked, Page};
use crate::web::api::problem::{Kind, Problem};
use crate::web::auth::Caller;
use crate::web::state::Api;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::{Data, Node};
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    caller.operator()?;
    let asked = Asked::read(query.as_deref(), &[])?;
    let (pipeline, after) = (api.state.pipeline.load(), asked.after("")?);
    let mut mappings: Vec<&Mapping> = pipeline.rules().all().iter().collect();
    mappings.sort_by(|a, b| a.name().cmp(b.name()));
    let mut rest = mappings.into_iter().filter(|one| after.as_ref().is_none_or(|after| **one.name() > **after));
    let page: Vec<&Mapping> = rest.by_ref().take(asked.limit).collect();
    let last = rest.next().and_then(|_| page.last()).map(|one| one.name().to_string());
    Ok(Page { items: page.into_iter().map(shape).collect(), last })
}

fn shape(mapping: &Mapping) -> Value {
    json!({
        "name": &**mapping.name(),
        "from": mapping.topics().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "type": mapping.event_type(),
        "on_error": mapping.on_error().as_str(),
    })
}

/// What a record would become, and who would get it: as `hookline map --json --explain`.
pub(crate) async fn preview(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    document: Document,
) -> Result<Json<Value>, Problem> {
    caller.operator()?;
    let snapshot = api.state.directory.snapshot();
    let subscriptions: Vec<Subscription> = snapshot.iter().map(|entry| (*entry.subscription).clone()).collect();
    let in_force = api.state.pipeline.load_full();
    // Expressions may cost their whole budget, and parsing has a thread of its own to wait for.
    let work = move || {
        let asked = read(&document.value).map_err(|problems| Problem::invalid(&problems, &document.value))?;
        let pipeline = asked.rules.as_ref().unwrap_or(&in_force);
        let known = Known::All(subscriptions);
        let explanation = match asked.brought {
            Brought::Payload => explain::explain_payload(pipeline, &asked.record, known.subscriptions()),
            Brought::Value => explain::explain(pipeline, &asked.record, known.subscriptions()),
        };
        Ok(Json(told::json(&explanation, &known)))
    };
    let answer = tokio::task::spawn_blocking(work).await;
    answer.unwrap_or_else(|_| Err(Problem::of(Kind::Internal, "the preview broke down")))
}

/// What a preview was asked for.
struct Preview {
    record: Record,
    brought: Brought,
    /// Rules that are tried instead of those in force.
    rules: Option<Pipeline>,
}

fn read(document: &Value) -> Result<Preview, Problems> {
    let (node, mut problems) = (Node::from_json(&"request".into(), document), Problems::default());
    let Some(mut fields) = Fields::of(&Field::new(&node, ""), &mut problems) else { return Err(problems) };
    let record = fields.required("record", &mut problems);
    let record = record.and_then(|field| written::record(&field, &no_files, &mut problems));
    let tried = ["mappings", "tables"].map(|key| fields.optional(key).is_some());
    fields.finish(&mut problems);
    // A record is decoded as it was brought, else by the format of its topic; rules that are tried know no formats.
    let rules = tried.contains(&true).then(|| {
        let mut rules = Rules::default();
        rules.add_file(&file(&node), &mut problems);
        Pipeline::new(rules.finish(&mut problems), Vec::new(), u64::MAX)
    });
    match record {
        Some((record, brought)) => problems.or(Preview { record, brought, rules }),
        None => Err(problems),
    }
}

/// A request brings what it means; it reads no file of ours.
fn no_files(_: &Path) -> io::Result<String> {
    Err(io::Error::other("a request cannot name files; bring the payload itself"))
}

/// The part of a request that is a mapping file.
fn file(node: &Node) -> Node {
    let mut file = node.clone();
    if let Data::Map(entries) = &mut file.data {
        entries.retain(|entry| entry.key != "record");
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::trial::Trial;

    const RULES: &str = "
mappings:
  - { name: paid, from: [shop.payments, /crm\\..*/], on_error: drop, emit: { type: com.acme.paid, data: { n: '${payload.n}' } } }
  - { name: any, from: shop.orders, emit: { type: '${payload.type}' } }
";

    #[tokio::test]
    async fn mappings_are_listed_for_operators() {
        let trial = Trial::publishing(RULES).await;
        let list = trial.ask("GET /v1/mappings").token("reader").send().await.json();
        let any = json!({"name": "any", "from": ["shop.orders"], "type": null, "on_error": "quarantine"});
        let paid = json!({"name": "paid", "from": ["shop.payments", "/crm\\..*/"], "type": "com.acme.paid", "on_error": "drop"});
        assert_eq!(list["items"], json!([any, paid]));
        trial.ask("GET /v1/mappings").token("one").send().await.problem(403, "forbidden");
    }

    #[tokio::test]
    async fn a_preview_says_what_a_record_becomes_and_who_gets_it() {
        let trial = Trial::publishing(RULES).await;
        trial.create("boss", json!({ "types": ["com.acme.paid"], "name": "mine" })).await;
        trial.create("boss", json!({ "types": ["com.acme.other"] })).await;
        let ask = |document: Value| trial.ask("POST /v1/mappings/preview").token("boss").json(&document).send();
        let told = ask(json!({ "record": { "topic": "shop.payments", "payload": { "n": 1 } } })).await.json();
        let paid = &told["mappings"][0];
        assert_eq!((&paid["result"], &paid["events"][0]["event"]["data"]), (&json!("events"), &json!({"n": 1})));
        let gets: Vec<&Value> =
            paid["events"][0]["subscriptions"].as_array().unwrap().iter().map(|s| &s["gets"]).collect();
        assert!(gets.contains(&&json!(true)) && gets.contains(&&json!(false)), "{paid}");
        let broken = ask(json!({ "record": { "topic": "shop.payments", "value": "{" } })).await.json();
        assert_eq!((&broken["quarantined"], &broken["fault"]["reason"]), (&json!(true), &json!("decode")));
        trial.ask("POST /v1/mappings/preview").token("one").json(&json!({})).send().await.problem(403, "forbidden");
    }

    #[tokio::test]
    async fn a_preview_tries_other_mappings_and_tells_their_mistakes() {
        let trial = Trial::publishing(RULES).await;
        let ask = |document: Value| trial.ask("POST /v1/mappings/preview").token("boss").json(&document).send();
        let record = json!({ "topic": "crm", "payload": { "n": 1 } });
        let mapping = json!({ "name": "new", "from": "crm", "emit": { "type": "t", "data": "${payload.n + 1}" } });
        let told = ask(json!({ "record": record, "mappings": [mapping] })).await.json();
        assert_eq!(told["mappings"][0]["events"][0]["event"]["data"], json!(2));
        let wrong = json!({ "name": "new", "from": "crm", "emit": { "typ": "t", "data": { "a": "${paylod.n}" } } });
        let answer =
            ask(json!({ "record": { "topic": "crm", "payload_file": "/etc/passwd" }, "mappings": [wrong] })).await;
        let mut pointers = answer.pointers();
        pointers.sort();
        let expected =
            ["/mappings/0/emit/data/a", "/mappings/0/emit/typ", "/mappings/0/emit/type", "/record/payload_file"];
        assert_eq!(pointers, expected);
    }
}
