//! `Authorization: Basic` (RFC 7617), sent at once, never as an answer to a challenge (WH-3).

use crate::deliver::error::TargetError;
use crate::model::secret::Secret;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header};

/// The header for `username` and `password`, in UTF-8.
///
/// # Errors
/// [`TargetError::UserName`] when the name holds a colon; [`TargetError::AuthValue`] when either holds control characters.
pub(crate) fn header(username: &str, password: &Secret) -> Result<(HeaderName, HeaderValue), TargetError> {
    if username.contains(':') {
        return Err(TargetError::UserName);
    }
    if username.chars().chain(password.expose().chars()).any(char::is_control) {
        return Err(TargetError::AuthValue("user name or password"));
    }
    let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
    let value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 is visible ASCII");
    Ok((header::AUTHORIZATION, value))
}
