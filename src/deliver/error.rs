//! Why a subscription cannot be delivered to, and why a request cannot be built.

use crate::expr::failure::Failure;
use crate::model::outcome::{FailureCause, Outcome};

/// Why a subscription has no sending side. Names what is wrong, never a secret's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// A header's name is not a token of RFC 9110.
    #[error("`{0}` is not a header name")]
    HeaderName(String),
    /// A header's value holds a line break, NUL or another character that cannot be sent.
    #[error("the value of header `{0}` holds characters that cannot be sent (visible ASCII and spaces can)")]
    HeaderValue(String),
    /// Hookline or HTTP itself sets this header (SW-22).
    #[error("header `{0}` is set by hookline and cannot be configured")]
    HeaderReserved(String),
    /// The same header is configured twice.
    #[error("header `{0}` is configured twice")]
    HeaderTwice(String),
    /// All configured headers together are too long.
    #[error("the headers are longer than {limit} bytes")]
    HeadersTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A basic user name holds a colon, which would end it (RFC 7617).
    #[error("the user name holds a colon")]
    UserName,
    /// The bearer token, password or header value cannot be sent.
    #[error("the {0} holds characters that cannot be sent (visible ASCII and spaces can)")]
    AuthValue(&'static str),
    /// The transform is none.
    #[error("the transform cannot be used: {0}")]
    Transform(String),
    /// A signing secret is none.
    #[error("a signing secret is not usable")]
    Secret(#[source] SecretError),
    /// There is no signing secret, or it is of another scheme.
    #[error("signing scheme `{scheme}` needs a secret that begins with `{prefix}`")]
    SecretScheme {
        /// The subscription's scheme.
        scheme: &'static str,
        /// How its secrets begin.
        prefix: &'static str,
    },
}

/// Why a text is not a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing follows the prefix.
    #[error("the secret is empty")]
    Empty,
    /// Not base64 in the standard alphabet.
    #[error("the secret is not base64 (standard alphabet)")]
    BadBase64,
    /// Not as long as its scheme asks: 24 to 64 bytes, 32 or 64 for ed25519.
    #[error("the secret has the wrong length: 24 to 64 bytes, for ed25519 32 or 64")]
    BadLength,
    /// The second half of a 64-byte ed25519 key does not belong to the first.
    #[error("the public half of the key does not belong to its private half")]
    PublicHalfMismatch,
    /// A public key, where signing needs the private one.
    #[error("a public key cannot sign")]
    Public,
}

// === impl SecretError ===

impl SecretError {
    /// A short code for tables.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::BadBase64 => "bad_base64",
            Self::BadLength => "bad_length",
            Self::PublicHalfMismatch => "public_half_mismatch",
            Self::Public => "public",
        }
    }
}

/// Why no request can be made of an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The headers that an event brings are too long to be sent.
    #[error("the event's attributes need {bytes} bytes of headers, more than {limit}")]
    TooLarge {
        /// What they need.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The subscription's transform makes nothing of it.
    #[error("the transform fails: {0}")]
    Transform(#[source] Failure),
}

// === impl BuildError ===

impl BuildError {
    /// It as what came of the attempt.
    pub(crate) fn into_outcome(self) -> Outcome {
        let cause = match self {
            Self::TooLarge { .. } => FailureCause::TooLarge,
            Self::Transform(_) => FailureCause::Transform,
        };
        Outcome::Failed { cause, detail: self.to_string() }
    }
}
