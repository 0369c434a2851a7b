//! What can be wrong with a topic selector, and what a failed expression is told as.

use crate::expr::failure::{Failure, FailureKind};
use crate::expr::mistake::join;
use crate::model::quarantine::{Fault, FaultReason};

/// Why a text selects no topics.
#[derive(Debug, thiserror::Error)]
pub enum SelectorError {
    /// Not a name that Kafka allows.
    #[error("`{0}` is not a topic name: 1 to 249 of the characters a-z A-Z 0-9 . _ -")]
    Name(String),
    /// Not a regular expression.
    #[error("the pattern is not a regular expression: {}", .0.to_string().lines().last().unwrap_or_default())]
    Pattern(#[source] regex::Error),
}

/// The fault of an expression that failed in `field` of `mapping`.
pub(crate) fn failed(mapping: &str, field: &str, failure: Failure) -> Fault {
    let reason = match failure.kind {
        FailureKind::Fault => FaultReason::Map,
        FailureKind::Limit => FaultReason::Limit,
    };
    Fault {
        reason,
        mapping: Some(mapping.to_owned()),
        field: Some(join(field, &failure.field)),
        expression: failure.expression,
        detail: failure.what,
    }
}
