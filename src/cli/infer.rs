//! `hookline infer`: looks at some records of a topic, and proposes a mapping file for it.

use crate::cli::common::{Common, Exit};
use crate::cli::loaded;
use crate::cli::output::{self, Output};
use crate::cli::schemas;
use crate::decode::Undecoded;
use crate::dryrun::proposal::{self, Asked, Sample};
use crate::kafka::range::{Range, Read};
use crate::kafka::settings::KafkaSettings;
use crate::model::record::{Record, TopicPartition};
use crate::pipeline::Pipeline;
use crate::registry::settings::RegistrySettings;
use anyhow::{Context, bail, ensure};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the brokers have to bring the records; what came until then is looked at.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one question may take.
const BREATH: Duration = Duration::from_millis(500);
/// The most bytes of records that are held.
const BYTES: usize = 64 << 20;

/// Looks at some records of a topic and proposes a mapping, a schema and a test
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline infer --topic shop.orders --out config/mappings/orders.yaml
  hookline infer --topic shop.orders --records 1000 --prefix com.acme

  It joins no consumer group and commits nothing. The test in what it proposes holds a real record.")]
pub struct Args {
    /// The topic
    #[arg(long, value_name = "T")]
    pub topic: String,
    /// How many records to look at, the newest of each partition
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub records: u32,
    /// What the proposed event types begin with
    #[arg(long, value_name = "PREFIX", default_value = "com.example", value_parser = prefix)]
    pub prefix: String,
    /// The file to write; one that is there is not replaced [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

fn prefix(text: &str) -> Result<String, String> {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match text.split('.').all(part) && text.len() <= 100 {
        true => Ok(text.to_owned()),
        false => Err("write it like com.acme".into()),
    }
}

/// Looks at them, and proposes.
///
/// # Errors
/// No broker answers, the topic is not there or empty, or the file cannot be written.
pub async fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let config = match loaded::load(&common, &output) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let taken = config.mappings.names().map(str::to_owned).collect();
    let pipeline = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
    let (topic, most) = (args.topic.clone(), usize::try_from(args.records)?);
    let (kafka, brokers) = (config.kafka.clone(), config.kafka.brokers);
    let records = tokio::task::spawn_blocking(move || newest(&kafka, &topic, most)).await?;
    let records = records.with_context(|| format!("reading {} from the Kafka at {brokers}", args.topic))?;
    ensure!(!records.is_empty(), "{} holds no records", args.topic);
    learn(&pipeline, &records, config.registry.as_ref()).await?;
    let (all, samples) = (records.len(), samples(&pipeline, &records));
    let asked = Asked { topic: args.topic, prefix: args.prefix, taken };
    let proposal = proposal::propose(&samples, &asked)
        .with_context(|| format!("{all} records of {} were read, {} decoded", asked.topic, samples.len()))?;
    match &args.out {
        None => output.line(proposal.text.trim_end())?,
        Some(file) => write_new(file, &proposal.text)?,
    }
    let mappings = output::count(proposal.mappings, "mapping");
    output.complain(format!("proposed: {mappings}, for {} of {all} records of {}", proposal.mapped, asked.topic));
    if samples.len() < all {
        let (lost, topic) = (output::count(all - samples.len(), "record"), &asked.topic);
        output.complain(format!("{lost} could not be decoded: say in `topics` of the config which format {topic} has"));
    }
    Ok(Exit::Good)
}

/// Writes a file that is not there yet.
fn write_new(file: &Path, text: &str) -> anyhow::Result<()> {
    let mut to = std::fs::File::create_new(file).with_context(|| format!("cannot write {}", file.display()))?;
    std::io::Write::write_all(&mut to, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// Looks up the schemas that the records name. What has none, as the registry says, is among what cannot be decoded.
async fn learn(pipeline: &Pipeline, records: &[Record], registry: Option<&RegistrySettings>) -> anyhow::Result<()> {
    let absent = records.iter().filter_map(|record| match pipeline.decoded(record) {
        Err(Undecoded::Absent(id)) => Some(id),
        Ok(_) | Err(Undecoded::Fault(_)) => None,
    });
    for id in absent.collect::<HashSet<_>>() {
        schemas::learn(pipeline, id, registry).await?;
    }
    Ok(())
}

/// What the records that can be decoded hold.
fn samples(pipeline: &Pipeline, records: &[Record]) -> Vec<Sample> {
    let of = |record| {
        let events = pipeline.decoded(record).unwrap_or_default().into_iter();
        events.map(|event| Sample { record: Record::clone(record), payload: event.payload }).collect::<Vec<_>>()
    };
    records.iter().flat_map(of).collect()
}

/// The newest records of a topic, about as many of each partition. Blocks.
fn newest(kafka: &KafkaSettings, topic: &str, most: usize) -> anyhow::Result<Vec<Record>> {
    let (mut range, until) = (Range::new(kafka)?, Instant::now() + PATIENCE);
    let partitions = range.partitions(topic)?;
    if partitions.is_empty() {
        bail!("there is no such topic");
    }
    let each = most.div_ceil(partitions.len());
    let (mut records, mut bytes, mut trouble) = (Vec::new(), 0, None);
    for partition in partitions {
        let at = TopicPartition { topic: topic.into(), partition };
        let held = range.held(&at)?;
        let first = held.low.max(held.high - i64::try_from(each)?);
        if first >= held.high {
            continue;
        }
        range.begin(&at, first)?;
        while Instant::now() < until && bytes < BYTES {
            match range.next(BREATH) {
                Read::Record(record) if record.origin.offset >= held.high => break,
                Read::Record(record) => {
                    let last = record.origin.offset + 1 >= held.high;
                    bytes += record.size();
                    records.push(record);
                    if last {
                        break;
                    }
                }
                Read::End(_) | Read::OutOfRange => break,
                Read::Nothing => {}
                Read::Trouble(what) => trouble = Some(what),
            }
        }
        range.end()?;
    }
    match trouble.filter(|_| records.is_empty()) {
        Some(what) => bail!("{what}"),
        None => Ok(records),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::broker::Broker;
    use crate::kafka::writer::{Draft, Writer};

    #[tokio::test]
    async fn the_newest_records_of_every_partition_are_read_without_a_group() {
        let broker = Broker::start().unwrap();
        broker.topic("shop.orders", 2).unwrap();
        let kafka = KafkaSettings { brokers: broker.servers().into(), ..KafkaSettings::default() };
        let writer = Writer::with_patience(&kafka, PATIENCE).unwrap();
        for n in 0..40 {
            let value = Some(format!("{{\"n\":{n}}}").into());
            let draft =
                Draft { topic: "shop.orders".into(), key: Some(format!("k{n}").into()), headers: Vec::new(), value };
            writer.write(&draft).await.unwrap();
        }
        let read = |most| {
            let kafka = kafka.clone();
            tokio::task::spawn_blocking(move || newest(&kafka, "shop.orders", most).unwrap())
        };
        assert_eq!(read(1_000).await.unwrap().len(), 40);
        let few = read(10).await.unwrap();
        let of = |partition| few.iter().filter(|record| record.origin.partition == partition).count();
        assert_eq!((of(0), of(1)), (5, 5));
        let last = few.iter().any(|record| record.value.as_deref() == Some(b"{\"n\":39}"));
        assert!(last, "the newest are read");
    }

    #[test]
    fn a_prefix_is_the_beginning_of_a_type() {
        assert!(["com.acme", "x", "a-b.c_d"].iter().all(|text| prefix(text).is_ok()));
        assert!(["", ".", "com.", "com acme", "com.*"].iter().all(|text| prefix(text).is_err()));
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.yaml");
        write_new(&file, "a").unwrap();
        assert!(write_new(&file, "b").is_err());
        assert_eq!(std::fs::read_to_string(file).unwrap(), "a");
    }
}
