//! What an error of the HTTP client means, in our closed list of causes, and in words without URL or secrets.

use crate::egress::exchange::ExchangeError;
use crate::egress::resolver::ResolveError;
use crate::model::outcome::FailureCause;
use std::error::Error;
use std::io;

/// Longest detail, in characters: it goes into the log and the store with every failed attempt.
const DETAIL: usize = 200;

/// One link of an error's chain.
type Cause<'e> = &'e (dyn Error + 'static);

/// Reads an error of the client; `scheme` is that of the URL, and says whether TLS was spoken.
#[must_use]
pub fn classify(error: &reqwest::Error, scheme: &str) -> ExchangeError {
    // The client's own Display names the URL: only what lies below it is told.
    let causes: Vec<Cause<'_>> = std::iter::successors(error.source(), |cause| (*cause).source()).collect();
    for cause in &causes {
        match cause.downcast_ref::<ResolveError>() {
            Some(ResolveError::Refused(refusal)) => return told(FailureCause::BlockedAddress, &refusal.detail),
            Some(ResolveError::Lookup(source)) => return told(FailureCause::Dns, &source.to_string()),
            None => {}
        }
    }
    let last = causes.last().map_or_else(|| "no detail".to_owned(), ToString::to_string);
    if error.is_connect() {
        return connecting(error, &causes, scheme, &last);
    }
    if error.is_builder() {
        return told(FailureCause::Protocol, "the request cannot be written");
    }
    let cause = if causes.iter().any(|cause| broke(*cause)) { FailureCause::Reset } else { FailureCause::Protocol };
    told(cause, &last)
}

/// The whole exchange took longer than its deadline.
#[must_use]
pub fn timed_out(seconds: f64) -> ExchangeError {
    told(FailureCause::Timeout, &format!("no whole answer within {seconds} s"))
}

/// The guard refused the URL or the address behind the answer.
#[must_use]
pub fn blocked(detail: &str) -> ExchangeError {
    told(FailureCause::BlockedAddress, detail)
}

fn connecting(error: &reqwest::Error, causes: &[Cause<'_>], scheme: &str, last: &str) -> ExchangeError {
    if error.is_timeout() {
        return told(FailureCause::Connect, "no connection within the limit");
    }
    // The connector names the step that failed: `tcp connect error`. What fails after it, with https, is TLS.
    let tcp = causes.iter().any(|cause| cause.to_string().starts_with("tcp "));
    let cause = if tcp || scheme != "https" { FailureCause::Connect } else { FailureCause::Tls };
    told(cause, last)
}

/// Whether the connection broke, rather than bringing what is not HTTP.
fn broke(cause: Cause<'_>) -> bool {
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof};
        let kinds = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof];
        return kinds.contains(&error.kind());
    }
    // The client library's own words for a connection that ended too soon.
    let text = cause.to_string();
    ["connection closed before message completed", "operation was canceled", "channel closed", "connection error"]
        .iter()
        .any(|known| text.starts_with(known))
}

fn told(cause: FailureCause, detail: &str) -> ExchangeError {
    ExchangeError { cause, detail: detail.chars().filter(|c| !c.is_control()).take(DETAIL).collect() }
}
