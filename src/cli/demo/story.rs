//! What a demo tells: where everything is, the way of the first event, then a line per webhook.

use crate::cli::common::Exit;
use crate::cli::output::{self, Look, Output};
use crate::cli::receiver::{Verdict, Webhook};
use crate::daemon::Running;
use crate::dryrun::explain::{self, Became};
use crate::kafka::writer::{Draft, Written};
use crate::model::record::{Origin, Record};
use crate::model::subscription::Format;
use crate::model::time::Timestamp;
use crate::pipeline::Pipeline;
use crate::runtime::clock;
use serde_json::Value;
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;

/// Characters of a record or of an event's data that are shown.
const SHOWN: usize = 110;

/// The teller.
pub(crate) struct Story {
    output: Output,
    pipeline: Pipeline,
    /// When the first record was written.
    began: Timestamp,
    /// Who has had a webhook.
    told: HashSet<String>,
    webhooks: u64,
    verified: u64,
}

// === impl Story ===

impl Story {
    /// A story that explains records by these rules.
    pub(crate) fn new(output: Output, pipeline: Pipeline) -> Self {
        Self { output, pipeline, began: clock::now(), told: HashSet::new(), webhooks: 0, verified: 0 }
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
    pub(crate) fn first(&mut self, draft: &Draft, written: Written) -> io::Result<()> {
        self.began = clock::now();
        let (topic, partition, offset) = (draft.topic.as_str(), written.partition, written.offset);
        let origin = Origin { topic: topic.into(), partition, offset, timestamp: self.began };
        let (key, value) = (draft.key.clone(), draft.value.clone());
        let record = Record { origin, key, headers: draft.headers.clone(), value };
        self.output.line(self.output.paint(Look::Bold, "\nThe way of the first event"))?;
        let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        self.step(1, "record", &format!("{topic}, partition {partition}, offset {offset}: {}", short(&value)))?;
        for told in explain::explain(&self.pipeline, &record, &[]).mappings {
            let Became::Events(events) = told.became else { continue };
            for explained in events {
                let event = &explained.event;
                self.step(2, "mapping", &format!("{} (config/mappings/shop.yaml) makes an event of it", told.mapping))?;
                self.step(3, "event", &format!("{}: {}", event.event_type, short(&event.data.to_string())))?;
            }
        }
        Ok(())
    }

    /// Whether every subscriber has had a webhook of the first event.
    pub(crate) fn told_first(&self) -> bool {
        self.told.len() == Format::ALL.len()
    }

    /// From here on only lines.
    pub(crate) fn goes_on(&self) -> io::Result<()> {
        self.output.line(self.output.paint(Look::Bold, "\nThe shop goes on selling; a line per webhook. Ctrl-C stops."))
    }

    /// A webhook: the fourth step of the first event, or a line.
    pub(crate) fn webhook(&mut self, webhook: &Webhook) -> io::Result<()> {
        self.webhooks += 1;
        let verdict = match webhook.verdict {
            Verdict::Verified => {
                self.verified += 1;
                self.output.paint(Look::Good, "signature verified")
            }
            other => self.output.paint(Look::Bad, &format!("not authentic: {other:?}")),
        };
        let first = !self.told_first();
        let format = webhook.path.rsplit('/').next().unwrap_or_default();
        let id = webhook.header("webhook-id").unwrap_or("(no webhook-id)");
        let what = output::harmless(&format!("{format:<18} {id}"));
        if first && self.told.insert(format.to_string()) {
            let after = webhook.at.since(self.began).as_millis();
            return self.step(4, "webhook", &format!("{what}  {verdict}, {after} ms after the record was written"));
        }
        let event_type = output::harmless(&event_type(webhook));
        let number = self.output.paint(Look::Dim, &format!("{:>6}", self.webhooks));
        self.output.line(format!("{number}  {}  {what}  {event_type:<30} {verdict}", webhook.at))
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
    let named = |body: &Value| body.get("specversion").or(body.get("timestamp")).and(body["type"].as_str()).map(Into::into);
    body.as_ref().and_then(named).unwrap_or_else(|| "(its data alone)".to_string())
}

/// The beginning of a text, on one line.
fn short(text: &str) -> String {
    let mut line: String = output::harmless(text).chars().map(|c| if c == '\n' { ' ' } else { c }).take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        line.push_str(" ...");
    }
    line
}
