//! Secrets at rest: XChaCha20-Poly1305 with a random nonce, the row's key as associated data, and the key's id in
//! the envelope, so that a secret cannot be moved to another row and several keys can be in use (SEC-8).
//!
//! Without a key secrets are stored as they are; the directory's permissions are all that guards them then.

use crate::model::secret::Secret;
use crate::runtime::random;
use crate::store::error::{StoreError, hex};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const NONCE: usize = 24;

/// Seals and opens secrets.
pub(crate) struct Seal(Vec<([u8; 8], XChaCha20Poly1305)>);

// === impl Seal ===

impl Seal {
    /// The first key seals, all open.
    pub(crate) fn new(keys: &[Secret]) -> Result<Self, StoreError> {
        let key = |(at, text): (usize, &Secret)| {
            let bytes = STANDARD.decode(text.expose()).ok().filter(|bytes| bytes.len() == 32);
            let bytes = bytes.ok_or(StoreError::Key(at))?;
            let mut id = [0; 8];
            id.copy_from_slice(&Sha256::digest(&bytes)[..8]);
            let key: Key = <[u8; 32]>::try_from(bytes.as_slice()).expect("its length was checked").into();
            Ok((id, XChaCha20Poly1305::new(&key)))
        };
        Ok(Self(keys.iter().enumerate().map(key).collect::<Result<_, StoreError>>()?))
    }

    pub(crate) fn seal(&self, row: &[u8], plain: &[u8]) -> Vec<u8> {
        let Some((id, cipher)) = self.0.first() else { return [&[PLAIN][..], plain].concat() };
        let nonce: [u8; NONCE] = random::secret();
        let payload = Payload { msg: plain, aad: row };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret is far shorter than the limit");
        [&[SEALED][..], id, &nonce, &sealed].concat()
    }

    pub(crate) fn open(&self, row: &[u8], envelope: &[u8]) -> Result<Vec<u8>, StoreError> {
        let broken = || StoreError::Unsealed(hex(row));
        match envelope.split_first().ok_or_else(broken)? {
            (&PLAIN, plain) => Ok(plain.to_vec()),
            (&SEALED, rest) => {
                let (id, rest) = rest.split_first_chunk::<8>().ok_or_else(broken)?;
                let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(broken)?;
                let key = self.0.iter().find(|(known, _)| known == id);
                let (_, cipher) = key.ok_or_else(|| StoreError::UnknownKey(hex(id)))?;
                let payload = Payload { msg: sealed, aad: row };
                cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| broken())
            }
            _ => Err(broken()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret {
        Secret::new(STANDARD.encode([byte; 32]))
    }

    #[test]
    fn sec_8_a_sealed_secret_opens_with_its_key_in_its_row_only() {
        let seal = Seal::new(&[key(1)]).unwrap();
        let envelope = seal.seal(b"row", b"whsec_very_secret");
        assert!(!envelope.windows(6).any(|part| part == b"whsec_"));
        assert_eq!(seal.open(b"row", &envelope).unwrap(), b"whsec_very_secret");
        assert!(matches!(seal.open(b"other", &envelope), Err(StoreError::Unsealed(_))));
        let mut changed = envelope.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(seal.open(b"row", &changed), Err(StoreError::Unsealed(_))));
    }

    #[test]
    fn after_a_change_of_keys_old_secrets_still_open() {
        let envelope = Seal::new(&[key(1)]).unwrap().seal(b"row", b"s");
        assert_eq!(Seal::new(&[key(2), key(1)]).unwrap().open(b"row", &envelope).unwrap(), b"s");
        assert!(matches!(Seal::new(&[key(2)]).unwrap().open(b"row", &envelope), Err(StoreError::UnknownKey(_))));
    }

    #[test]
    fn a_key_of_the_wrong_length_is_named() {
        let short = Secret::new(STANDARD.encode([0; 16]));
        assert!(matches!(Seal::new(&[key(1), short]), Err(StoreError::Key(1))));
    }
}
