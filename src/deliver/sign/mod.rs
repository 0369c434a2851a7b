//! Standard Webhooks signatures: the table of schemes. Keys as users write them, signing, and verifying as receivers do.
//!
//! What is signed are the bytes `{id}.{timestamp}.{body}` (SW-2): never a text, so that any body can be signed.

pub mod ed25519;
pub mod message;
pub mod standard;

use crate::deliver::error::SecretError;
use crate::deliver::sign::message::{Made, Message};
use crate::model::subscription::Signing;
use crate::model::time::Timestamp;
use std::time::Duration;

/// How far a `webhook-timestamp` may be from the verifier's clock, both ways (SW-12).
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// A key that signs and verifies. `Debug` shows its scheme only.
#[derive(Clone, Debug)]
pub enum Key {
    /// `whsec_`: HMAC-SHA256.
    Standard(standard::Key),
    /// `whsk_`: ed25519.
    Ed25519(ed25519::Key),
}

/// A key that verifies: a symmetric one, or the public half of an ed25519 key. `Debug` shows its scheme only.
#[derive(Clone, Debug)]
pub enum Verifier {
    /// `whsec_`.
    Standard(standard::Key),
    /// `whpk_`.
    Ed25519(ed25519::Public),
}

/// What a receiver reads of a delivery; a header that is absent is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`.
    pub signature: Option<&'a str>,
    /// The body, as it came.
    pub body: &'a [u8],
}

/// Why a delivery is not authentic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// One of the three headers is absent.
    #[error("a webhook header is missing")]
    MissingHeader,
    /// The timestamp is no integer.
    #[error("the timestamp is not an integer")]
    BadTimestamp,
    /// It was sent too long ago.
    #[error("the timestamp is too old")]
    TooOld,
    /// It claims to come from the future.
    #[error("the timestamp is too far ahead")]
    TooNew,
    /// No signature fits any key.
    #[error("no signature matches")]
    NoMatch,
}

/// Reads a signing secret: `whsec_...`, `whsk_...`, or a symmetric one without its prefix.
///
/// # Errors
/// [`SecretError`].
pub fn parse(text: &str, made: Made) -> Result<Key, SecretError> {
    match (text.strip_prefix(ed25519::PREFIX), text.starts_with(ed25519::PUBLIC_PREFIX)) {
        (Some(key), _) => ed25519::Key::parse(key).map(Key::Ed25519),
        (None, true) => Err(SecretError::Public),
        (None, false) => standard::Key::parse(text, made).map(Key::Standard),
    }
}

/// Reads a key for verifying: a symmetric secret, `whpk_...`, or `whsk_...`, whose public half is used.
///
/// # Errors
/// [`SecretError`].
pub fn parse_verifier(text: &str) -> Result<Verifier, SecretError> {
    match text.strip_prefix(ed25519::PUBLIC_PREFIX) {
        Some(public) => ed25519::Public::parse(public).map(Verifier::Ed25519),
        None => parse(text, Made::Elsewhere).map(|key| key.verifier()),
    }
}

/// How the secrets of a scheme begin.
#[must_use]
pub fn prefix(signing: Signing) -> &'static str {
    match signing {
        Signing::Standard => standard::PREFIX,
        Signing::Ed25519 => ed25519::PREFIX,
    }
}

/// The `webhook-signature` of `message`: one signature a key, in their order, with a space between (SW-10).
pub fn sign<'k>(keys: impl Iterator<Item = &'k Key>, message: &Message<'_>) -> String {
    let mut header = String::with_capacity(96);
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        match key {
            Key::Standard(key) => key.sign(message, &mut header),
            Key::Ed25519(key) => key.sign(message, &mut header),
        }
    }
    header
}

/// Verifies a delivery at `now`: one signature that fits one key is enough; versions we do not know are skipped.
///
/// # Errors
/// [`VerifyError`].
pub fn verify(keys: &[Verifier], signed: &Signed<'_>, now: Timestamp) -> Result<(), VerifyError> {
    let (Some(id), Some(timestamp), Some(signature)) = (signed.id, signed.timestamp, signed.signature) else {
        return Err(VerifyError::MissingHeader);
    };
    if timestamp.is_empty() || !timestamp.bytes().all(|b| b.is_ascii_digit()) {
        return Err(VerifyError::BadTimestamp);
    }
    let timestamp: i64 = timestamp.parse().map_err(|_| VerifyError::BadTimestamp)?;
    let tolerance = TOLERANCE.as_secs() as i64;
    match now.as_seconds().saturating_sub(timestamp) {
        age if age > tolerance => return Err(VerifyError::TooOld),
        age if age < -tolerance => return Err(VerifyError::TooNew),
        _ => {}
    }
    let message = Message { id, timestamp, body: signed.body };
    let fits = |signature: &str| {
        keys.iter().any(|key| match key {
            Verifier::Standard(key) => key.verify(&message, signature),
            Verifier::Ed25519(key) => key.verify(&message, signature),
        })
    };
    if signature.split(' ').any(fits) { Ok(()) } else { Err(VerifyError::NoMatch) }
}

/// Whether `id` can be a `webhook-id`: it cannot hold what divides the signed parts (SW-4).
#[must_use]
pub fn valid_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

// === impl Key ===

impl Key {
    /// The scheme it signs by.
    #[must_use]
    pub fn scheme(&self) -> Signing {
        match self {
            Self::Standard(_) => Signing::Standard,
            Self::Ed25519(_) => Signing::Ed25519,
        }
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        match self {
            Self::Standard(key) => Verifier::Standard(key.clone()),
            Self::Ed25519(key) => Verifier::Ed25519(key.public()),
        }
    }
}

// === impl VerifyError ===

impl VerifyError {
    /// A short code for tables.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingHeader => "missing_header",
            Self::BadTimestamp => "bad_timestamp",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::NoMatch => "no_match",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn vectors(kind: &str) -> Vec<Value> {
        let text = include_str!("../../../tests/vectors/standard-webhooks.json");
        let all: Vec<Value> = serde_json::from_str(text).unwrap();
        let some: Vec<Value> = all.into_iter().filter(|case| case["input"]["kind"] == kind).collect();
        assert!(!some.is_empty());
        some
    }

    fn bytes(hex: &Value) -> Vec<u8> {
        let hex = hex.as_str().unwrap();
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    fn texts(list: &Value) -> Vec<&str> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
    }

    #[test]
    fn sw_6_every_message_of_the_vectors_has_its_signature() {
        for case in vectors("sign") {
            let (input, expected) = (&case["input"], &case["expected"]);
            let keys: Vec<_> =
                texts(&input["secrets"]).iter().map(|secret| parse(secret, Made::Elsewhere).unwrap()).collect();
            let body = bytes(&input["body_hex"]);
            let timestamp = input["timestamp"].as_i64().unwrap();
            let message = Message { id: input["id"].as_str().unwrap(), timestamp, body: &body };
            let mut content = Vec::new();
            message.each(|part| content.extend_from_slice(part));
            assert_eq!(content, bytes(&expected["signed_content_hex"]), "{}", case["name"]);
            assert_eq!(sign(keys.iter(), &message), expected["signature"], "{}", case["name"]);
        }
    }

    #[test]
    fn sw_12_a_delivery_is_verified_as_the_vectors_say() {
        for case in vectors("verify") {
            let (input, expected) = (&case["input"], &case["expected"]);
            assert_eq!(input["tolerance_s"], TOLERANCE.as_secs());
            let keys: Vec<_> = texts(&input["keys"]).iter().map(|key| parse_verifier(key).unwrap()).collect();
            let header = |name: &str| input["headers"][name].as_str();
            let body = bytes(&input["body_hex"]);
            let signed = Signed {
                id: header("webhook-id"),
                timestamp: header("webhook-timestamp"),
                signature: header("webhook-signature"),
                body: &body,
            };
            let now = Timestamp::from_millis(input["now"].as_i64().unwrap() * 1000);
            let verdict = verify(&keys, &signed, now);
            assert_eq!(json!(verdict.is_ok()), expected["ok"], "{}", case["name"]);
            assert_eq!(verdict.err().map(VerifyError::code), expected["reason"].as_str(), "{}", case["name"]);
        }
    }

    /// What the vectors say about a secret, said by our parser.
    fn told(text: &str, made: Made) -> Value {
        let told = if let Some(public) = text.strip_prefix("whpk_") {
            ed25519::Public::parse(public)
                .map(|key| json!({"scheme": "v1a-public", "key_bytes": 32, "canonical": key.to_string()}))
        } else {
            parse(text, made).map(|key| match key {
                Key::Standard(key) => {
                    json!({"scheme": "v1", "key_bytes": key.len(), "canonical": standard::canonical(text)})
                }
                Key::Ed25519(key) => json!({"scheme": "v1a", "key_bytes": 32, "public": key.public().to_string()}),
            })
        };
        match told {
            Ok(mut told) => {
                told["ok"] = json!(true);
                told
            }
            Err(error) => json!({"ok": false, "reason": error.code()}),
        }
    }

    #[test]
    fn sw_9_a_secret_is_read_or_refused_as_the_vectors_say() {
        for case in vectors("secret") {
            let input = &case["input"];
            let made = if input["context"] == "create" { Made::Now } else { Made::Elsewhere };
            assert_eq!(told(input["secret"].as_str().unwrap(), made), case["expected"], "{}", case["name"]);
        }
    }

    #[test]
    fn sw_4_an_id_holds_nothing_that_divides_the_signed_parts() {
        for case in vectors("id") {
            let ok = valid_id(case["input"]["id"].as_str().unwrap());
            assert_eq!(json!(ok), case["expected"]["ok"], "{}", case["name"]);
        }
    }

    proptest! {
        // ed25519 without optimisation is slow.
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn what_a_key_signs_only_its_verifier_accepts(
            body in prop::collection::vec(any::<u8>(), 0..200),
            seed in any::<[u8; 32]>(),
            other in any::<[u8; 32]>(),
            timestamp in 0i64..4_000_000_000,
        ) {
            prop_assume!(seed != other);
            let now = Timestamp::from_millis(timestamp * 1000);
            for written in [standard::written, |seed: &[u8]| ed25519::written(seed.try_into().unwrap())] {
                let key = parse(&written(&seed), Made::Now).unwrap();
                let signature = sign([&key].into_iter(), &Message { id: "evt_a", timestamp, body: &body });
                let timestamp = timestamp.to_string();
                let signed = |body| Signed {
                    id: Some("evt_a"), timestamp: Some(&timestamp), signature: Some(&signature), body,
                };
                prop_assert_eq!(verify(&[key.verifier()], &signed(&body), now), Ok(()));
                let changed = [&body[..], b"x"].concat();
                prop_assert_eq!(verify(&[key.verifier()], &signed(&changed), now), Err(VerifyError::NoMatch));
                let stranger = parse_verifier(&written(&other)).unwrap();
                prop_assert_eq!(verify(&[stranger], &signed(&body), now), Err(VerifyError::NoMatch));
            }
        }
    }

    #[test]
    fn a_key_is_not_in_its_debug_text() {
        for text in ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="] {
            let shown = format!("{:?}", parse(text, Made::Now).unwrap());
            assert!(shown.len() < 40 && !shown.contains('['), "{shown}");
        }
        assert_eq!(
            parse("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", Made::Now).unwrap_err(),
            SecretError::Public
        );
    }
}
