//! `schema_registry:` where the schemas of records are looked up, and who we are there.

use crate::config::reading::{Reading, put};
use crate::decode::schemas;
use crate::model::secret::Secret;
use crate::registry::client::Registry;
use crate::registry::settings::{Credentials, RegistrySettings};
use crate::yaml::fields::{Field, Fields};
use std::error::Error;
use std::ops::RangeInclusive;
use url::Url;

/// How many schemas may be kept; the least is what a few topics need at the same time.
const CACHE: RangeInclusive<u64> = 16..=100_000;

/// The registry; `None` without `url`.
pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Option<RegistrySettings> {
    let mut fields = reading.section(field.clone())?;
    let found = reading.problems.0.len();
    let urls = fields.optional("url").map(|field| urls(&field, reading));
    let credentials = credentials(&mut fields, reading);
    let ca_file = fields.optional("ca_file");
    let ca_path = ca_file.as_ref().and_then(|field| field.text(&mut reading.problems));
    let ca_path = ca_path.map(|path| reading.folder.join(path));
    let mut cache = schemas::CACHE;
    if let Some(field) = fields.optional("cache") {
        put(&mut cache, reading.integer(&field, CACHE).and_then(|cache| usize::try_from(cache).ok()));
    }
    fields.finish(&mut reading.problems);
    if urls.is_none()
        && (credentials.is_some() || ca_file.is_some())
        && reading.problems.0.len() == found
        && let Some(field) = field
    {
        field.problem(&mut reading.problems, "is nowhere without `url`", "Add url, or leave the others out");
    }
    let settings = RegistrySettings { urls: urls?, credentials, ca_file: ca_path, cache };
    if let Some(field) = ca_file.filter(|_| settings.ca_file.is_some())
        && let Err(error) = Registry::new(&settings)
    {
        // Only the TLS library can say whether it takes the certificates.
        let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        field.problem(&mut reading.problems, format!("{error}{why}"), "It must hold certificates in PEM");
    }
    Some(settings)
}

/// One address, or several divided by commas.
fn urls(field: &Field<'_>, reading: &mut Reading) -> Vec<Url> {
    let Some(text) = field.text(&mut reading.problems) else { return Vec::new() };
    let mut urls = Vec::new();
    for text in text.split(',').map(str::trim) {
        let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        let Some(url) = url else {
            let hint = "Write http://host:8081 or https://host; several are divided by commas";
            field.problem(&mut reading.problems, "is no address of a registry", hint);
            continue;
        };
        if !url.username().is_empty() || url.password().is_some() {
            let hint = "Write them as username and password: an address stands in logs";
            field.problem(&mut reading.problems, "must hold no user and no password", hint);
        } else if url.query().is_some() || url.fragment().is_some() {
            field.problem(&mut reading.problems, "must end with its path", "Leave out what follows `?` or `#`");
        } else {
            urls.push(url);
        }
    }
    urls
}

fn credentials(fields: &mut Fields<'_>, reading: &mut Reading) -> Option<Credentials> {
    let username = fields.optional("username");
    let password = fields.optional("password");
    let token = fields.optional("token");
    match (&username, &password, &token) {
        (Some(_), _, Some(token)) | (None, Some(_), Some(token)) => {
            let what = "there are a token and a user: one of them says who we are";
            token.problem(&mut reading.problems, what, "Leave out token, or username and password");
        }
        (Some(username), None, None) => {
            username.problem(&mut reading.problems, "has no `password` beside it", "Add password");
        }
        (None, Some(password), None) => {
            password.problem(&mut reading.problems, "has no `username` beside it", "Add username");
        }
        (None, None, _) | (Some(_), Some(_), None) => {}
    }
    if let Some(token) = token {
        return visible(&token, reading).map(Credentials::Bearer);
    }
    let username = username.and_then(|field| {
        let name = field.string(&mut reading.problems)?;
        let good = !name.is_empty() && !name.contains(':') && !name.chars().any(char::is_control);
        if !good {
            field.problem(&mut reading.problems, "is no user", "It has visible characters, and no colon");
        }
        good.then_some(name)
    });
    let password = password.and_then(|field| reading.secret(&field));
    Some(Credentials::Basic { username: username?, password: password? })
}

/// A secret that may stand in a header.
fn visible(field: &Field<'_>, reading: &mut Reading) -> Option<Secret> {
    let secret = reading.secret(field)?;
    let good = !secret.expose().is_empty() && secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !good {
        field.problem(&mut reading.problems, "must have visible ASCII characters only", "");
    }
    good.then_some(secret)
}
