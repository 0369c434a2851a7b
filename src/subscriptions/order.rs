//! What a subscriber asks for: every field of a subscription but those that prove who sends, and those of Hookline.
//!
//! Takes fields that a user wrote, gives checked values, and adds every mistake. Values whose room comes later are
//! refused.

use crate::deliver::headers;
use crate::deliver::transform::Transform;
use crate::egress::guard::Guard;
use crate::expr::mistake::{Mistake, join};
use crate::lane::settings::DeliverySettings;
use crate::matching::dialect::Dialects;
use crate::matching::filter::Filter;
use crate::matching::pattern::Pattern;
use crate::model::problem::Problems;
use crate::model::subscription::{Batching, Format, OnBlocked, Ordering, Retry, Signing, Start, Tenant};
use crate::model::verification::Proof;
use crate::subscriptions::batch;
use crate::subscriptions::retry;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Data;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use url::Url;

/// The deadline of an exchange: who needs longer is not one to wait for, and less fails those that are merely slow.
pub(crate) const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Attempts of one subscription at the same time.
pub(crate) const CONCURRENCY: RangeInclusive<u64> = 1..=1_000;
/// Requests per second that a subscriber may ask to be held to.
const RATE: RangeInclusive<u64> = 1..=100_000;
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
/// Bytes of `filters` and of `transform`.
const TREE: usize = 16 << 10;

/// What is said of values whose room comes later.
pub(crate) const NOT_YET: &str = "is not yet available in this version";

/// Everything that a user says, but for what proves who sends.
pub(crate) struct Order {
    pub(crate) tenant: Tenant,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) url: Url,
    pub(crate) types: Vec<String>,
    pub(crate) filter: Option<String>,
    pub(crate) filters: Option<Value>,
    pub(crate) transform: Option<Value>,
    pub(crate) format: Format,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) signing: Signing,
    pub(crate) timeout: Option<Duration>,
    pub(crate) concurrency: Option<u16>,
    pub(crate) retry: Option<Retry>,
    pub(crate) ordering: Ordering,
    pub(crate) on_blocked: Option<OnBlocked>,
    pub(crate) rate: Option<u32>,
    pub(crate) batch: Option<Batching>,
    pub(crate) start: Start,
    pub(crate) proof: Option<Proof>,
}

/// Reads an order; `None` only after a problem was added.
pub(crate) fn read(fields: &mut Fields<'_>, guard: &Guard, problems: &mut Problems) -> Option<Order> {
    let tenant = fields.optional("tenant").map_or(Some(Tenant::None), |field| tenant(&field, problems));
    let name = fields.optional("name").and_then(|field| words(&field, NAME, problems));
    let description = fields.optional("description").and_then(|field| words(&field, DESCRIPTION, problems));
    let metadata = fields.optional("metadata").map(|field| metadata(&field, problems)).unwrap_or_default();
    let url = fields.required("url", problems).and_then(|field| url(&field, guard, problems));
    let types = fields.required("types", problems).map(|field| types(&field, problems));
    let filter = fields.optional("filter").and_then(|field| filter(&field, problems));
    let filters = fields
        .optional("filters")
        .and_then(|field| written(&field, |filters| Dialects::compile(filters).err(), problems));
    let transform = fields.optional("transform");
    let transform =
        transform.and_then(|field| written(&field, |template| Transform::compile(template).err(), problems));
    let formats = Format::ALL.map(|format| (format.as_str(), format));
    let format = fields.optional("format").map(|field| choice(&field, &formats, &["xml"], problems));
    let headers = fields.optional("headers").map(|field| header_list(&field, problems)).unwrap_or_default();
    let signing = fields.optional("signing").map_or(Some(Signing::Standard), |field| signing(&field, problems));
    let timeout = fields.optional("timeout").and_then(|field| field.duration(TIMEOUT, problems));
    let concurrency = fields.optional("concurrency").and_then(|field| field.integer(CONCURRENCY, problems));
    let defaults = DeliverySettings::default().retry;
    let retry = fields.optional("retry").map(|field| retry::read(&field, &defaults, problems));
    let orders = Ordering::ALL.map(|ordering| (ordering.as_str(), ordering));
    let ordering = fields.optional("ordering").map(|field| field.one_of(&orders, problems));
    let answers = OnBlocked::ALL.map(|answer| (answer.as_str(), answer));
    let on_blocked = fields.optional("on_blocked").and_then(|field| field.one_of(&answers, problems));
    let rate = fields.optional("rate").and_then(|field| field.integer(RATE, problems));
    let batched = matches!(format, Some(Some(Format::CloudEventsBatch)));
    let batch = fields.optional("batch").map(|field| {
        if !batched {
            field.problem(problems, "needs format `cloudevents-batch`", "Other formats have one event in a request");
        }
        batch::read(&field, problems)
    });
    let start = fields.optional("start").map(|field| start(&field, problems));
    let proof = fields.optional("verification").and_then(|field| field.one_of(&proofs(), problems)).flatten();
    Some(Order {
        tenant: tenant?,
        name,
        description,
        metadata,
        url: url?,
        types: types?,
        filter,
        filters,
        transform,
        format: format.unwrap_or(Some(Format::CloudEvents))?,
        headers,
        signing: signing?,
        timeout,
        concurrency: concurrency.and_then(|n| u16::try_from(n).ok()),
        retry,
        ordering: ordering.unwrap_or(Some(Ordering::None))?,
        on_blocked,
        rate: rate.and_then(|n| u32::try_from(n).ok()),
        batch,
        start: start.unwrap_or(Some(Start::Now))?,
        proof,
    })
}

fn proofs() -> [(&'static str, Option<Proof>); 3] {
    let [one, other] = Proof::ALL.map(|proof| (proof.as_str(), Some(proof)));
    [("none", None), one, other]
}

fn start(field: &Field<'_>, problems: &mut Problems) -> Option<Start> {
    let start = Start::parse(field.text(problems)?);
    if start.is_none() {
        field.problem(problems, "must be `now`, `earliest` or a time", "Times are as in RFC 3339");
    }
    start
}

/// What a word stands for; words of later versions are known, and refused.
pub(crate) fn choice<T: Copy>(
    field: &Field<'_>,
    table: &[(&str, T)],
    later: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    match &field.node.data {
        Data::String(word) if later.contains(&word.as_str()) => {
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

/// Type patterns: at least one.
pub(crate) fn types(field: &Field<'_>, problems: &mut Problems) -> Vec<String> {
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
    if let Err(mistake) = Filter::compile(&text) {
        let at = mistake.at.map(|at| format!(" (at character {})", at + 1)).unwrap_or_default();
        field.problem(problems, format!("{}{at}", mistake.what), mistake.hint);
    }
    Some(text)
}

/// A tree that is kept as it was written, when `mistakes` finds none in it.
fn written(
    field: &Field<'_>,
    mistakes: impl FnOnce(&Value) -> Option<Vec<Mistake>>,
    problems: &mut Problems,
) -> Option<Value> {
    let value = field.node.to_json();
    let bytes = value.to_string().len();
    if bytes > TREE {
        field.problem(problems, format!("has {bytes} bytes of JSON"), format!("It may have {TREE}"));
        return None;
    }
    for mistake in mistakes(&value).unwrap_or_default() {
        let at = mistake.at.map(|at| format!(" (at character {})", at + 1)).unwrap_or_default();
        let (node, path) = (field.node.nearest(&mistake.path), join(&field.path, &mistake.path));
        problems.add(&node.place, path, format!("{}{at}", mistake.what), mistake.hint);
    }
    Some(value)
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
