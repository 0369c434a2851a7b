//! A subscription as users write it: a whole one to create, a merge patch (RFC 7396) to change.
//!
//! Takes a tree of JSON or YAML, gives a [`Subscription`] in which every value was checked, or all mistakes at once.
//! Names are not resolved here; who asks does that. Fields whose room comes later are refused unless they have
//! their default, never silently left out.

use crate::deliver::headers;
use crate::deliver::target::Target;
use crate::egress::guard::Guard;
use crate::lane::settings::DeliverySettings;
use crate::matching::filter::Filter;
use crate::matching::pattern::Pattern;
use crate::model::problem::Problems;
use crate::model::subscription::{Format, Retry, Signing, State, Status, Subscription, Tenant};
use crate::model::time::Timestamp;
use crate::runtime::random;
use crate::subscriptions::shape::{self, OURS, WRITABLE};
use crate::subscriptions::{credentials, retry};
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Node;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use url::Url;

/// The deadline of an exchange, as `delivery.timeout`.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Attempts at the same time, as `delivery.concurrency`.
const CONCURRENCY: RangeInclusive<u64> = 1..=1_000;
/// Bounds in characters and entries: generous for people, small enough to keep 100,000 subscriptions in memory.
const TENANT: usize = 128;
const NAME: usize = 200;
const DESCRIPTION: usize = 2_000;
const URL: usize = 2_048;
const TYPES: usize = 100;
const TYPE: usize = 256;
const METADATA: usize = 50;
const METADATA_KEY: usize = 64;
const METADATA_VALUE: usize = 500;
const HEADERS: usize = 32;

const NOT_YET: &str = "is not yet available in this version";

/// Everything that a user says, but for what proves who sends.
struct Order {
    tenant: Tenant,
    name: Option<String>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    url: Url,
    types: Vec<String>,
    filter: Option<String>,
    format: Format,
    headers: Vec<(String, String)>,
    signing: Signing,
    timeout: Option<Duration>,
    concurrency: Option<u16>,
    retry: Option<Retry>,
}

/// Reads a new subscription.
///
/// # Errors
/// All mistakes.
pub fn create(node: &Node, guard: &Guard, now: Timestamp) -> Result<Subscription, Problems> {
    let mut problems = Problems::default();
    let Some(mut fields) = Fields::of(&Field::new(node, ""), &mut problems) else { return Err(problems) };
    for ours in OURS {
        if let Some(field) = fields.optional(ours) {
            field.problem(&mut problems, "is set by hookline", "Leave it out");
        }
    }
    if let Some(field) = fields.optional("status") {
        choice(&field, &[("active", ())], &["paused", "disabled", "unverified"], &mut problems);
    }
    let auth = fields.optional("auth").and_then(|field| credentials::auth(&field, &mut problems));
    let (secrets, order) = (fields.optional("secrets"), order(&mut fields, guard, &mut problems));
    fields.finish(&mut problems);
    let signing = order.as_ref().map_or(Signing::Standard, |order| order.signing);
    let secrets = match secrets {
        Some(field) => credentials::secrets(&field, signing, now, &mut problems),
        None => vec![credentials::fresh(signing, now)],
    };
    let Some(order) = order.filter(|_| problems.is_empty()) else { return Err(all(problems)) };
    let sid = random::sid();
    let subscription = Subscription {
        sid,
        id: format!("sub_{sid}"),
        tenant: order.tenant,
        name: order.name,
        description: order.description,
        metadata: order.metadata,
        url: order.url,
        types: order.types,
        filter: order.filter,
        format: order.format,
        headers: order.headers,
        auth,
        signing: order.signing,
        secrets,
        timeout: order.timeout,
        concurrency: order.concurrency,
        retry: order.retry,
        status: Status { state: State::Active, reason: None, since: now },
        declared: false,
        version: 1,
        created: now,
        updated: now,
    };
    deliverable(subscription, node, problems)
}

/// Reads a change of `old`: a merge patch. `auth` is replaced whole; `secrets`, when given, replace the old ones.
///
/// # Errors
/// All mistakes.
pub fn change(old: &Subscription, patch: &Node, guard: &Guard, now: Timestamp) -> Result<Subscription, Problems> {
    let mut problems = Problems::default();
    let Some(mut fields) = Fields::of(&Field::new(patch, ""), &mut problems) else { return Err(problems) };
    let document = shape::document(old);
    fixed(&mut fields, &document, &mut problems);
    let auth = match fields.present("auth") {
        Some(field) if field.node.is_null() => None,
        Some(field) if Some(&field.node.to_json()) != document.get("auth") => credentials::auth(&field, &mut problems),
        _ => old.auth.clone(),
    };
    WRITABLE.iter().for_each(|key| drop(fields.present(key)));
    let secrets = fields.optional("secrets");
    fields.finish(&mut problems);
    let merged = Node::from_json(&patch.place.file, &merged(document, &patch.to_json()));
    let mut fields = Fields::of(&Field::new(&merged, ""), &mut problems).expect("what is merged is a map");
    let order = order(&mut fields, guard, &mut problems);
    let signing = order.as_ref().map_or(old.signing, |order| order.signing);
    let secrets = match secrets {
        Some(field) => credentials::secrets(&field, signing, now, &mut problems),
        None => {
            if signing != old.signing {
                let hint = "Bring `secrets` of the new scheme";
                problems.add(&patch.place, "signing.scheme", "the present secrets are of another scheme", hint);
            }
            old.secrets.clone()
        }
    };
    let Some(order) = order.filter(|_| problems.is_empty()) else { return Err(all(problems)) };
    let subscription = Subscription {
        name: order.name,
        description: order.description,
        metadata: order.metadata,
        url: order.url,
        types: order.types,
        filter: order.filter,
        format: order.format,
        headers: order.headers,
        auth,
        signing: order.signing,
        secrets,
        timeout: order.timeout,
        concurrency: order.concurrency,
        retry: order.retry,
        version: old.version + 1,
        updated: now,
        ..old.clone()
    };
    deliverable(subscription, patch, problems)
}

/// What a patch cannot change may stand in it as it is.
fn fixed(fields: &mut Fields<'_>, document: &Map<String, Value>, problems: &mut Problems) {
    let mut differs = |key: &str| fields.present(key).filter(|field| document.get(key) != Some(&field.node.to_json()));
    for ours in OURS {
        if let Some(field) = differs(ours) {
            field.problem(problems, "is set by hookline", "Leave it out");
        }
    }
    if let Some(field) = differs("tenant") {
        field.problem(problems, "cannot change", "Make a subscription for the other tenant");
    }
    if let Some(field) = differs("status") {
        field.problem(problems, format!("a change of status {NOT_YET}"), "Leave it out");
    }
}

/// The document of a subscription with a patch over it, without what the order does not hold.
fn merged(mut document: Map<String, Value>, patch: &Value) -> Value {
    document.retain(|key, _| WRITABLE.contains(&key.as_str()));
    let mut merged = Value::Object(document);
    merge(&mut merged, patch);
    if let Value::Object(fields) = &mut merged {
        fields.retain(|key, _| WRITABLE.contains(&key.as_str()) && key != "auth");
    }
    merged
}

/// RFC 7396: maps are merged, null takes away, all else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(fields) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            fields.shift_remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn order(fields: &mut Fields<'_>, guard: &Guard, problems: &mut Problems) -> Option<Order> {
    let tenant = fields.optional("tenant").map_or(Some(Tenant::None), |field| tenant(&field, problems));
    let name = fields.optional("name").and_then(|field| words(&field, NAME, problems));
    let description = fields.optional("description").and_then(|field| words(&field, DESCRIPTION, problems));
    let metadata = fields.optional("metadata").map(|field| metadata(&field, problems)).unwrap_or_default();
    let url = fields.required("url", problems).and_then(|field| url(&field, guard, problems));
    let types = fields.required("types", problems).map(|field| types(&field, problems));
    let filter = fields.optional("filter").and_then(|field| filter(&field, problems));
    let formats = Format::ALL.map(|format| (format.as_str(), format));
    let later = ["cloudevents-batch", "xml"];
    let format = fields.optional("format").map(|field| choice(&field, &formats, &later, problems));
    let headers = fields.optional("headers").map(|field| header_list(&field, problems)).unwrap_or_default();
    let signing = fields.optional("signing").map_or(Some(Signing::Standard), |field| signing(&field, problems));
    let timeout = fields.optional("timeout").and_then(|field| field.duration(TIMEOUT, problems));
    let concurrency = fields.optional("concurrency").and_then(|field| field.integer(CONCURRENCY, problems));
    let defaults = DeliverySettings::default().retry;
    let retry = fields.optional("retry").map(|field| retry::read(&field, &defaults, problems));
    later_fields(fields, problems);
    Some(Order {
        tenant: tenant?,
        name,
        description,
        metadata,
        url: url?,
        types: types?,
        filter,
        format: format.unwrap_or(Some(Format::CloudEvents))?,
        headers,
        signing: signing?,
        timeout,
        concurrency: concurrency.and_then(|n| u16::try_from(n).ok()),
        retry,
    })
}

/// Fields whose room comes later: their default may stand.
fn later_fields(fields: &mut Fields<'_>, problems: &mut Problems) {
    for key in ["filters", "transform", "rate", "batch", "on_blocked"] {
        fields.not_yet(key, problems);
    }
    if let Some(field) = fields.optional("ordering") {
        choice(&field, &[("none", ())], &["key"], problems);
    }
    if let Some(field) = fields.optional("verification") {
        choice(&field, &[("none", ())], &["cloudevents", "challenge"], problems);
    }
    if let Some(field) = fields.optional("start")
        && let Some(text) = field.text(problems)
    {
        match text {
            "now" => {}
            text if text == "earliest" || Timestamp::parse(text).is_some() => {
                field.problem(problems, format!("`{text}` {NOT_YET}"), "Write now, or leave it out");
            }
            _ => field.problem(problems, "must be `now`, `earliest` or a time", "Times are as in RFC 3339"),
        }
    }
}

/// What a word stands for; words of later versions are known, and refused.
fn choice<T: Copy>(field: &Field<'_>, table: &[(&str, T)], later: &[&str], problems: &mut Problems) -> Option<T> {
    match field.node.to_json() {
        Value::String(word) if later.contains(&word.as_str()) => {
            let words = table.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
            field.problem(problems, format!("`{word}` {NOT_YET}"), format!("Available: {words}"));
            None
        }
        _ => field.one_of(table, problems),
    }
}

fn tenant(field: &Field<'_>, problems: &mut Problems) -> Option<Tenant> {
    let text = words(field, TENANT, problems)?;
    Some(if text == "*" { Tenant::All } else { Tenant::One(text) })
}

/// A text for people: not empty, bounded, without control characters but line breaks.
fn words(field: &Field<'_>, most: usize, problems: &mut Problems) -> Option<String> {
    let text = field.string(problems)?;
    let length = text.chars().count();
    if text.trim().is_empty() {
        field.problem(problems, "must not be empty", "Leave it out, or write null");
    } else if length > most {
        field.problem(problems, format!("has {length} characters"), format!("It may have {most}"));
    } else if text.chars().any(|c| c.is_control() && c != '\n') {
        field.problem(problems, "holds control characters", "");
    } else {
        return Some(text);
    }
    None
}

fn metadata(field: &Field<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let entries = field.entries(problems).unwrap_or_default();
    few(field, entries.len(), 0..=METADATA, problems);
    let mut metadata = BTreeMap::new();
    for (entry, field) in entries {
        let length = entry.key.chars().count();
        if !(1..=METADATA_KEY).contains(&length) {
            problems.add(
                &entry.place,
                field.path.clone(),
                "is not a key",
                format!("It has 1 to {METADATA_KEY} characters"),
            );
        }
        let Some(text) = field.string(problems) else { continue };
        few(&field, text.chars().count(), 0..=METADATA_VALUE, problems);
        metadata.insert(entry.key.clone(), text);
    }
    metadata
}

/// Refuses what is too long, a list as well as a text.
fn few(field: &Field<'_>, length: usize, range: RangeInclusive<usize>, problems: &mut Problems) {
    if !range.contains(&length) {
        field.problem(
            problems,
            format!("has a length of {length}"),
            format!("It may be {} to {}", range.start(), range.end()),
        );
    }
}

fn url(field: &Field<'_>, guard: &Guard, problems: &mut Problems) -> Option<Url> {
    let text = field.string(problems)?;
    few(field, text.len(), 1..=URL, problems);
    match guard.judge_url(&text) {
        Ok(url) => return Some(url),
        Err(refusals) => refusals.into_iter().for_each(|refusal| field.problem(problems, refusal.detail, "")),
    }
    None
}

fn types(field: &Field<'_>, problems: &mut Problems) -> Vec<String> {
    let Some(fields) = field.list(problems) else { return Vec::new() };
    if fields.is_empty() {
        field.problem(problems, "there is no pattern", "Write at least one; `**` matches every type");
    }
    few(field, fields.len().max(1), 1..=TYPES, problems);
    let mut types = Vec::new();
    for field in fields {
        let Some(text) = field.string(problems) else { continue };
        few(&field, text.chars().count(), 0..=TYPE, problems);
        if let Err(error) = Pattern::parse(&text) {
            field.problem(problems, error.to_string(), "");
        }
        types.push(text);
    }
    types
}

fn filter(field: &Field<'_>, problems: &mut Problems) -> Option<String> {
    let text = field.string(problems)?;
    if let Err(error) = Filter::compile(&text) {
        field.problem(problems, error.to_string(), "");
    }
    Some(text)
}

fn header_list(field: &Field<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let entries = field.entries(problems).unwrap_or_default();
    few(field, entries.len(), 0..=HEADERS, problems);
    let mut list: Vec<(String, String)> = Vec::new();
    for (entry, field) in entries {
        let Some(value) = field.string(problems) else { continue };
        if let Err(error) = headers::parse(&entry.key, &value) {
            field.problem(problems, error.to_string(), "");
        }
        list.push((entry.key.clone(), value));
    }
    list
}

fn signing(field: &Field<'_>, problems: &mut Problems) -> Option<Signing> {
    let mut fields = Fields::of(field, problems)?;
    let schemes = Signing::ALL.map(|signing| (signing.as_str(), signing));
    let scheme = fields.required("scheme", problems);
    let scheme = scheme.and_then(|field| choice(&field, &schemes, &["legacy"], problems));
    fields.not_yet("header", problems);
    fields.not_yet("template", problems);
    fields.finish(problems);
    scheme
}

/// The subscription, when its sending side can be made: headers that are one too many are found here.
fn deliverable(subscription: Subscription, node: &Node, mut problems: Problems) -> Result<Subscription, Problems> {
    if let Err(error) = Target::new(&subscription, DeliverySettings::default().timeout) {
        problems.add(&node.place, "headers", error.to_string(), "");
    }
    problems.or(subscription)
}

/// All of them, sorted.
fn all(problems: Problems) -> Problems {
    problems.or(()).err().unwrap_or_default()
}
