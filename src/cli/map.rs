//! `hookline map`: what a record would become, and who would get it. Sends nothing.

use crate::cli::common::{self, Common, Exit, HeaderArg};
use crate::cli::loaded;
use crate::cli::output::Output;
use crate::cli::told::{self, Detail, Known};
use crate::config::Config;
use crate::decode;
use crate::dryrun::explain::{self, Explanation};
use crate::map::mapping::TopicSelector;
use crate::model::record::{Header, Origin, Record};
use crate::pipeline::Pipeline;
use crate::registry::client::{Answer, Registry};
use crate::registry::settings::RegistrySettings;
use crate::runtime::clock;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::settings::StoreSettings;
use anyhow::{Context, anyhow};
use std::path::PathBuf;

/// Shows what a record would become and who would get it, without sending anything
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline map --topic shop.orders --key o-1 order.json
  echo '{\"type\": \"OrderPlaced\", \"id\": \"o-1\"}' | hookline map --topic shop.orders --explain

  It ends with 1 when the record would be quarantined.")]
pub struct Args {
    /// The topic it would come from [default: the only one that the mappings name]
    #[arg(long, value_name = "T")]
    pub topic: Option<String>,
    /// The record's key [default: none]
    #[arg(long, value_name = "K")]
    pub key: Option<String>,
    /// A header, name=value. Can be given more than once
    #[arg(long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<HeaderArg>,
    /// Also says why each other mapping makes nothing of it, and why each other subscription would not get it
    #[arg(long)]
    pub explain: bool,
    /// Prints JSON: everything, whether or not --explain is given
    #[arg(long)]
    pub json: bool,
    /// The record's value: a file, or - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: PathBuf,
}

/// Shows it.
///
/// # Errors
/// The record cannot be read, no topic is named where it must be, or the registry does not answer.
pub async fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let config = match loaded::load(&common, &output) {
        Ok(config) => config,
        Err(exit) => return Ok(exit),
    };
    let record = record(&args, &config)?;
    let known = known(&config);
    let pipeline = Pipeline::new(config.mappings, config.formats, config.limits.event_bytes);
    let explanation = match learn(&pipeline, &record, config.registry.as_ref()).await? {
        Some(why) => Explanation { undecoded: Some(decode::fault(why)), mappings: Vec::new() },
        None => explain::explain(&pipeline, &record, known.subscriptions()),
    };
    let detail = if args.explain { Detail::Reasons } else { Detail::Outcome };
    if args.json {
        output.line(serde_json::to_string_pretty(&told::json(&explanation, &known))?)?;
    } else {
        output.line(told::text(&explanation, (&known, detail), &output))?;
    }
    Ok(if explanation.stuck() { Exit::Bad } else { Exit::Good })
}

/// Looks up the schemas that the record names, if it names any; gives why there is none.
async fn learn(
    pipeline: &Pipeline,
    record: &Record,
    registry: Option<&RegistrySettings>,
) -> anyhow::Result<Option<String>> {
    while let Some(id) = pipeline.pass(record).absent {
        let registry = registry.context("there is no schema registry")?;
        let answer = Registry::new(registry)?.look_up(&id).await;
        let learnt = match answer.with_context(|| format!("schema {id} cannot be looked up"))? {
            Answer::Found(text) => pipeline.schemas().learn(id, &text),
            Answer::Nothing(why) => Err(why),
        };
        if let Err(why) = learnt {
            return Ok(Some(why));
        }
    }
    Ok(None)
}

/// The record as if it stood at the beginning of its topic, now.
fn record(args: &Args, config: &Config) -> anyhow::Result<Record> {
    let topic = args.topic.clone().map_or_else(|| only_topic(config.mappings.topics()), Ok)?;
    let origin = Origin { topic: topic.into(), partition: 0, offset: 0, timestamp: clock::now() };
    let headers = args.headers.iter().cloned().map(Header::from).collect();
    let value = common::read_value(&args.file)?;
    Ok(Record { origin, key: args.key.clone().map(Into::into), headers, value: Some(value) })
}

/// The topic that is meant when none is named.
fn only_topic(selectors: &[TopicSelector]) -> anyhow::Result<String> {
    let mut names: Vec<&str> = selectors
        .iter()
        .filter_map(|selector| match selector {
            TopicSelector::Name(name) => Some(name.as_str()),
            TopicSelector::Pattern(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    match (names.as_slice(), selectors.iter().any(|selector| matches!(selector, TopicSelector::Pattern(_)))) {
        ([only], false) => Ok((*only).to_string()),
        ([], _) => Err(anyhow!("say with --topic which topic the record would come from")),
        (names, _) => Err(anyhow!("say with --topic which topic the record would come from: {}", names.join(", "))),
    }
}

/// All subscriptions, as far as the store can be read: it belongs to one process at a time. The declared ones are those
/// of the files.
fn known(config: &Config) -> Known {
    match (stored(&config.store), &config.declared) {
        (Ok(Known::All(stored)), Some(declared)) => {
            let made = stored.into_iter().filter(|one| !one.declared);
            Known::All(made.chain(declared.iter().cloned()).collect())
        }
        (Ok(known), _) => known,
        (Err(StoreError::InUse(path)), _) => Known::Unknown(format!(
            "a running hookline holds the store in {}, and its API has them: GET http://{}/v1/subscriptions",
            path.display(),
            config.api.listen
        )),
        (Err(error), _) => Known::Unknown(error.to_string()),
    }
}

/// The subscriptions of a store that is there (its `db` file is); looking does not make one.
fn stored(settings: &StoreSettings) -> Result<Known, StoreError> {
    if !settings.path.join("db").exists() {
        return Ok(Known::All(Vec::new()));
    }
    let store = Store::open(settings, Box::new(|_| {}))?;
    let subscriptions = store.subscriptions();
    store.close()?;
    subscriptions.map(Known::All)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::batch::Batch;

    fn topic(texts: &[&str]) -> Result<String, String> {
        let selectors: Vec<_> = texts.iter().map(|text| TopicSelector::parse(text).unwrap()).collect();
        only_topic(&selectors).map_err(|error| error.to_string())
    }

    #[test]
    fn the_topic_can_be_left_out_only_where_there_is_one() {
        assert_eq!(topic(&["shop.orders", "shop.orders"]), Ok("shop.orders".into()));
        assert!(topic(&["shop.orders", "crm"]).unwrap_err().ends_with(": crm, shop.orders"));
        assert!(topic(&["shop.orders", "/x.*/"]).is_err() && topic(&[]).is_err());
    }

    #[test]
    fn a_store_that_is_not_there_is_not_made_and_one_in_use_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings { path: folder.path().join("data"), ..StoreSettings::default() };
        assert_eq!(stored(&settings).unwrap(), Known::All(Vec::new()));
        assert!(!settings.path.exists());
        let store = Store::open(&settings, Box::new(|_| {})).unwrap();
        store.submit(Batch::new(), |_| {});
        assert!(matches!(stored(&settings), Err(StoreError::InUse(_))));
    }
}
