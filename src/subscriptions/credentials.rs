//! What proves who sends: signing secrets and `auth`, as users write them. Nothing secret is in a problem.

use crate::deliver::auth as scheme;
use crate::deliver::sign;
use crate::deliver::sign::message::Made;
use crate::deliver::sign::{ed25519, standard};
use crate::model::problem::Problems;
use crate::model::secret::{Secret, SigningSecret};
use crate::model::subscription::{Auth, Signing};
use crate::model::time::Timestamp;
use crate::runtime::random;
use crate::yaml::fields::{Field, Fields};
use crate::yaml::node::Data;

/// How many secrets sign at the same time: each costs a signature for every attempt.
pub const SECRETS: usize = 8;

/// A new secret of this scheme, made now.
#[must_use]
pub fn fresh(signing: Signing, now: Timestamp) -> SigningSecret {
    let text = match signing {
        Signing::Standard => standard::written(&random::secret::<32>()),
        Signing::Ed25519 => ed25519::written(&random::secret::<32>()),
    };
    SigningSecret { text: Secret::new(text), created: now, expires: None }
}

/// The secrets that a user brought, newest first; each must be of the scheme.
pub(crate) fn secrets(
    field: &Field<'_>,
    signing: Signing,
    now: Timestamp,
    problems: &mut Problems,
) -> Vec<SigningSecret> {
    let mut secrets = Vec::new();
    if !matches!(field.node.data, Data::List(_)) {
        field.problem(problems, format!("must be a list, not {}", field.node.kind()), "");
        return secrets;
    }
    let fields = field.list(problems).unwrap_or_default();
    if !(1..=SECRETS).contains(&fields.len()) {
        let what = format!("has {} secrets", fields.len());
        field.problem(problems, what, format!("It has 1 to {SECRETS}; left out, one is made"));
    }
    for field in fields {
        let Some(text) = secret(&field, problems) else { continue };
        match sign::parse(text.expose(), Made::Now) {
            Ok(key) if key.scheme() == signing => {
                let text = match signing {
                    Signing::Standard => Secret::new(standard::canonical(text.expose())),
                    Signing::Ed25519 => text,
                };
                secrets.push(SigningSecret { text, created: now, expires: None });
            }
            Ok(_) => {
                let prefix = sign::prefix(signing);
                let what = format!("must begin with `{prefix}`, as signing scheme `{}` asks", signing.as_str());
                field.problem(problems, what, "Change signing.scheme, or leave secrets out and one is made");
            }
            Err(error) => field.problem(problems, error.to_string(), "Left out, one is made"),
        }
    }
    secrets
}

/// How requests are authorised: exactly one scheme.
pub(crate) fn auth(field: &Field<'_>, problems: &mut Problems) -> Option<Auth> {
    let found = problems.0.len();
    let mut fields = open(field, problems)?;
    let bearer = fields.optional("bearer").map(|field| secret(&field, problems).map(Auth::Bearer));
    let basic = fields.optional("basic").map(|field| basic(&field, problems));
    let header = fields.optional("header").map(|field| header(&field, problems));
    fields.not_yet("oauth2", problems);
    fields.not_yet("mtls", problems);
    fields.finish(problems);
    let mut schemes = [bearer, basic, header].into_iter().flatten();
    let (first, second) = (schemes.next(), schemes.next());
    if problems.0.len() > found {
        return None;
    }
    if first.is_none() || second.is_some() {
        field.problem(problems, "must hold exactly one scheme", "Write bearer, basic or header; null for none");
        return None;
    }
    let auth = first??;
    if let Err(error) = scheme::header(&auth) {
        field.problem(problems, error.to_string(), "");
    }
    Some(auth)
}

fn basic(field: &Field<'_>, problems: &mut Problems) -> Option<Auth> {
    let mut fields = open(field, problems)?;
    let username = fields.required("username", problems).and_then(|field| field.string(problems));
    let password = fields.required("password", problems).and_then(|field| secret(&field, problems));
    fields.finish(problems);
    Some(Auth::Basic { username: username?, password: password? })
}

fn header(field: &Field<'_>, problems: &mut Problems) -> Option<Auth> {
    let mut fields = open(field, problems)?;
    let name = fields.required("name", problems).and_then(|field| field.string(problems));
    let value = fields.required("value", problems).and_then(|field| secret(&field, problems));
    fields.finish(problems);
    Some(Auth::Header { name: name?, value: value? })
}

/// Opens a map; what else stands there is not told.
fn open<'n>(field: &Field<'n>, problems: &mut Problems) -> Option<Fields<'n>> {
    if matches!(field.node.data, Data::Map(_)) {
        return Fields::of(field, problems);
    }
    field.problem(problems, format!("must be a map, not {}", field.node.kind()), "");
    None
}

/// A text that is not told, also not when it is no text.
fn secret(field: &Field<'_>, problems: &mut Problems) -> Option<Secret> {
    if let Data::String(text) = &field.node.data {
        return Some(Secret::new(text.as_str()));
    }
    field.problem(problems, format!("must be a string, not {}", field.node.kind()), "");
    None
}
