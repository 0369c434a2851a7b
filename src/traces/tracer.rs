//! Says as which piece of work of which trace something is done, and hands over what is sampled.
//!
//! Called by the loops, on their threads: nothing here waits, and nothing is written out.

use crate::metrics::{Metrics, SpanFate};
use crate::model::event::{Emitted, IntegrationEvent};
use crate::model::outcome::{FailureCause, Outcome};
use crate::model::record::Record;
use crate::model::trace::{Context, Parent, Sampled, SpanId, TraceId};
use crate::runtime::{clock, random};
use crate::traces::ids::Ids;
use crate::traces::sampling::Share;
use crate::traces::span::{Attempted, Cause, End, Mapped, Processed, Span, Work};
use std::sync::Arc;
use tokio::sync::mpsc;
use url::Url;

/// Links of one span; OpenTelemetry's own limit.
const LINKS: usize = 128;

/// Says as which piece of work something is done. Clones share the queue; the default records nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    ids: Ids,
    share: Share,
    spans: mpsc::Sender<Span>,
    metrics: Metrics,
}

/// A record on its way through the rules, which is recorded when it has been offered.
#[derive(Debug)]
pub struct Passing {
    inner: Arc<Inner>,
    processed: Processed,
    parent: Option<Arc<Parent>>,
    context: Context,
    map: SpanId,
    began: u64,
    asked: u64,
    mapped: Mapped,
    end: End,
}

/// An attempt to deliver.
#[derive(Debug)]
pub struct Attempt {
    /// The piece of work that it is, when it belongs to a trace.
    pub context: Option<Context>,
    recording: Option<Recording>,
}

/// An attempt that is recorded, also when it is cut off.
#[derive(Debug)]
struct Recording {
    inner: Arc<Inner>,
    span: Option<Box<Span>>,
}

// === impl Tracer ===

impl Tracer {
    pub(crate) fn new(group: &str, sample: f64, (spans, metrics): (mpsc::Sender<Span>, Metrics)) -> Self {
        Self(Some(Arc::new(Inner { ids: Ids::new(group), share: Share::new(sample), spans, metrics })))
    }

    /// A record is about to be passed through the rules. `None`: it is not recorded.
    #[must_use]
    pub fn passing(&self, record: &Record) -> Option<Box<Passing>> {
        let inner = self.0.as_ref()?;
        let (parent, ids) = (Parent::of(record).map(Arc::new), inner.ids.of(&record.origin));
        let context = inner.caused(parent.as_deref(), ids.trace, ids.process);
        if context.sampled == Sampled::No {
            return None;
        }
        let began = clock::nanos();
        Some(Box::new(Passing {
            inner: Arc::clone(inner),
            processed: Processed::of(record),
            parent,
            context,
            map: ids.map,
            began,
            asked: began,
            mapped: Mapped::default(),
            end: End::Done,
        }))
    }

    /// An attempt begins to deliver `events` to the endpoint `url` of `subscription`.
    #[must_use]
    pub fn attempt(&self, events: &[Arc<Emitted>], subscription: &str, url: &Url) -> Attempt {
        let Some(inner) = &self.0 else {
            // The trace of a record goes on all the same: its receiver is told of a piece of work below it.
            let parent = if let [event] = events { event.event.traceparent.as_deref() } else { None };
            let context = parent.map(|parent| parent.context().with_span(new_span()));
            return Attempt { context, recording: None };
        };
        let causes: Vec<Context> = events.iter().map(|emitted| inner.mapped(&emitted.event)).collect();
        let Some((context, cause)) = below(&causes) else { return Attempt { context: None, recording: None } };
        let record = events.first().and_then(|first| first.event.traceparent.clone());
        let recording = (context.sampled == Sampled::Yes).then(|| Recording {
            inner: Arc::clone(inner),
            span: Some(Box::new(Span {
                context,
                cause: cause.map(Cause::Ours),
                record: record.filter(|record| record.context().trace == context.trace),
                links: links(&causes, cause),
                began: clock::nanos(),
                ended: 0,
                work: Work::Attempt(Box::new(Attempted::of(events, subscription, url))),
                end: End::Failed(FailureCause::CutOff.as_str()),
            })),
        });
        Attempt { context: Some(context), recording }
    }
}

// === impl Inner ===

impl Inner {
    /// The piece of work `span` in the trace of `parent`, else in one that begins here.
    fn caused(&self, parent: Option<&Parent>, own: TraceId, span: SpanId) -> Context {
        match parent {
            Some(parent) => parent.context().with_span(span),
            None => Context { trace: own, span, sampled: self.share.has(own) },
        }
    }

    /// The piece of work that made `event`.
    fn mapped(&self, event: &IntegrationEvent) -> Context {
        let ids = self.ids.of(&event.origin);
        self.caused(event.traceparent.as_deref(), ids.trace, ids.map)
    }

    fn keep(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans(SpanFate::Dropped, 1);
        }
    }
}

// === impl Passing ===

impl Passing {
    /// The rules were asked, and said what it becomes.
    pub fn asked(&mut self, events: &[Arc<Emitted>]) {
        (self.asked, self.mapped) = (clock::nanos(), Mapped::of(events));
    }

    /// It could not be understood, for a reason out of few.
    pub fn failed(&mut self, reason: &'static str) {
        self.end = End::Failed(reason);
    }

    /// It was offered to all who get something of it.
    pub fn offered(self) {
        let Self { inner, processed, parent, context, map, began, asked, mapped, end } = self;
        let theirs = parent.as_ref().map(|parent| Cause::Theirs(parent.context().span));
        let span = |context, cause, ended, work| Span {
            context,
            cause,
            record: parent.clone(),
            links: Vec::new(),
            began,
            ended,
            work,
            end,
        };
        inner.keep(span(context.with_span(map), Some(Cause::Ours(context.span)), asked, Work::Map(mapped)));
        inner.keep(span(context, theirs, clock::nanos(), Work::Process(processed)));
    }
}

// === impl Attempt ===

impl Attempt {
    /// It is over. One that is dropped instead was cut off.
    pub fn ended(mut self, outcome: &Outcome) {
        if let Some(span) = self.recording.as_mut().and_then(|recording| recording.span.as_mut()) {
            span.end = match outcome {
                Outcome::Answered(answer) => End::Answered(answer.status),
                Outcome::Failed { cause, .. } => End::Failed(cause.as_str()),
            };
        }
    }
}

// === impl Recording ===

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            self.inner.keep(Span { ended: clock::nanos(), ..*span });
        }
    }
}

fn new_span() -> SpanId {
    SpanId::from_bytes(random::secret())
}

/// A new piece of work below all of `causes`, and the one it hangs under. What has causes in several traces belongs to none
/// of them: it begins one of its own, which is recorded when one of theirs is.
fn below(causes: &[Context]) -> Option<(Context, Option<SpanId>)> {
    let first = causes.first()?;
    if causes.iter().all(|cause| cause.trace == first.trace) {
        return Some((first.with_span(new_span()), Some(first.span)));
    }
    let recorded = causes.iter().any(|cause| cause.sampled == Sampled::Yes);
    let sampled = if recorded { Sampled::Yes } else { Sampled::No };
    Some((Context { trace: TraceId::from_bytes(random::secret()), span: new_span(), sampled }, None))
}

/// Those of `causes` that are recorded and that it does not hang under, each once.
fn links(causes: &[Context], under: Option<SpanId>) -> Vec<Context> {
    let mut links: Vec<Context> = Vec::new();
    for cause in causes.iter().filter(|cause| cause.sampled == Sampled::Yes && Some(cause.span) != under) {
        if links.len() < LINKS && !links.contains(cause) {
            links.push(*cause);
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::gauges::Gauges;
    use crate::model::id::EventId;
    use crate::model::outcome::{Answer, RetryAfter};
    use crate::model::record::{Header, Origin};
    use crate::model::time::Timestamp;
    use serde_json::Value;

    const YES: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NO: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn tracer(sample: f64, room: usize) -> (Tracer, mpsc::Receiver<Span>, Metrics) {
        let ((spans, queue), metrics) = (mpsc::channel(room), Metrics::new());
        (Tracer::new("g", sample, (spans, metrics.clone())), queue, metrics)
    }

    fn record(offset: i64, traceparent: Option<&str>) -> Record {
        let origin = Origin { topic: "t".into(), partition: 0, offset, timestamp: Timestamp::from_millis(0) };
        let header = |value: &str| Header { name: "traceparent".into(), value: Some(value.to_owned().into()) };
        Record { origin, key: None, headers: traceparent.into_iter().map(header).collect(), value: None }
    }

    fn event(record: &Record) -> Arc<Emitted> {
        Arc::new(Emitted::new(IntegrationEvent {
            id: EventId::derive(&record.origin, "m", 0),
            time: record.origin.timestamp,
            origin: record.origin.clone(),
            mapping: "m".into(),
            ord: 0,
            source: "s".into(),
            event_type: "t".into(),
            subject: None,
            tenant: None,
            key: None,
            traceparent: Parent::of(record).map(Arc::new),
            extensions: Vec::new(),
            data: Value::Null,
        }))
    }

    fn attempt(tracer: &Tracer, records: &[Record]) -> Attempt {
        let events: Vec<_> = records.iter().map(event).collect();
        tracer.attempt(&events, "sub_a", &"https://example.com/x".parse().unwrap())
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered(Answer { status, retry_after: RetryAfter::Absent, head: Default::default() })
    }

    /// All that was handed over.
    fn kept(queue: &mut mpsc::Receiver<Span>) -> Vec<Span> {
        std::iter::from_fn(|| queue.try_recv().ok()).collect()
    }

    #[test]
    fn switched_off_a_records_trace_goes_on_and_for_others_none_begins() {
        let tracer = Tracer::default();
        assert!(tracer.passing(&record(1, Some(YES))).is_none());
        let (parent, child) =
            (Context::parse(YES).unwrap(), attempt(&tracer, &[record(1, Some(YES))]).context.unwrap());
        assert_eq!((child.trace, child.sampled), (parent.trace, parent.sampled));
        assert_ne!(child.span, parent.span);
        assert!(attempt(&tracer, &[record(1, None)]).context.is_none());
        assert!(attempt(&tracer, &[record(1, Some(YES)), record(2, Some(YES))]).context.is_none());
    }

    #[test]
    fn what_the_record_says_about_sampling_counts_and_only_for_others_the_share() {
        for (sample, traceparent, recorded) in
            [(0.0, Some(YES), true), (1.0, Some(NO), false), (1.0, None, true), (0.0, None, false)]
        {
            let (tracer, mut queue, _) = tracer(sample, 8);
            tracer.passing(&record(1, traceparent)).into_iter().for_each(|passing| passing.offered());
            let context = attempt(&tracer, &[record(1, traceparent)]).context.unwrap();
            let wanted = if recorded { Sampled::Yes } else { Sampled::No };
            assert_eq!(context.sampled, wanted, "the receiver is told all the same");
            assert_eq!(kept(&mut queue).len(), if recorded { 3 } else { 0 }, "{sample} {traceparent:?}");
        }
    }

    #[test]
    fn every_attempt_hangs_under_the_mapping_of_its_record_whoever_makes_it_and_whenever() {
        for traceparent in [Some(YES), None] {
            let (first, mut queue, _) = tracer(1.0, 8);
            let mut passing = first.passing(&record(1, traceparent)).unwrap();
            passing.asked(&[event(&record(1, traceparent))]);
            passing.offered();
            attempt(&first, &[record(1, traceparent)]).ended(&answered(503));
            let (later, mut after, _) = tracer(1.0, 8);
            attempt(&later, &[record(1, traceparent)]).ended(&answered(200));
            let spans: Vec<Span> = kept(&mut queue).into_iter().chain(kept(&mut after)).collect();
            let [map, process, failed, accepted] = spans.as_slice() else { panic!("{spans:?}") };
            let theirs = traceparent.map(|text| Cause::Theirs(Context::parse(text).unwrap().span));
            let under = |span: &Span| Some(Cause::Ours(span.context.span));
            assert_eq!((process.cause, map.cause), (theirs, under(process)));
            assert_eq!((failed.cause, accepted.cause), (under(map), under(map)));
            assert_ne!(failed.context.span, accepted.context.span);
            assert!(spans.iter().all(|span| span.context.trace == map.context.trace));
            assert_eq!((failed.end, accepted.end), (End::Answered(503), End::Answered(200)));
            assert!(process.began <= map.began && map.ended <= process.ended);
            assert_eq!(traceparent.is_some(), map.context.trace == Context::parse(YES).unwrap().trace);
        }
    }

    #[test]
    fn a_batch_of_one_trace_belongs_to_it_and_one_of_several_links_to_those_that_are_recorded() {
        let (tracer, mut queue, _) = tracer(0.0, 8);
        attempt(&tracer, &[record(1, Some(YES)), record(2, Some(YES)), record(2, Some(YES))]).ended(&answered(200));
        let other = YES.replace("4bf9", "5bf9");
        attempt(&tracer, &[record(1, Some(YES)), record(2, None), record(3, Some(&other))]).ended(&answered(200));
        assert_eq!(attempt(&tracer, &[record(1, None), record(2, None)]).context.unwrap().sampled, Sampled::No);
        let spans = kept(&mut queue);
        let [one, several] = spans.as_slice() else { panic!("{spans:?}") };
        let map = |offset, parent: &str| {
            let context = Context::parse(parent).unwrap();
            context.with_span(Ids::new("g").of(&record(offset, None).origin).map)
        };
        assert_eq!((one.cause, &one.links), (Some(Cause::Ours(map(1, YES).span)), &vec![map(2, YES)]));
        assert_eq!((several.cause, &several.links), (None, &vec![map(1, YES), map(3, &other)]));
        assert!(several.links.iter().all(|link| link.trace != several.context.trace));
        let many: Vec<Record> = (0..300).map(|n| record(n, Some(if n % 2 == 0 { YES } else { &other }))).collect();
        attempt(&tracer, &many).ended(&answered(200));
        assert_eq!(kept(&mut queue)[0].links.len(), LINKS);
    }

    #[test]
    fn an_attempt_that_is_cut_off_is_recorded_as_one_and_a_record_that_is_given_back_is_not() {
        let (tracer, mut queue, _) = tracer(1.0, 8);
        drop(attempt(&tracer, &[record(1, None)]));
        drop(tracer.passing(&record(1, None)));
        let spans = kept(&mut queue);
        assert_eq!(spans.iter().map(|span| span.end).collect::<Vec<_>>(), [End::Failed("cut_off")]);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_and_nobody_waits() {
        let (tracer, queue, metrics) = tracer(1.0, 2);
        (0..7).for_each(|n| attempt(&tracer, &[record(n, None)]).ended(&answered(200)));
        let dropped = |count: u32| {
            let text = metrics.scrape(&Gauges::default());
            assert!(text.contains(&format!("hookline_spans_total{{result=\"dropped\"}} {count}\n")), "{text}");
        };
        dropped(5);
        drop(queue);
        attempt(&tracer, &[record(9, None)]).ended(&answered(200));
        dropped(6);
    }
}
