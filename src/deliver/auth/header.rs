//! A header of the subscriber's choice that holds a secret.

use crate::deliver::error::TargetError;
use crate::deliver::headers;
use crate::model::secret::Secret;
use http::{HeaderName, HeaderValue};

/// The header `name` with `value`.
///
/// # Errors
/// [`TargetError`] when the name is no header name or reserved, or the value cannot be sent.
pub(crate) fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), TargetError> {
    headers::parse(name, value.expose())
}
