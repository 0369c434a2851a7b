//! How an endpoint says that it wants the events, before any is sent to it.

use crate::model::secret::Secret;
use crate::model::time::Timestamp;

/// What is asked of an endpoint, and what it said.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// How it is asked.
    pub proof: Proof,
    /// Who knows this consents for the endpoint: nobody but who answers there hears of it. Each URL has another.
    pub grant: Secret,
    /// What it said; `None`: nothing yet, or no.
    pub consent: Option<Consent>,
}

/// How an endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Proof {
    /// The handshake of CloudEvents web hooks: OPTIONS (WH-4).
    CloudEvents,
    /// A GET with a token that is sent back.
    Challenge,
}

/// An endpoint's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// When it was given.
    pub at: Timestamp,
    /// As whom we were taken; every delivery says it again (WH-6). `None` when nobody asked.
    pub origin: Option<String>,
    /// Requests per minute that it allows; `None`: it did not say, or any.
    pub per_minute: Option<u32>,
}

// === impl Proof ===

impl Proof {
    /// Every way, for tables.
    pub const ALL: [Self; 2] = [Self::CloudEvents, Self::Challenge];

    /// The name as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::Challenge => "challenge",
        }
    }
}
