//! `v1a`: ed25519 (SW-7, SW-8). The receiver holds only the public key.

use crate::deliver::error::SecretError;
use crate::deliver::sign::message::Message;
use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::fmt;

/// How a private key begins.
pub const PREFIX: &str = "whsk_";

/// How a public key begins.
pub const PUBLIC_PREFIX: &str = "whpk_";

/// How a signature of this scheme begins.
const VERSION: &str = "v1a,";

/// A private key.
#[derive(Clone)]
pub struct Key(SigningKey);

/// A public key; `Display` writes it as receivers get it.
#[derive(Clone, Copy)]
pub struct Public(VerifyingKey);

// === impl Key ===

impl Key {
    /// Reads a key without its prefix: a seed of 32 bytes, or seed and public half.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let bytes = STANDARD.decode(text).map_err(|_| SecretError::BadBase64)?;
        if let Ok(seed) = <[u8; 32]>::try_from(bytes.as_slice()) {
            return Ok(Self(SigningKey::from_bytes(&seed)));
        }
        let pair = <[u8; 64]>::try_from(bytes.as_slice()).map_err(|_| SecretError::BadLength)?;
        SigningKey::from_keypair_bytes(&pair).map(Self).map_err(|_| SecretError::PublicHalfMismatch)
    }

    /// What receivers verify with.
    #[must_use]
    pub fn public(&self) -> Public {
        Public(self.0.verifying_key())
    }

    /// Writes the signature of `message` behind `header`.
    pub fn sign(&self, message: &Message<'_>, header: &mut String) {
        header.push_str(VERSION);
        STANDARD.encode_string(self.0.sign(&whole(message)).to_bytes(), header);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(v1a)")
    }
}

// === impl Public ===

impl Public {
    /// Reads a public key without its prefix.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let bytes = STANDARD.decode(text).map_err(|_| SecretError::BadBase64)?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| SecretError::BadLength)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| SecretError::BadLength)
    }

    /// Whether `signature` was made over `message` with the private half of this key.
    #[must_use]
    pub fn verify(&self, message: &Message<'_>, signature: &str) -> bool {
        let signature = signature.strip_prefix(VERSION).and_then(|text| STANDARD.decode(text).ok());
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.0.verify_strict(&whole(message), &signature).is_ok())
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Public(v1a)")
    }
}

/// The text of the private key of a seed: prefix, seed and public half.
#[must_use]
pub fn written(seed: &[u8; 32]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(SigningKey::from_bytes(seed).to_keypair_bytes()))
}

/// ed25519 reads its message twice: it has to be in one piece.
fn whole(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.id.len() + message.body.len() + 24);
    message.each(|part| bytes.extend_from_slice(part));
    bytes
}
