//! `hookline roundtrip`: one record through a running daemon, and back as a webhook that is verified.
//!
//! It subscribes by the API with a secret of its own, writes the record, waits for the first webhook that this secret
//! signed, and unsubscribes, whatever came. `helm test` runs it in a pod.

use crate::cli::ask::{self, Question};
use crate::cli::common::{self, Common, Exit};
use crate::cli::loaded;
use crate::cli::output::{self, Output};
use crate::cli::receiver::{Answers, Keys, Receiver, Verdict, Webhook};
use crate::deliver::sign::{self, standard};
use crate::kafka::writer::{Draft, Writer};
use crate::model::secret::Secret;
use crate::runtime::clock;
use crate::runtime::random;
use anyhow::{Context, anyhow, bail, ensure};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use url::Url;

/// Sends one record through a running daemon and waits until it comes back as a webhook
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline roundtrip --topic shop.orders --types 'com.acme.order.**' order.json

  The daemon must be allowed to call what --endpoint says: egress.allow_http: true, and egress.allow with its host.
  The first webhook that comes counts: on a busy topic --filter says which event is meant.
  It ends with 0 when the webhook came and its signature is right, else with 1.")]
pub struct Args {
    /// The topic
    #[arg(long, value_name = "T")]
    pub topic: String,
    /// The record's key [default: none]
    #[arg(long, value_name = "K")]
    pub key: Option<String>,
    /// Which event types are waited for
    #[arg(long, value_name = "PATTERN", default_value = "**")]
    pub types: String,
    /// Which of them, as an expression over `event` [default: all]
    #[arg(long, value_name = "CEL")]
    pub filter: Option<String>,
    /// The tenant whose events are waited for [default: none]
    #[arg(long)]
    pub tenant: Option<String>,
    /// The daemon's API
    #[arg(long, env = "HOOKLINE_API", default_value = "http://127.0.0.1:8080", value_parser = ask::url)]
    pub api: Url,
    /// A token of scope admin, where the API has tokens
    #[arg(long, env = "HOOKLINE_TOKEN", hide_env_values = true, value_parser = secret, value_name = "T")]
    pub token: Option<Secret>,
    /// Address and port on which the webhook is waited for
    #[arg(long, value_name = "IP:PORT", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))]
    pub listen: SocketAddr,
    /// The URL at which the daemon reaches that [default: the address itself]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<Url>,
    /// How long it may take: 15s, 2m
    #[arg(long, default_value = "60s", value_name = "D", value_parser = common::duration)]
    pub within: Duration,
    /// The record's value: a file, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
}

/// Sends it round.
///
/// # Errors
/// The daemon refuses the subscription, Kafka the record, or no webhook comes in time.
pub async fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let config = match loaded::load(&common, &output) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let shutdown = common::stop_on_signal()?;
    let value = common::read_value(&args.file)?;
    let draft = Draft {
        topic: args.topic.clone(),
        key: args.key.clone().map(Into::into),
        headers: Vec::new(),
        value: Some(value),
    };
    let writer = Writer::with_patience(&config.kafka, args.within)?;
    let receiver = Receiver::bind(args.listen).await?;
    let key = standard::written(&random::secret::<32>());
    let subscription = subscribe(&args, &wanted(&args, receiver.address, &key)).await?;
    let answers =
        Answers { keys: Keys::One(sign::parse_verifier(&key)?), status: StatusCode::OK, delay: Duration::ZERO };
    let (comes, serving) = receiver.serve(answers, shutdown.clone());
    let came = tokio::select! {
        biased;
        () = shutdown.stopped() => Err(anyhow!("it was stopped")),
        came = tokio::time::timeout(args.within, round(&writer, &draft, comes, &output)) => {
            came.unwrap_or_else(|_| Err(anyhow!("no webhook came within {:?}", args.within)))
        }
        served = serving => Err(served.err().unwrap_or_else(|| anyhow!("it was stopped"))),
    };
    unsubscribe(&args, &subscription).await?;
    came?;
    Ok(Exit::Good)
}

/// Writes the record, waits for the webhook, tells how long it took.
async fn round(
    writer: &Writer,
    draft: &Draft,
    mut comes: mpsc::Receiver<Webhook>,
    output: &Output,
) -> anyhow::Result<()> {
    let began = clock::now();
    let written = writer.write(draft).await?;
    output.line(format!("written to {}, partition {}, offset {}", draft.topic, written.partition, written.offset))?;
    while let Some(webhook) = comes.recv().await {
        match webhook.verdict {
            Verdict::Verified => {
                let id = output::harmless(webhook.header("webhook-id").unwrap_or_default());
                let took = webhook.at.since(began).as_millis();
                output.line(format!("{id} came back after {took} ms, and its signature is right"))?;
                return Ok(());
            }
            // Somebody else knocks at the port: told, and answered with an error already.
            Verdict::Refused(error) => output.complain(format!("something came that is not authentic: {error}")),
            Verdict::Unverified | Verdict::Unread | Verdict::Unknown | Verdict::Asked => {
                output.complain("something came that is no webhook");
            }
        }
    }
    bail!("the receiver stopped")
}

fn wanted(args: &Args, address: SocketAddr, key: &str) -> Value {
    let url = args.endpoint.as_ref().map_or_else(|| format!("http://{address}/"), ToString::to_string);
    let mut wanted = json!({ "name": "hookline roundtrip", "url": url, "types": [args.types], "secrets": [key] });
    for (field, value) in [("filter", &args.filter), ("tenant", &args.tenant)] {
        if let Some(value) = value {
            wanted[field] = Value::from(value.as_str());
        }
    }
    wanted
}

/// Makes the subscription; where it stands.
async fn subscribe(args: &Args, wanted: &Value) -> anyhow::Result<Url> {
    let url = args.api.join("/v1/subscriptions")?;
    let question = Question { method: Method::POST, url: &url, token: args.token.as_ref(), body: Some(wanted) };
    let answer = ask::ask(question).await?;
    let said = output::harmless(&String::from_utf8_lossy(&answer.body));
    ensure!(answer.status == 201, "the API refused a subscription with {}: {said}", answer.status);
    let made: Value = serde_json::from_slice(&answer.body).context("the API answered no JSON")?;
    let id = made["id"].as_str().context("the API answered a subscription without an id")?;
    Ok(args.api.join(&format!("/v1/subscriptions/{id}"))?)
}

async fn unsubscribe(args: &Args, subscription: &Url) -> anyhow::Result<()> {
    let question = Question { method: Method::DELETE, url: subscription, token: args.token.as_ref(), body: None };
    let answer = ask::ask(question).await.with_context(|| format!("delete {subscription} yourself"))?;
    let said = output::harmless(&String::from_utf8_lossy(&answer.body));
    ensure!(answer.status == 204, "{subscription} was not deleted ({}), do it yourself: {said}", answer.status);
    Ok(())
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}
