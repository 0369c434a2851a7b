//! Traces: a record is followed from whoever produced it, through the rules, to each attempt to deliver what it became.
//!
//! Loops say what they do, a [`Tracer`] says as which piece of work of which trace, and keeps what is sampled for the
//! [`Exporter`], which sends it to a collector. A record that names a trace is a part of it, and recorded when that is;
//! for others one begins here, of which a share is recorded. Nothing waits for a collector: what finds no room in the
//! queue is counted and forgotten. Switched off, it costs one look at a pointer.

pub mod exporter;
mod ids;
mod otlp;
mod sampling;
pub mod settings;
mod span;
pub mod tracer;
mod wire;

use crate::egress::error::EgressError;
use crate::metrics::Metrics;
use crate::traces::exporter::Exporter;
use crate::traces::settings::TracesSettings;
use crate::traces::tracer::Tracer;
use tokio::sync::mpsc;

/// Spans that wait for the exporter: about two megabytes at most, and more than a second's worth of what it can send.
const QUEUE: usize = 4_096;

/// Begins to trace what is done with the records of `group`; without settings nothing is recorded.
///
/// # Errors
/// The certificates cannot be read, or TLS cannot be set up.
pub fn begin(
    settings: Option<&TracesSettings>,
    group: &str,
    metrics: &Metrics,
) -> Result<(Tracer, Option<Exporter>), EgressError> {
    let Some(settings) = settings else { return Ok((Tracer::default(), None)) };
    let (spans, queue) = mpsc::channel(QUEUE);
    let exporter = Exporter::new(settings, group, (queue, metrics.clone()))?;
    Ok((Tracer::new(group, settings.sample, (spans, metrics.clone())), Some(exporter)))
}
