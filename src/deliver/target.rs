//! A subscription's sending side, made once: endpoint, format, deadline, prepared headers, parsed keys.

use crate::deliver::error::TargetError;
use crate::deliver::sign::message::Made;
use crate::deliver::sign::{self, Key};
use crate::deliver::transform::Transform;
use crate::deliver::{auth, format, headers};
use crate::expr::mistake::Mistake;
use crate::model::secret::SigningSecret;
use crate::model::subscription::{Format, Signing, Subscription};
use crate::model::time::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// The attempt's id (SW-1).
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// The attempt's time (SW-3).
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The attempt's signatures (SW-6, SW-7).
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// As whom the endpoint took us (WH-6).
pub const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
/// Says who calls (HT-8).
const USER_AGENT: &str = concat!("hookline/", env!("CARGO_PKG_VERSION"));

/// A subscription's sending side.
#[derive(Debug)]
pub struct Target {
    /// The id of the subscription.
    pub(crate) subscription: String,
    /// Its endpoint.
    pub(crate) url: Url,
    pub(crate) format: Format,
    pub(crate) transform: Option<Transform>,
    pub(crate) timeout: Duration,
    /// Every header that is the same for all events; the `webhook-*` ones hold their place, so that filling them in
    /// moves nothing.
    pub(crate) headers: HeaderMap,
    keys: Vec<(Key, Option<Timestamp>)>,
}

// === impl Target ===

impl Target {
    /// The sending side of `subscription`; `timeout` holds when it asks for none.
    ///
    /// # Errors
    /// [`TargetError`], the first one found.
    pub fn new(subscription: &Subscription, timeout: Duration) -> Result<Self, TargetError> {
        Ok(Self {
            subscription: subscription.id.clone(),
            url: subscription.url.clone(),
            format: subscription.format,
            transform: subscription.transform.as_ref().map(transform).transpose()?,
            timeout: subscription.timeout.unwrap_or(timeout),
            headers: prepared(subscription)?,
            keys: keys(&subscription.secrets, subscription.signing)?,
        })
    }

    /// The deadline of a whole exchange.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The keys that sign at `now`, newest first: those whose time has not run out (SW-10).
    pub(crate) fn keys(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |(_, expires)| expires.is_none_or(|at| at > now)).map(|(key, _)| key)
    }
}

fn transform(written: &Value) -> Result<Transform, TargetError> {
    let told = |mistakes: Vec<Mistake>| mistakes.first().map(ToString::to_string).unwrap_or_default();
    Transform::compile(written).map_err(|mistakes| TargetError::Transform(told(mistakes)))
}

fn prepared(subscription: &Subscription) -> Result<HeaderMap, TargetError> {
    let empty = HeaderValue::from_static("");
    let mut map = HeaderMap::with_capacity(16);
    for ours in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE] {
        map.insert(ours, empty.clone());
    }
    map.insert(header::CONTENT_TYPE, HeaderValue::from_static(format::content_type(subscription.format)));
    map.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let consent = subscription.verification.as_ref().and_then(|verification| verification.consent.as_ref());
    if let Some(origin) = consent.and_then(|consent| consent.origin.as_deref()) {
        map.insert(
            REQUEST_ORIGIN,
            headers::visible(origin).ok_or(TargetError::HeaderValue(REQUEST_ORIGIN.to_string()))?,
        );
    }
    let configured = subscription.headers.iter().map(|(name, value)| headers::parse(name, value));
    for parsed in configured.chain(subscription.auth.iter().map(auth::header)) {
        let (name, value) = parsed?;
        if map.insert(&name, value).is_some() {
            return Err(TargetError::HeaderTwice(name.to_string()));
        }
    }
    let bytes: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > headers::LIMIT { Err(TargetError::HeadersTooLong { limit: headers::LIMIT }) } else { Ok(map) }
}

/// Parsed keys, newest first. The newest must be of the subscription's scheme; older ones may be of another, after a change.
fn keys(secrets: &[SigningSecret], signing: Signing) -> Result<Vec<(Key, Option<Timestamp>)>, TargetError> {
    let parse = |secret: &SigningSecret| match sign::parse(secret.text.expose(), Made::Elsewhere) {
        Ok(key) => Ok((key, secret.expires)),
        Err(error) => Err(TargetError::Secret(error)),
    };
    let keys = secrets.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    match keys.first() {
        Some((key, _)) if key.scheme() == signing => Ok(keys),
        _ => Err(TargetError::SecretScheme { scheme: signing.as_str(), prefix: sign::prefix(signing) }),
    }
}
