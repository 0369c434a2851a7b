//! Versions as entity tags: `ETag`, `If-Match` (RFC 9110 sections 8.8.3 and 13.1.1).

use crate::web::api::problem::{Kind, Problem};
use axum::http::{HeaderMap, HeaderValue, header};

/// What a change is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing: it is applied to whatever is there.
    None,
    /// One of these tags, as written.
    Tags(Vec<String>),
}

/// The tag of a version.
pub(crate) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&tag(version)).expect("digits between quotes")
}

// === impl Condition ===

impl Condition {
    /// Reads `If-Match`. `*` is fulfilled by whatever is there.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(header::IF_MATCH).iter().peekable();
        if lines.peek().is_none() {
            return Self::None;
        }
        let texts = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let tags: Vec<String> = texts.map(|tag| tag.trim().to_owned()).collect();
        if tags.len() == 1 && tags[0] == "*" { Self::None } else { Self::Tags(tags) }
    }

    /// That `version` is what was meant. Weak tags never match: versions are exact.
    ///
    /// # Errors
    /// 412 with the tag that is there.
    pub(crate) fn check(&self, version: u64) -> Result<(), Problem> {
        match self {
            Self::Tags(tags) if !tags.contains(&tag(version)) => Err(stale(version)),
            Self::Tags(_) | Self::None => Ok(()),
        }
    }
}

/// It has another version than the one that was meant.
pub(crate) fn stale(version: u64) -> Problem {
    let what = format!("it has version {version}: read it again, then change it");
    Problem::of(Kind::PreconditionFailed, what).with(header::ETAG, etag(version))
}

fn tag(version: u64) -> String {
    format!("\"{version}\"")
}
