//! `hookline trigger`: writes one record to Kafka.

use crate::cli::common::{self, Common, Exit, HeaderArg};
use crate::cli::loaded;
use crate::cli::output::Output;
use crate::kafka::writer::{Draft, Writer};
use crate::model::record::Header;
use anyhow::{Context, ensure};
use std::path::PathBuf;
use std::time::Duration;

/// How long the brokers have to confirm the record.
const PATIENCE: Duration = Duration::from_secs(15);

/// Writes one record to a topic of the configured Kafka
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline trigger --topic shop.orders --key o-1 --header source=me order.json
  echo '{\"type\": \"OrderPlaced\", \"id\": \"o-1\"}' | hookline trigger --topic shop.orders")]
pub struct Args {
    /// The topic
    #[arg(long, value_name = "T")]
    pub topic: String,
    /// The record's key [default: none]
    #[arg(long, value_name = "K")]
    pub key: Option<String>,
    /// A header, name=value. Can be given more than once
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<HeaderArg>,
    /// The record's value: a file, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
}

/// Writes it, and waits until the brokers have it.
///
/// # Errors
/// The value cannot be read, or no broker takes the record.
pub async fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let config = match loaded::load(&common, &output) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let value = common::read_value(&args.file)?;
    ensure!(!value.is_empty(), "there is no record: {} is empty", common::shown(&args.file));
    let headers = args.headers.into_iter().map(Header::from).collect();
    let draft = Draft { topic: args.topic, key: args.key.map(Into::into), headers, value: Some(value) };
    let writer = Writer::with_patience(&config.kafka, PATIENCE)?;
    let brokers = &config.kafka.brokers;
    let written = writer.write(&draft).await.with_context(|| format!("writing to the Kafka at {brokers}"))?;
    let (topic, partition, offset) = (&draft.topic, written.partition, written.offset);
    output.line(format!("written to {topic}, partition {partition}, offset {offset}"))?;
    if !config.mappings.matches_topic(topic) {
        output.complain(format!("no mapping reads {topic}: nothing will become of the record"));
    }
    Ok(Exit::Good)
}
