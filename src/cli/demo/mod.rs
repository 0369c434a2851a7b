//! `hookline demo`: the whole thing in one process. A broker, a shop that sells, mappings, the daemon, a receiver
//! that verifies every signature. Ctrl-C stops it; nothing is kept.

mod house;
mod shop;
mod story;

use crate::cli::common::{self, Common, Exit};
use crate::cli::demo::house::House;
use crate::cli::demo::shop::Shop;
use crate::cli::demo::story::Story;
use crate::cli::logs;
use crate::cli::output::Output;
use crate::cli::receiver::{Answers, Keys, Receiver, Webhook};
use crate::config::Config;
use crate::daemon::reload::Origin;
use crate::daemon::{self, Running};
use crate::deliver::sign::{self, Verifier, ed25519, standard};
use crate::egress::client::HttpTransport;
use crate::egress::exchange::{Request, Transport};
use crate::egress::settings::EgressSettings;
use crate::kafka::broker::Broker;
use crate::kafka::writer::Writer;
use crate::model::subscription::{Format, Signing};
use crate::pipeline::Pipeline;
use crate::runtime::clock;
use crate::runtime::random;
use crate::runtime::shutdown::Shutdown;
use anyhow::{Context, anyhow, bail, ensure};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How often the shop sells something.
const SELLS: Duration = Duration::from_millis(400);
/// How long the first webhook may take on a slow machine.
const FIRST: Duration = Duration::from_secs(60);
/// How long the daemon may take to stop: Ctrl-C should end the demo within two seconds.
const STOP: Duration = Duration::from_millis(1_600);

/// Shows the whole thing in one process: a broker, a shop, mappings, webhooks that are verified
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline demo --port 8080

  It has a config, a broker and a store of its own; nothing is kept. Ctrl-C stops it.")]
pub struct Args {
    /// The port of the API on 127.0.0.1 [default: a free one]
    #[arg(long, value_name = "P", default_value_t = 0, hide_default_value = true)]
    pub port: u16,
}

/// A subscription of the demo.
struct Subscriber {
    format: Format,
    signing: Signing,
    secret: String,
}

/// What a demo has running besides the daemon.
struct Stage {
    story: Story,
    comes: mpsc::Receiver<Webhook>,
    tasks: JoinSet<anyhow::Result<()>>,
    /// Stops the receiver: after the daemon, which sends to it until its end.
    curtain: Shutdown,
}

/// Runs the demo until it is stopped.
///
/// # Errors
/// A port cannot be had, or a part of it breaks down.
pub async fn run(args: Args, common: Common, output: Output) -> anyhow::Result<Exit> {
    let shutdown = common::stop_on_signal()?;
    output.line("starting a broker, the daemon and a receiver ...")?;
    let broker = Broker::start()?;
    for topic in shop::TOPICS {
        broker.topic(topic, 3)?;
    }
    let house = House::build(broker.servers(), args.port)?;
    let load = || Config::load(&house.config, &common.sets).map_err(|error| anyhow!("{}", error.report()));
    let (config, rules) = (load()?, load()?);
    let log = logs::begin(&config.log, &output)?;
    let (kafka, egress) = (config.kafka.clone(), config.egress.clone());
    let receiver = Receiver::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    // A terminal that is closed ends a demo, so nobody listens for SIGHUP.
    let origin = Origin { file: house.config.clone(), sets: common.sets.clone(), log, hangup: None };
    let running = daemon::start(config, origin, shutdown.clone()).await.context("the daemon cannot start")?;

    let subscribers = Format::ALL.map(Subscriber::new);
    subscribe(&subscribers, (running.api, receiver.address), &egress).await?;
    let story = Story::new(output, Pipeline::new(rules.mappings, rules.formats, rules.limits.event_bytes));
    story.addresses(broker.servers(), &running, receiver.address)?;
    let mut stage = Stage::open(story, receiver, &subscribers)?;
    let writer = Writer::new(&kafka)?;
    let ended = stage.play(running, writer, shutdown).await;
    // librdkafka takes its time to end what the process's end ends as well.
    std::mem::forget(broker);
    drop(house);
    ended
}

// === impl Stage ===

impl Stage {
    fn open(story: Story, receiver: Receiver, subscribers: &[Subscriber]) -> anyhow::Result<Self> {
        let mut keys = HashMap::new();
        for subscriber in subscribers {
            keys.insert(subscriber.path(), subscriber.verifier()?);
        }
        let (mut tasks, curtain) = (JoinSet::new(), Shutdown::default());
        let answers = Answers { keys: Keys::Paths(keys), status: StatusCode::OK, delay: Duration::ZERO };
        let (comes, serving) = receiver.serve(answers, curtain.clone());
        tasks.spawn(serving);
        Ok(Self { story, comes, tasks, curtain })
    }

    /// Sells, and tells what comes of it, until the stop.
    async fn play(&mut self, mut running: Running, writer: Writer, shutdown: Shutdown) -> anyhow::Result<Exit> {
        let mut shop = Shop::open();
        let ended = tokio::select! {
            biased;
            () = shutdown.stopped() => Ok(()),
            ended = &mut running.join => Err(self::ended(ended)),
            acted = self.acts(&mut shop, writer) => acted,
        };
        shutdown.stop();
        if ended.is_ok() {
            self.close(running).await?;
        }
        self.curtain.stop();
        ended?;
        self.story.end()
    }

    /// The first event step by step, then all that follow.
    async fn acts(&mut self, shop: &mut Shop, writer: Writer) -> anyhow::Result<()> {
        let draft = shop.next();
        let began = clock::now();
        let written = writer.write(&draft).await?;
        self.story.first(&draft, (written, began))?;
        let mut waits = tokio::time::interval(FIRST);
        waits.tick().await;
        while !self.story.told_first() {
            tokio::select! {
                Some(webhook) = self.comes.recv() => self.story.webhook(webhook)?,
                _ = waits.tick() => bail!("no webhook came within {FIRST:?}; the log above may say why"),
                Some(task) = self.tasks.join_next() => task??,
            }
        }
        self.story.goes_on()?;
        let mut sells = tokio::time::interval(SELLS);
        loop {
            tokio::select! {
                Some(webhook) = self.comes.recv() => self.story.webhook(webhook)?,
                _ = sells.tick() => {
                    writer.write(&shop.next()).await?;
                }
                Some(task) = self.tasks.join_next() => task??,
            }
        }
    }

    /// Waits for the daemon, which may still send; goes on telling meanwhile.
    async fn close(&mut self, mut running: Running) -> anyhow::Result<()> {
        let late = tokio::time::sleep(STOP);
        tokio::pin!(late);
        loop {
            tokio::select! {
                biased;
                Some(webhook) = self.comes.recv() => self.story.webhook(webhook)?,
                ended = &mut running.join => return ended.context("the daemon broke down")?.context("the daemon failed"),
                () = &mut late => return Ok(()), // the process ends anyhow, and nothing is kept
            }
        }
    }
}

fn ended(ended: Result<Result<(), daemon::error::DaemonError>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("the daemon ended by itself"),
        Ok(Err(error)) => anyhow::Error::new(error).context("the daemon cannot go on"),
        Err(error) => anyhow::Error::new(error).context("the daemon broke down"),
    }
}

/// Makes the subscriptions as everybody does: by the API.
async fn subscribe(
    subscribers: &[Subscriber],
    (api, receiver): (SocketAddr, SocketAddr),
    egress: &EgressSettings,
) -> anyhow::Result<()> {
    let transport = HttpTransport::new(egress)?;
    for subscriber in subscribers {
        let request = Request {
            url: format!("http://{api}/v1/subscriptions").parse()?,
            method: Method::POST,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            body: subscriber.written(receiver).to_string().into(),
            timeout: Duration::from_secs(10),
        };
        let answer = transport.exchange(request).await.context("the API does not answer")?;
        let (status, said) = (answer.status, String::from_utf8_lossy(&answer.head).into_owned());
        ensure!(status == 201, "the API refused a subscription with {status}: {said}");
    }
    Ok(())
}

// === impl Subscriber ===

impl Subscriber {
    /// A subscriber that wants this format. One of them signs with ed25519, to show it.
    fn new(format: Format) -> Self {
        match format {
            Format::CloudEventsBinary => {
                Self { format, signing: Signing::Ed25519, secret: ed25519::written(&random::secret()) }
            }
            Format::CloudEvents | Format::CloudEventsBatch | Format::Standard | Format::Raw => {
                Self { format, signing: Signing::Standard, secret: standard::written(&random::secret::<32>()) }
            }
        }
    }

    fn path(&self) -> String {
        format!("/hooks/{}", self.format.as_str())
    }

    fn verifier(&self) -> anyhow::Result<Verifier> {
        Ok(sign::parse_verifier(&self.secret)?)
    }

    /// As it is written to the API.
    fn written(&self, receiver: SocketAddr) -> Value {
        json!({
            "name": format!("wants {}", self.format.as_str()),
            "url": format!("http://{receiver}{}", self.path()),
            "types": ["**"],
            "format": self.format.as_str(),
            "signing": {"scheme": self.signing.as_str()},
            "secrets": [self.secret],
        })
    }
}
