//! What a demo tells: where everything is, the way of the first event, then a line per webhook.

use crate::cli::common::Exit;
use crate::cli::output::{self, Look, Output};
use crate::cli::receiver::{Verdict, Webhook};
use crate::daemon::Running;
use crate::dryrun::explain;
use crate::kafka::writer::{Draft, Written};
use crate::model::record::{Origin, Record};
use crate::model::subscription::Format;
use crate::model::time::Timestamp;
use crate::pipeline::Pipeline;
use crate::runtime::clock;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;

/// Characters of a record or of an event's data that are shown.
const SHOWN: usize = 110;

/// The teller.
pub(crate) struct Story {
    output: Output,
    pipeline: Pipeline,
    first: First,
    webhooks: u64,
    verified: u64,
}

/// What is known of the first event.
struct First {
    /// When its record was written.
    began: Timestamp,
    /// Its type.
    event_type: String,
    /// Its `webhook-id`, from the first webhook that says its type.
    id: Option<String>,
    /// How many have had it.
    told: usize,
    /// Webhooks that came before all had it.
    early: Vec<Webhook>,
}

// === impl Story ===

impl Story {
    /// A story that explains records by these rules.
    pub(crate) fn new(output: Output, pipeline: Pipeline) -> Self {
        let first = First { began: clock::now(), event_type: String::new(), id: None, told: 0, early: Vec::new() };
        Self { output, pipeline, first, webhooks: 0, verified: 0 }
    }

    /// Where everything is.
    pub(crate) fn addresses(&self, broker: &str, running: &Running, receiver: SocketAddr) -> io::Result<()> {
        let (api, ops) = (running.api, running.ops);
        let line = |name: &str, address: String, what: &str| {
            let what = self.output.paint(Look::Dim, what);
            self.output.line(format!("  {name:<10} {address:<44} {what}"))
        };
        self.output.line("")?;
        line("broker", broker.to_string(), "in this process; kafka-console-consumer can look at it")?;
        line("API", format!("http://{api}/v1/subscriptions"), "who gets what; also /v1/status")?;
        line("metrics", format!("http://{ops}/metrics"), "also /livez and /readyz")?;
        line("receiver", format!("http://{receiver}/hooks/..."), "verifies every signature")
    }

    /// The first three steps: a record, its mapping, its event.
    pub(crate) fn first(&mut self, draft: &Draft, (written, began): (Written, Timestamp)) -> io::Result<()> {
        let (topic, partition, offset) = (draft.topic.as_str(), written.partition, written.offset);
        let origin = Origin { topic: topic.into(), partition, offset, timestamp: began };
        let (key, value) = (draft.key.clone(), draft.value.clone());
        let record = Record { origin, key, headers: draft.headers.clone(), value };
        self.output.line(self.output.paint(Look::Bold, "\nThe way of the first event"))?;
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        self.step(1, "record", &format!("{topic}, partition {partition}, offset {offset}: {}", short(&value)))?;
        let explanation = explain::explain(&self.pipeline, &record, &[]);
        if let Some(explained) = explanation.events().next() {
            let event = &explained.event;
            self.step(2, "mapping", &format!("{} of config/mappings/shop.yaml makes of it", event.mapping))?;
            self.step(3, "event", &format!("{}: {}", event.event_type, short(&event.data.to_string())))?;
            self.first.event_type = event.event_type.to_string();
        }
        self.first.began = began;
        Ok(())
    }

    /// Whether every subscriber has had a webhook of the first event.
    pub(crate) fn told_first(&self) -> bool {
        self.first.told == Format::ALL.len()
    }

    /// From here on only lines; those first that are of other events of the first record.
    pub(crate) fn goes_on(&mut self) -> io::Result<()> {
        self.output.line(self.output.paint(Look::Bold, "\nThe shop goes on selling. Ctrl-C stops it."))?;
        std::mem::take(&mut self.first.early).iter().try_for_each(|webhook| self.line(webhook))
    }

    /// A webhook: the fourth step of the first event, or a line.
    pub(crate) fn webhook(&mut self, webhook: Webhook) -> io::Result<()> {
        if self.told_first() {
            return self.line(&webhook);
        }
        if event_type(&webhook) == self.first.event_type {
            self.first.id = webhook.header("webhook-id").map(Into::into);
        }
        self.first.early.push(webhook);
        let Some(id) = self.first.id.clone() else { return Ok(()) };
        let early = std::mem::take(&mut self.first.early);
        let (of_first, others) = early.into_iter().partition(|webhook| webhook.header("webhook-id") == Some(&id));
        self.first.early = others;
        of_first.iter().try_for_each(|webhook| self.fourth(webhook))
    }

    fn fourth(&mut self, webhook: &Webhook) -> io::Result<()> {
        self.first.told += 1;
        let (what, verdict) = self.judged(webhook);
        let after = webhook.at.since(self.first.began).as_millis();
        self.step(4, "webhook", &format!("{what}  {verdict}, {after} ms after the record was written"))
    }

    fn line(&mut self, webhook: &Webhook) -> io::Result<()> {
        let (what, verdict) = self.judged(webhook);
        let event_type = output::harmless(&event_type(webhook));
        let number = self.output.paint(Look::Dim, &format!("{:>6}", self.webhooks));
        self.output.line(format!("{number}  {}  {what}  {event_type:<28} {verdict}", webhook.at))
    }

    /// Counts a webhook; gives its format and id, and what its signature is worth.
    fn judged(&mut self, webhook: &Webhook) -> (String, String) {
        self.webhooks += 1;
        let verdict = match webhook.verdict {
            Verdict::Verified => {
                self.verified += 1;
                self.output.paint(Look::Good, "signature verified")
            }
            Verdict::Refused(error) => self.output.paint(Look::Bad, &format!("not authentic: {error}")),
            other => self.output.paint(Look::Bad, &format!("not taken: {other:?}")),
        };
        let format = webhook.path.rsplit('/').next().unwrap_or_default();
        let id = webhook.header("webhook-id").unwrap_or("(no webhook-id)");
        (output::harmless(&format!("{format:<18}  {id}")), verdict)
    }

    /// The last line.
    pub(crate) fn end(&self) -> anyhow::Result<Exit> {
        let all = output::count(usize::try_from(self.webhooks)?, "webhook");
        let refused = self.webhooks - self.verified;
        match refused {
            0 => self.output.line(format!("\nstopped: {all}, every signature verified"))?,
            _ => self.output.line(format!("\nstopped: {all}, {refused} of them not authentic"))?,
        }
        Ok(if refused == 0 { Exit::Good } else { Exit::Bad })
    }

    fn step(&self, number: u8, name: &str, what: &str) -> io::Result<()> {
        let name = self.output.paint(Look::Bold, &format!("{name:<8}"));
        self.output.line(format!("  {number}. {name} {what}"))
    }
}

/// The type of the event in a webhook: a header, or a member of its body. `raw` says none.
fn event_type(webhook: &Webhook) -> String {
    if let Some(event_type) = webhook.header("ce-type") {
        return event_type.to_string();
    }
    let body: Option<Value> = serde_json::from_slice(&webhook.body).ok();
    let named =
        |body: &Value| body.get("specversion").or(body.get("timestamp")).and(body["type"].as_str()).map(Into::into);
    body.as_ref().and_then(named).unwrap_or_else(|| "(its data alone)".to_string())
}

/// The beginning of a text, on one line.
fn short(text: &str) -> String {
    let mut line: String =
        output::harmless(text).chars().map(|c| if c == '\n' { ' ' } else { c }).take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        line.push_str(" ...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

    fn webhook(body: &'static str, ce_type: Option<&'static str>) -> Webhook {
        let mut headers = HeaderMap::new();
        if let Some(ce_type) = ce_type {
            headers.insert("ce-type", HeaderValue::from_static(ce_type));
        }
        Webhook {
            at: Timestamp::from_millis(0),
            method: Method::POST,
            path: "/hooks/a".into(),
            headers,
            body: body.into(),
            verdict: Verdict::Verified,
            status: StatusCode::OK,
        }
    }

    #[test]
    fn the_type_of_an_event_is_found_in_every_format_that_says_it() {
        assert_eq!(event_type(&webhook("{}", Some("a.b"))), "a.b");
        assert_eq!(event_type(&webhook(r#"{"specversion":"1.0","type":"a.b"}"#, None)), "a.b");
        assert_eq!(event_type(&webhook(r#"{"type":"a.b","timestamp":"t","data":1}"#, None)), "a.b");
        assert_eq!(event_type(&webhook(r#"{"type":"not the event's"}"#, None)), "(its data alone)");
    }

    #[test]
    fn a_long_text_is_cut_and_stays_on_one_line() {
        assert_eq!(short("a\nb\x1b[2J"), "a b\u{fffd}[2J");
        assert_eq!(short(&"ä".repeat(SHOWN + 1)), format!("{} ...", "ä".repeat(SHOWN)));
    }
}
