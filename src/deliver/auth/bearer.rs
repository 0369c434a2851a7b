//! `Authorization: Bearer`, sent at once (WH-3).

use crate::deliver::error::TargetError;
use crate::deliver::headers;
use crate::model::secret::Secret;
use http::{HeaderName, HeaderValue, header};

/// The header for `token`.
///
/// # Errors
/// [`TargetError::AuthValue`] when the token is empty or cannot be sent.
pub(crate) fn header(token: &Secret) -> Result<(HeaderName, HeaderValue), TargetError> {
    if token.expose().is_empty() {
        return Err(TargetError::AuthValue("bearer token"));
    }
    let value = headers::visible(&format!("Bearer {}", token.expose()));
    Ok((header::AUTHORIZATION, value.ok_or(TargetError::AuthValue("bearer token"))?))
}
