//! An answer, read: status, what `Retry-After` asks for (HT-1 to HT-3), the first bytes of the body.

use crate::egress::exchange::Response;
use crate::model::outcome::{Answer, RetryAfter};
use crate::model::time::Timestamp;
use http::{HeaderMap, header};
use std::time::{Duration, UNIX_EPOCH};

/// How far the answer's own `Date` may be from our clock to be trusted (HT-3).
const SKEW: Duration = Duration::from_secs(300);

/// Reads an answer that came at `now`.
#[must_use]
pub fn read(response: Response, now: Timestamp) -> Answer {
    // An accepted delivery has no next attempt: what it says about one is not read, nor counted as malformed.
    let accepted = (200..300).contains(&response.status);
    let retry_after = if accepted { RetryAfter::Absent } else { retry_after(&response.headers, now) };
    Answer { status: response.status, retry_after, head: response.head }
}

/// What `Retry-After` says at `now`; not capped.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> RetryAfter {
    let mut values = headers.get_all(header::RETRY_AFTER).iter();
    let Some(value) = values.next() else { return RetryAfter::Absent };
    // Repeated, it says nothing: neither value is better than the other.
    let text = if values.next().is_some() { None } else { value.to_str().ok() };
    let Some(text) = text.map(|text| text.trim_matches([' ', '\t'])) else { return RetryAfter::Malformed };
    if let Some(wait) = seconds(text) {
        return RetryAfter::Seconds(wait);
    }
    match date(text) {
        Some(date) => RetryAfter::Date(date.since(their_now(headers, now))),
        None => RetryAfter::Malformed,
    }
}

/// Digits, leniently with a fraction, which is rounded up; beyond what fits, the most that does.
fn seconds(text: &str) -> Option<Duration> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let more = u64::from(fraction.bytes().any(|b| b != b'0'));
    Some(Duration::from_secs(whole.saturating_add(more)))
}

/// One of the three HTTP dates (RFC 9110 section 5.6.7).
fn date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// The answer's own `Date` where it is valid and near our clock, else our clock.
fn their_now(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    let theirs = headers.get(header::DATE).and_then(|value| date(value.to_str().ok()?));
    theirs.filter(|theirs| theirs.since(now) <= SKEW && now.since(*theirs) <= SKEW).unwrap_or(now)
}
