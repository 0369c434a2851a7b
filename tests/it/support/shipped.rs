//! What is shipped for operators, as they get it: the dashboard, the alerts, their tests and their runbook.

use regex::Regex;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::PathBuf};

/// One alert of `deploy/prometheus/rules.yaml`.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) expr: String,
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
}

/// A query, and where it stands.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) place: String,
    pub(crate) expr: String,
}

/// Where a file of this repository is.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The text of a file of this repository.
#[track_caller]
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The alerts, in the order of the file.
pub(crate) fn alerts() -> Vec<Alert> {
    let rules: Value = serde_yaml::from_str(&text("deploy/prometheus/rules.yaml")).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let alert = |rule: &Value| Alert {
        name: rule["alert"].as_str().unwrap().into(),
        expr: rule["expr"].as_str().unwrap().into(),
        labels: rule["labels"].clone(),
        annotations: rule["annotations"].clone(),
    };
    rules.map(alert).collect()
}

/// The panels of the dashboard that show something; rows have none of their own.
pub(crate) fn panels() -> Vec<Value> {
    let mut panels = dashboard()["panels"].as_array().unwrap().clone();
    panels.retain(|panel| panel["type"] != "row");
    panels
}

/// The dashboard.
pub(crate) fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/hookline.json")).unwrap()
}

/// What the panels ask, with every namespace, instance and topic chosen.
pub(crate) fn panel_queries() -> Vec<Query> {
    let panels = panels();
    let queries = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        panel["targets"].as_array().unwrap().iter().map(move |target| query(title, &target["expr"]))
    });
    queries.collect()
}

/// What its annotations ask, and its variables by `label_values(QUERY, LABEL)`.
pub(crate) fn other_queries() -> Vec<Query> {
    let dashboard = dashboard();
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter();
    let annotations = annotations.map(|one| query(one["name"].as_str().unwrap(), &one["expr"]));
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().filter(|one| one["type"] == "query");
    let variables = variables.map(|one| {
        let mut query = query(one["name"].as_str().unwrap(), &one["query"]["query"]);
        let inner = query.expr.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
        query.expr = inner.unwrap_or_else(|| panic!("{query:?}")).0.into();
        query
    });
    annotations.chain(variables).collect()
}

/// What the alerts ask.
pub(crate) fn alert_queries() -> Vec<Query> {
    alerts().into_iter().map(|alert| Query { place: alert.name, expr: alert.expr }).collect()
}

/// The selectors of an expression, as `name{matchers}`.
pub(crate) fn selectors(expr: &str) -> Vec<String> {
    let selector = Regex::new(r"\b(hookline|process)_[a-z0-9_]+(\{[^}]*\})?").unwrap();
    selector.find_iter(expr).map(|found| found.as_str().into()).collect()
}

/// The metrics that an expression asks for; of a histogram its name.
pub(crate) fn metrics(expr: &str) -> BTreeSet<String> {
    let name = |selector: &String| selector.split('{').next().unwrap().trim_end_matches("_bucket").to_string();
    selectors(expr).iter().map(name).collect()
}

fn query(place: &str, expr: &Value) -> Query {
    let mut expr = expr.as_str().unwrap_or_else(|| panic!("{place} asks nothing")).to_string();
    // Every one of them; and of what scrapes every second, ten values.
    for variable in ["namespace", "instance", "topic", "subscription"] {
        expr = expr.replace(&format!("${variable}"), ".*");
    }
    expr = expr.replace("$__rate_interval", "10s");
    assert!(!expr.contains('$'), "{place} asks with a variable that is not known: {expr}");
    Query { place: place.into(), expr }
}
