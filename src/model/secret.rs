//! Secrets: no `Debug`, no serialisation; the text is reached only by naming it.

use crate::model::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// A secret text. `Debug` prints a placeholder.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

/// One signing secret of a subscription, as written (`whsec_...`, `whsk_...`).
#[derive(Clone, Debug)]
pub struct SigningSecret {
    /// The secret's text.
    pub text: Secret,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops signing; `None`: the current one.
    pub expires: Option<Timestamp>,
}

// === impl Secret ===

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself: for signing, sealing and comparing, never for printing.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl PartialEq for SigningSecret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.created == other.created && self.expires == other.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_its_debug_text() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}
