//! Subscriptions in the tree `config`: `sub/<sid>` what it says, `secret/<sid>` what must stay secret (sealed).

use crate::model::cursor::{CursorKey, CursorRow};
use crate::model::id::Sid;
use crate::model::record::TopicPartition;
use crate::model::secret::{Secret, SigningSecret};
use crate::model::subscription::{
    Auth, Batching, Format, OnBlocked, Ordering, Retry, Signing, Start, State, Status, Subscription, Tenant,
};
use crate::model::time::Timestamp;
use crate::model::verification::{Consent, Proof, Verification};
use crate::store::batch::Batch;
use crate::store::engine::{self, Engine, Op, Tree};
use crate::store::error::StoreError;
use crate::store::row;
use crate::store::seal::Seal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

pub(crate) const SUBSCRIPTION: &[u8] = b"sub/";
pub(crate) const SECRET: &[u8] = b"secret/";

#[derive(Serialize, Deserialize)]
struct SubscriptionForm {
    id: String,
    tenant: Option<String>,
    name: Option<String>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    url: String,
    types: Vec<String>,
    filter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filters: Option<Value>,
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transform: Option<Value>,
    headers: Vec<(String, String)>,
    signing: String,
    timeout_ms: Option<u64>,
    concurrency: Option<u16>,
    retry: Option<RetryForm>,
    #[serde(default)]
    ordering: Option<String>,
    #[serde(default)]
    on_blocked: Option<String>,
    #[serde(default)]
    rate: Option<u32>,
    #[serde(default)]
    batch: Option<BatchForm>,
    #[serde(default)]
    start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verification: Option<VerificationForm>,
    state: String,
    reason: Option<String>,
    since: i64,
    declared: bool,
    version: u64,
    created: i64,
    updated: i64,
}

#[derive(Serialize, Deserialize)]
struct BatchForm {
    max_events: usize,
    max_bytes: u64,
    max_wait_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct VerificationForm {
    proof: String,
    consent: Option<ConsentForm>,
}

#[derive(Serialize, Deserialize)]
struct ConsentForm {
    at: i64,
    origin: Option<String>,
    per_minute: Option<u32>,
}

#[derive(Serialize, Deserialize)]
struct RetryForm {
    schedule_ms: Vec<u64>,
    max_age_ms: u64,
    jitter: f64,
}

/// What must stay secret.
#[derive(Serialize, Deserialize)]
struct SecretForm {
    signing: Vec<(String, i64, Option<i64>)>,
    auth: Option<AuthForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct AuthForm {
    kind: String,
    name: Option<String>,
    secret: String,
}

/// The key of a subscription's row.
pub(crate) fn subscription_key(sid: Sid) -> Vec<u8> {
    [SUBSCRIPTION, &sid.to_bytes()].concat()
}

/// The key of its secrets.
pub(crate) fn secret_key(sid: Sid) -> Vec<u8> {
    [SECRET, &sid.to_bytes()].concat()
}

/// The sid in the key of a subscription's row.
pub(crate) fn sid_of(key: &[u8]) -> Option<Sid> {
    Some(Sid::from_bytes(key.strip_prefix(SUBSCRIPTION)?.try_into().ok()?))
}

/// Adds both rows, and the cursors that it begins with.
pub(crate) fn put(
    batch: &mut Batch,
    (subscription, cursors): (&Subscription, &[(TopicPartition, CursorRow)]),
    seal: &Seal,
) {
    let sid = subscription.sid;
    for (at, row) in cursors {
        batch.cursor(&CursorKey { at: at.clone(), stream: 0, sid }, row);
    }
    let (plain, sealed) = written(subscription, seal);
    batch.raw(Tree::Config, Op::Put(subscription_key(sid), plain));
    batch.raw(Tree::Config, Op::Put(secret_key(sid), sealed));
}

/// What everybody may read, and the secrets.
fn written(subscription: &Subscription, seal: &Seal) -> (Vec<u8>, Vec<u8>) {
    let secrets = serde_json::to_vec(&SecretForm::of(subscription)).expect("these forms have text keys");
    let sealed = [&[row::VERSION][..], &seal.seal(&secret_key(subscription.sid), &secrets)].concat();
    (row::write(&SubscriptionForm::of(subscription)), sealed)
}

/// Removes both rows.
pub(crate) fn delete(batch: &mut Batch, sid: Sid) {
    let keys = [subscription_key(sid), secret_key(sid)];
    keys.into_iter().for_each(|key| batch.raw(Tree::Config, Op::Delete(key)));
}

/// A subscription from its rows.
pub(crate) fn read(key: &[u8], value: &[u8], secrets: &[u8], seal: &Seal) -> Result<Subscription, StoreError> {
    let sid = sid_of(key).ok_or_else(|| StoreError::row(key, "its key has no id"))?;
    let form: SubscriptionForm = row::read(key, value)?;
    let Some((&row::VERSION, envelope)) = secrets.split_first() else {
        return Err(StoreError::row(&secret_key(sid), "its secrets are missing or of an unknown version"));
    };
    let plain = seal.open(&secret_key(sid), envelope)?;
    let secrets: SecretForm = serde_json::from_slice(&plain).map_err(|error| StoreError::row(key, error))?;
    form.into_subscription(sid, secrets).map_err(|what| StoreError::row(key, what))
}

// === impl SubscriptionForm ===

impl SubscriptionForm {
    fn of(subscription: &Subscription) -> Self {
        let s = subscription;
        Self {
            id: s.id.clone(),
            tenant: match &s.tenant {
                Tenant::None => None,
                Tenant::One(tenant) => Some(tenant.clone()),
                Tenant::All => Some("*".into()),
            },
            name: s.name.clone(),
            description: s.description.clone(),
            metadata: s.metadata.clone(),
            url: s.url.to_string(),
            types: s.types.clone(),
            filter: s.filter.clone(),
            filters: s.filters.clone(),
            transform: s.transform.clone(),
            format: s.format.as_str().into(),
            headers: s.headers.clone(),
            signing: s.signing.as_str().into(),
            timeout_ms: s.timeout.map(millis),
            concurrency: s.concurrency,
            retry: s.retry.as_ref().map(|retry| RetryForm {
                schedule_ms: retry.schedule.iter().copied().map(millis).collect(),
                max_age_ms: millis(retry.max_age),
                jitter: retry.jitter,
            }),
            ordering: Some(s.ordering.as_str().into()),
            on_blocked: s.on_blocked.map(|on_blocked| on_blocked.as_str().into()),
            rate: s.rate,
            batch: s.batch.map(|batch| BatchForm {
                max_events: batch.max_events,
                max_bytes: batch.max_bytes,
                max_wait_ms: millis(batch.max_wait),
            }),
            start: Some(s.start.to_string()),
            verification: s.verification.as_ref().map(VerificationForm::of),
            state: s.status.state.as_str().into(),
            reason: s.status.reason.clone(),
            since: s.status.since.as_millis(),
            declared: s.declared,
            version: s.version,
            created: s.created.as_millis(),
            updated: s.updated.as_millis(),
        }
    }

    fn into_subscription(self, sid: Sid, secrets: SecretForm) -> Result<Subscription, String> {
        let verification = self.verification.map(|form| form.into_verification(secrets.grant)).transpose()?;
        let format = Format::ALL.into_iter().find(|format| format.as_str() == self.format);
        let signing = Signing::ALL.into_iter().find(|signing| signing.as_str() == self.signing);
        let ordering = match self.ordering.as_deref() {
            None => Some(Ordering::None),
            Some(text) => Ordering::ALL.into_iter().find(|ordering| ordering.as_str() == text),
        };
        let on_blocked = self.on_blocked.as_deref();
        let on_blocked = on_blocked.map(|text| OnBlocked::ALL.into_iter().find(|known| known.as_str() == text));
        let state = State::ALL.into_iter().find(|state| state.as_str() == self.state);
        Ok(Subscription {
            sid,
            id: self.id,
            tenant: match self.tenant.as_deref() {
                None => Tenant::None,
                Some("*") => Tenant::All,
                Some(tenant) => Tenant::One(tenant.into()),
            },
            name: self.name,
            description: self.description,
            metadata: self.metadata,
            url: self.url.parse().map_err(|error| format!("its url: {error}"))?,
            types: self.types,
            filter: self.filter,
            filters: self.filters,
            transform: self.transform,
            format: format.ok_or_else(|| format!("unknown format {}", self.format))?,
            headers: self.headers,
            auth: secrets.auth.map(AuthForm::into_auth).transpose()?,
            signing: signing.ok_or_else(|| format!("unknown signing {}", self.signing))?,
            secrets: secrets.signing.into_iter().map(signing_secret).collect(),
            timeout: self.timeout_ms.map(Duration::from_millis),
            concurrency: self.concurrency,
            retry: self.retry.map(|retry| Retry {
                schedule: retry.schedule_ms.into_iter().map(Duration::from_millis).collect(),
                max_age: Duration::from_millis(retry.max_age_ms),
                jitter: retry.jitter,
            }),
            ordering: ordering.ok_or_else(|| format!("unknown ordering {:?}", self.ordering))?,
            on_blocked: on_blocked.map(|known| known.ok_or("unknown on_blocked")).transpose()?,
            rate: self.rate,
            batch: self.batch.map(|batch| Batching {
                max_events: batch.max_events,
                max_bytes: batch.max_bytes,
                max_wait: Duration::from_millis(batch.max_wait_ms),
            }),
            start: self.start.as_deref().map_or(Some(Start::Now), Start::parse).ok_or("unknown start")?,
            verification,
            status: Status {
                state: state.ok_or_else(|| format!("unknown state {}", self.state))?,
                reason: self.reason,
                since: Timestamp::from_millis(self.since),
            },
            declared: self.declared,
            version: self.version,
            created: Timestamp::from_millis(self.created),
            updated: Timestamp::from_millis(self.updated),
        })
    }
}

/// All subscriptions with their secrets.
pub(crate) fn all(engine: &dyn Engine, seal: &Seal) -> Result<Vec<Subscription>, StoreError> {
    let mut all = Vec::new();
    engine::each_row(engine, (Tree::Config, SUBSCRIPTION), &[], |key, value| {
        let secrets = engine.get(Tree::Config, &sid_of(key).map(secret_key).unwrap_or_default())?.unwrap_or_default();
        all.push(read(key, value, &secrets, seal)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

// === impl SecretForm ===

impl SecretForm {
    fn of(subscription: &Subscription) -> Self {
        let time = Timestamp::as_millis;
        let signing = subscription.secrets.iter();
        let signing = signing.map(|s| (s.text.expose().to_owned(), time(s.created), s.expires.map(time))).collect();
        let grant = subscription.verification.as_ref().map(|verification| verification.grant.expose().to_owned());
        Self { signing, auth: subscription.auth.as_ref().map(AuthForm::of), grant }
    }
}

// === impl VerificationForm ===

impl VerificationForm {
    fn of(verification: &Verification) -> Self {
        let consent = verification.consent.as_ref().map(|consent| ConsentForm {
            at: consent.at.as_millis(),
            origin: consent.origin.clone(),
            per_minute: consent.per_minute,
        });
        Self { proof: verification.proof.as_str().into(), consent }
    }

    fn into_verification(self, grant: Option<String>) -> Result<Verification, String> {
        let proof = Proof::ALL.into_iter().find(|proof| proof.as_str() == self.proof);
        let consent = self.consent.map(|ConsentForm { at, origin, per_minute }| Consent {
            at: Timestamp::from_millis(at),
            origin,
            per_minute,
        });
        Ok(Verification {
            proof: proof.ok_or_else(|| format!("unknown verification {}", self.proof))?,
            grant: Secret::new(grant.ok_or("the grant of its verification is missing")?),
            consent,
        })
    }
}

// === impl AuthForm ===

impl AuthForm {
    fn of(auth: &Auth) -> Self {
        let (name, secret) = match auth {
            Auth::Bearer(token) => (None, token),
            Auth::Basic { username, password } => (Some(username.clone()), password),
            Auth::Header { name, value } => (Some(name.clone()), value),
        };
        Self { kind: auth.kind().into(), name, secret: secret.expose().into() }
    }

    fn into_auth(self) -> Result<Auth, String> {
        let secret = Secret::new(self.secret);
        match (self.kind.as_str(), self.name) {
            ("bearer", None) => Ok(Auth::Bearer(secret)),
            ("basic", Some(username)) => Ok(Auth::Basic { username, password: secret }),
            ("header", Some(name)) => Ok(Auth::Header { name, value: secret }),
            (kind, _) => Err(format!("unknown auth {kind}")),
        }
    }
}

fn signing_secret((text, created, expires): (String, i64, Option<i64>)) -> SigningSecret {
    let (created, expires) = (Timestamp::from_millis(created), expires.map(Timestamp::from_millis));
    SigningSecret { text: Secret::new(text), created, expires }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::subscription;

    #[test]
    fn what_an_endpoint_said_is_kept_and_what_grants_it_is_among_the_secrets() {
        let consent = Consent { at: Timestamp::from_millis(7), origin: Some("a.b".into()), per_minute: Some(120) };
        for (proof, consent) in [(Proof::CloudEvents, Some(consent)), (Proof::Challenge, None)] {
            let verification = Some(Verification { proof, grant: Secret::new("gr4nt"), consent });
            let one = Subscription { verification, ..subscription() };
            let seal = Seal::new(&[Secret::new("aG9va2xpbmUncyBrZXkgb2YgMzIgYnl0ZXMsIGRvbmU=")]).unwrap();
            let (value, secrets) = written(&one, &seal);
            assert!(!String::from_utf8_lossy(&value).contains("gr4nt"));
            assert_eq!(read(&subscription_key(one.sid), &value, &secrets, &seal).unwrap(), one);
        }
    }
}
