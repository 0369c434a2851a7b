//! What `/livez` and `/readyz` ask, and what a scrape tells as `hookline_ready`.

use crate::model::time::Timestamp;
use crate::runtime::status::{Health, Report};
use std::time::Duration;

/// How long intake may not go round its loop. A round takes 100 ms; a call into librdkafka, some seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Whether something holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    /// What is wrong, when it does not.
    pub(crate) wrong: Option<String>,
}

/// Whether our own loop goes round. A process that stops has no loop to look at, and ends by itself.
pub(crate) fn alive(report: &Report, now: Timestamp) -> Check {
    let silent = now.since(report.intake_beat);
    let stuck = !report.stopping && silent > SILENCE;
    Check { name: "intake", wrong: stuck.then(|| format!("no sign of life for {} s", silent.as_secs())) }
}

/// What has to hold for it to take work.
pub(crate) fn readiness(report: &Report) -> [Check; 3] {
    let check = |name, health: &Health| match health {
        Health::Good => Check { name, wrong: None },
        Health::Bad(why) => Check { name, wrong: Some(why.clone()) },
    };
    let stopping = report.stopping.then(|| "a stop was asked for".into());
    [check("kafka", &report.kafka), check("store", &report.store), Check { name: "process", wrong: stopping }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_anything_was_reported_it_is_not_ready() {
        assert!(readiness(&Report::default()).iter().any(|check| check.wrong.is_some()));
    }

    #[test]
    fn a_process_that_stops_is_not_taken_for_dead() {
        let report = Report { stopping: true, ..Report::default() };
        assert_eq!(alive(&report, Timestamp::from_millis(1_000_000)).wrong, None);
    }
}
