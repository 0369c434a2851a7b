//! Sends spans to a collector: OTLP in protobuf over HTTP, in batches, on a task of its own.
//!
//! A collector that is away is asked again a few times, as OTLP wants it, while what does not find room in the queue is
//! dropped and counted. Nobody waits for it: deliveries go on, and a stop waits two and a half seconds at most.

use crate::egress::error::EgressError;
use crate::egress::exchange::Request;
use crate::egress::service::{Answer, Service};
use crate::metrics::{Metrics, SpanFate};
use crate::runtime::shutdown::Shutdown;
use crate::traces::otlp::Identity;
use crate::traces::settings::TracesSettings;
use crate::traces::span::Span;
use crate::traces::wire::Response;
use http::{HeaderMap, HeaderValue, Method, header};
use prost::Message;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};
use url::Url;

/// Spans of one request, at most: some hundred KiB.
const BATCH: usize = 512;

/// How long the first span of a batch waits for others: who looks for a trace has just made a request.
const DELAY: Duration = Duration::from_secs(1);

/// The deadline of one request; OTLP's own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two tries of the same batch. After the last one it is given up: a collector that is away for longer is away.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// How long a stop waits for what is left: a tenth of the default grace, after all that matters more.
const FLUSH: Duration = Duration::from_millis(2_500);

/// Bytes of an answer that are read.
const ANSWER: usize = 64 << 10;

/// Sends spans to a collector.
#[derive(Debug)]
pub struct Exporter {
    service: Service,
    url: Url,
    headers: HeaderMap,
    identity: Identity,
    queue: mpsc::Receiver<Span>,
    metrics: Metrics,
    /// Whether the collector took the last batch, so that each change is told once.
    taking: bool,
}

/// What came of one request.
enum Said {
    /// It took them, or what is left of them when it says so.
    Took(Response),
    /// It may take them later.
    Later(String),
    /// It will never take them.
    Never(String),
}

// === impl Exporter ===

impl Exporter {
    pub(crate) fn new(
        settings: &TracesSettings,
        group: &str,
        (queue, metrics): (mpsc::Receiver<Span>, Metrics),
    ) -> Result<Self, EgressError> {
        Ok(Self {
            service: Service::new(settings.ca_file.as_deref())?,
            url: settings.url.clone(),
            headers: headers(settings),
            identity: Identity { service: settings.service.clone(), group: group.to_owned() },
            queue,
            metrics,
            taking: true,
        })
    }

    /// Sends what is handed over until the stop, then what is left, within two and a half seconds.
    pub async fn run(mut self, stop: Shutdown) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                () = self.collect(&mut batch) => {}
            }
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                () = self.send(&mut batch) => {}
            }
        }
        self.queue.close();
        let left = timeout(FLUSH, async {
            while !batch.is_empty() || self.queue.recv_many(&mut batch, BATCH).await > 0 {
                self.send(&mut batch).await;
            }
        });
        if left.await.is_err() {
            let lost = batch.len() + std::iter::from_fn(|| self.queue.try_recv().ok()).count();
            self.metrics.spans(SpanFate::Failed, lost);
            warn!(spans = lost, "the collector did not take all traces before the stop");
        }
    }

    /// Fills `batch`; what is in it stays there when this is cut off.
    async fn collect(&mut self, batch: &mut Vec<Span>) {
        if self.queue.recv_many(batch, BATCH).await == 0 {
            return std::future::pending().await; // nobody traces any more: the stop is near
        }
        let full_by = Instant::now() + DELAY;
        while batch.len() < BATCH {
            let more = timeout_at(full_by, self.queue.recv_many(batch, BATCH - batch.len()));
            if !more.await.is_ok_and(|more| more > 0) {
                return;
            }
        }
    }

    /// Sends `batch`, and empties it when that is done.
    async fn send(&mut self, batch: &mut Vec<Span>) {
        let body = self.identity.request(batch);
        let mut waits = WAITS.iter();
        let refusal = loop {
            let request = Request {
                url: self.url.clone(),
                method: Method::POST,
                headers: self.headers.clone(),
                body: body.clone(),
                timeout: TIMEOUT,
            };
            let said = match self.service.ask(request, ANSWER).await {
                Ok(answer) => read(&answer),
                Err(error) => Said::Later(error.to_string()),
            };
            match (said, waits.next()) {
                (Said::Took(response), _) => break self.took(batch.len(), response),
                (Said::Later(_), Some(wait)) => tokio::time::sleep(*wait).await,
                (Said::Later(why), None) | (Said::Never(why), _) => {
                    self.metrics.spans(SpanFate::Failed, batch.len());
                    break Some(why);
                }
            }
        };
        batch.clear();
        self.tell(refusal);
    }

    /// Counts what it took; gives why it did not take the rest.
    fn took(&self, spans: usize, response: Response) -> Option<String> {
        let partly = response.partial_success.unwrap_or_default();
        let rejected = usize::try_from(partly.rejected_spans).unwrap_or(0).min(spans);
        self.metrics.spans(SpanFate::Exported, spans - rejected);
        self.metrics.spans(SpanFate::Failed, rejected);
        (rejected > 0).then(|| format!("it rejected {rejected} spans: {}", partly.error_message))
    }

    /// Says when it stops and begins again to take them.
    fn tell(&mut self, refusal: Option<String>) {
        match (&refusal, self.taking) {
            (Some(why), true) => warn!(
                collector = %self.url,
                "traces are lost until it is told otherwise, deliveries go on: {why}"
            ),
            (None, false) => info!(collector = %self.url, "the collector takes traces again"),
            (Some(_), false) | (None, true) => {}
        }
        self.taking = refusal.is_none();
    }
}

fn headers(settings: &TracesSettings) -> HeaderMap {
    let kind = HeaderValue::from_static("application/x-protobuf");
    let agent = HeaderValue::from_static(concat!("hookline/", env!("CARGO_PKG_VERSION")));
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind), (header::USER_AGENT, agent)]);
    for (name, value) in &settings.headers {
        let mut value = HeaderValue::from_str(value.expose()).expect("config takes visible characters only");
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    headers
}

/// What an answer means (OTLP/HTTP): some statuses ask to try again, all others do not.
fn read(answer: &Answer) -> Said {
    match answer.status {
        200..=299 => Said::Took(Response::decode(answer.body.clone()).unwrap_or_default()),
        status @ (429 | 502 | 503 | 504) => Said::Later(format!("it answered {status}")),
        status => Said::Never(format!("it answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::gauges::Gauges;
    use crate::model::record::{Origin, Record};
    use crate::model::secret::Secret;
    use crate::model::time::Timestamp;
    use crate::model::trace::{Context, Sampled, SpanId, TraceId};
    use crate::traces::span::{End, Processed, Work};
    use crate::traces::wire::{self, PartialSuccess};
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;

    /// What is answered: a status and a body, or nothing, ever.
    type Reply = Option<(u16, Vec<u8>)>;

    /// A collector that says one thing after the other, the last again and again.
    struct Collector {
        url: Url,
        heads: Arc<Mutex<Vec<String>>>,
        spans: Arc<Mutex<Vec<usize>>>,
        _serving: JoinSet<()>,
    }

    impl Collector {
        async fn saying(replies: &[Reply]) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/v1/traces", listener.local_addr().unwrap()).parse().unwrap();
            let (heads, spans) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<usize>>>::default());
            let (mut replies, mut serving) = (replies.to_vec(), JoinSet::new());
            replies.reverse();
            let (all, counted) = (Arc::clone(&heads), Arc::clone(&spans));
            serving.spawn(async move {
                let mut open = Vec::new(); // those that hang
                while let Ok((mut stream, _)) = listener.accept().await {
                    let (head, body) = request(&mut stream).await;
                    all.lock().unwrap().push(head);
                    let request = wire::Request::decode(&*body).unwrap();
                    counted.lock().unwrap().push(request.resource_spans[0].scope_spans[0].spans.len());
                    let reply = if replies.len() > 1 { replies.pop().unwrap() } else { replies[0].clone() };
                    let Some((status, body)) = reply else {
                        open.push(stream);
                        continue;
                    };
                    let length = body.len();
                    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
                }
            });
            Self { url, heads, spans, _serving: serving }
        }

        fn sent(&self) -> Vec<usize> {
            self.spans.lock().unwrap().clone()
        }
    }

    async fn request(stream: &mut TcpStream) -> (String, Vec<u8>) {
        let (mut head, mut reader) = (String::new(), BufReader::new(stream));
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).await.unwrap() > 0);
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).await.unwrap();
        (head, body)
    }

    /// Runs an exporter that is given so many spans until the stop, and says how many were exported and how many failed.
    async fn run(collector: &Collector, spans: usize, until: impl AsyncFn(&Metrics)) -> [usize; 2] {
        let settings = TracesSettings {
            url: collector.url.clone(),
            headers: vec![("x-key".parse().unwrap(), Secret::new("hunter2"))],
            ca_file: None,
            service: "s".into(),
            sample: 1.0,
        };
        let ((hands, queue), metrics, stop) = (mpsc::channel(10_000), Metrics::new(), Shutdown::default());
        let exporter = Exporter::new(&settings, "g", (queue, metrics.clone())).unwrap();
        (0..spans).for_each(|_| hands.try_send(span()).unwrap());
        let mut running = JoinSet::new();
        running.spawn(exporter.run(stop.clone()));
        until(&metrics).await;
        stop.stop();
        running.join_next().await.unwrap().unwrap();
        ["exported", "failed"].map(|result| count(&metrics, result))
    }

    fn span() -> Span {
        let origin = Origin { topic: "t".into(), partition: 0, offset: 0, timestamp: Timestamp::from_millis(0) };
        let record = Record { origin, key: None, headers: Vec::new(), value: None };
        let (trace, span) = (TraceId::from_bytes([1; 16]), SpanId::from_bytes([1; 8]));
        Span {
            context: Context { trace, span, sampled: Sampled::Yes },
            cause: None,
            record: None,
            links: Vec::new(),
            began: 1,
            ended: 2,
            work: Work::Process(Processed::of(&record)),
            end: End::Done,
        }
    }

    fn count(metrics: &Metrics, result: &str) -> usize {
        let (text, series) =
            (metrics.scrape(&Gauges::default()), format!("hookline_spans_total{{result=\"{result}\"}} "));
        text.lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
    }

    /// Waits until so many spans are exported or failed.
    async fn done(metrics: &Metrics, spans: usize) {
        while count(metrics, "exported") + count(metrics, "failed") < spans {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn spans_go_in_batches_with_the_headers_that_are_configured_and_at_the_stop_what_is_left() {
        let collector = Collector::saying(&[Some((200, Vec::new()))]).await;
        let told = run(&collector, BATCH + 3, async |_| {}).await;
        assert_eq!((told, collector.sent()), ([BATCH + 3, 0], vec![BATCH, 3]));
        let head = collector.heads.lock().unwrap()[0].clone();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(
            head.contains("content-type: application/x-protobuf\r\n") && head.contains("x-key: hunter2\r\n"),
            "{head}"
        );
    }

    #[tokio::test]
    async fn a_collector_that_asks_for_it_is_asked_again_and_one_that_refuses_is_not() {
        let collector = Collector::saying(&[Some((503, Vec::new())), Some((200, Vec::new()))]).await;
        let told = run(&collector, 3, async |metrics| done(metrics, 3).await).await;
        assert_eq!((told, collector.sent()), ([3, 0], vec![3, 3]));
        let collector = Collector::saying(&[Some((400, Vec::new()))]).await;
        let told = run(&collector, 3, async |metrics| done(metrics, 3).await).await;
        assert_eq!((told, collector.sent()), ([0, 3], vec![3]));
    }

    #[tokio::test]
    async fn what_a_collector_rejects_of_a_batch_is_counted() {
        let partly = PartialSuccess { rejected_spans: 2, error_message: "too old".into() };
        let reply = Response { partial_success: Some(partly) }.encode_to_vec();
        let collector = Collector::saying(&[Some((200, reply))]).await;
        assert_eq!(run(&collector, 5, async |metrics| done(metrics, 5).await).await, [3, 2]);
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_a_collector_that_hangs() {
        let collector = Collector::saying(&[None]).await;
        let begun = Instant::now();
        let told = run(&collector, 3 * BATCH, async |_| {
            while collector.sent().is_empty() {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(told.await, [0, 3 * BATCH]);
        assert!(begun.elapsed() < FLUSH + Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
