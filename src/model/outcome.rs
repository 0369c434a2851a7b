//! What came of one HTTP exchange.

use bytes::Bytes;
use std::{fmt, time::Duration};

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered, with whatever status.
    Answered(Answer),
    /// No answer came: why, and a sentence for people.
    Failed {
        /// The cause, from the closed list of error codes.
        cause: FailureCause,
        /// A sentence for people; no secrets, no URL.
        detail: String,
    },
}

/// An endpoint's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What its `Retry-After` asks for (RFC 9110 section 10.2.3).
    pub retry_after: RetryAfter,
    /// The first bytes of the body, at most 1 KiB.
    pub head: Bytes,
}

/// What a `Retry-After` header said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// There was none.
    Absent,
    /// So many seconds, rounded up, not capped yet.
    Seconds(Duration),
    /// A date this far ahead (zero when it has passed), not capped yet.
    Date(Duration),
    /// Not a value RFC 9110 or our lenient reading knows, or repeated: ignored and counted.
    Malformed,
}

/// Why no answer came; the `error` codes of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureCause {
    /// The name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The whole exchange took longer than the subscription's timeout.
    Timeout,
    /// The connection broke before the answer was whole.
    Reset,
    /// The address may not be called (egress guard).
    BlockedAddress,
    /// The request could not be built within its limits.
    TooLarge,
    /// The other side does not speak HTTP.
    Protocol,
    /// The subscription's `transform` made nothing of the event.
    Transform,
    /// We cut the attempt off (stop, revoke): the outcome is unknown.
    CutOff,
}

// === impl Outcome ===

impl Outcome {
    /// Whether the endpoint accepted: any 2xx (DESIGN section 7).
    #[must_use]
    pub fn accepted(&self) -> bool {
        matches!(self, Self::Answered(answer) if (200..300).contains(&answer.status))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => write!(f, "status {}", answer.status),
            Self::Failed { cause, detail } => write!(f, "{}: {detail}", cause.as_str()),
        }
    }
}

// === impl FailureCause ===

impl FailureCause {
    /// Every cause, for tables.
    pub const ALL: [Self; 10] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::BlockedAddress,
        Self::TooLarge,
        Self::Protocol,
        Self::Transform,
        Self::CutOff,
    ];

    /// The code as the API, the log and the store write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::BlockedAddress => "blocked_address",
            Self::TooLarge => "too_large",
            Self::Protocol => "protocol",
            Self::Transform => "transform",
            Self::CutOff => "cut_off",
        }
    }
}
