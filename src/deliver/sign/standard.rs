//! `v1`: HMAC-SHA256 with a shared secret (SW-6, SW-8, SW-9).

use crate::deliver::error::SecretError;
use crate::deliver::sign::message::{Made, Message};
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// How a shared secret begins; may be left out (SW-9).
pub const PREFIX: &str = "whsec_";

/// How a signature of this scheme begins.
const VERSION: &str = "v1,";

/// Bytes of a secret made here (SW-8).
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// Padding may be missing when read; it is always written (SW-9).
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A shared secret, ready to sign: the hash has taken in the key once and for all.
#[derive(Clone)]
pub struct Key {
    mac: Hmac<Sha256>,
    len: usize,
}

// === impl Key ===

impl Key {
    /// Reads a secret, with or without its prefix.
    ///
    /// # Errors
    /// [`SecretError`]; the length is judged only of one that is made now.
    pub fn parse(text: &str, made: Made) -> Result<Self, SecretError> {
        let key = decode(text.strip_prefix(PREFIX).unwrap_or(text))?;
        if key.is_empty() {
            return Err(SecretError::Empty);
        }
        if made == Made::Now && !LENGTH.contains(&key.len()) {
            return Err(SecretError::BadLength);
        }
        let mac = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
        Ok(Self { mac, len: key.len() })
    }

    /// Bytes of the secret.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "an empty key cannot be built")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Writes the signature of `message` behind `header`.
    pub fn sign(&self, message: &Message<'_>, header: &mut String) {
        header.push_str(VERSION);
        STANDARD.encode_string(self.mac(message).finalize().into_bytes(), header);
    }

    /// Whether `signature` is ours over `message`; compares in constant time.
    #[must_use]
    pub fn verify(&self, message: &Message<'_>, signature: &str) -> bool {
        let signature = signature.strip_prefix(VERSION).and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| self.mac(message).verify_slice(&signature).is_ok())
    }

    fn mac(&self, message: &Message<'_>) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        message.each(|part| mac.update(part));
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(v1)")
    }
}

/// A shared secret as it is stored and shown: with prefix and padding; what is no secret stays as it is.
#[must_use]
pub fn canonical(text: &str) -> String {
    match decode(text.strip_prefix(PREFIX).unwrap_or(text)) {
        Ok(key) => written(&key),
        Err(_) => text.to_owned(),
    }
}

/// The text of a secret of these bytes.
#[must_use]
pub fn written(key: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(key))
}

fn decode(text: &str) -> Result<Vec<u8>, SecretError> {
    LENIENT.decode(text).map_err(|_| SecretError::BadBase64)
}
