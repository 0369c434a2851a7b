//! `api:` and `metrics:` where the listeners listen, and who may use the API.

use crate::config::later;
use crate::config::reading::{Reading, put};
use crate::model::problem::Problems;
use crate::web::settings::{ApiSettings, MetricsSettings, Scope, Token};
use crate::yaml::fields::{Field, Fields};
use std::net::SocketAddr;

/// The fewest characters of a token: 16 random ones cannot be guessed over a network.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=512;
/// The most characters of names.
const NAME: usize = 128;

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> ApiSettings {
    let mut settings = ApiSettings::default();
    let Some(mut fields) = reading.section(field) else { return settings };
    let listen = fields.optional("listen");
    if let Some(field) = &listen {
        let address = address(field, settings.listen.port(), &mut reading.problems);
        put(&mut settings.listen, address);
    }
    let found = reading.problems.0.len();
    if let Some(field) = fields.optional("tokens") {
        settings.tokens = tokens(&field, reading);
    }
    if settings.tokens.is_empty()
        && reading.problems.0.len() == found
        && !settings.listen.ip().is_loopback()
        && let Some(field) = listen
    {
        let what = "without tokens the API listens on loopback only: everybody who reaches it may use it";
        field.problem(&mut reading.problems, what, "Add api.tokens, or listen on 127.0.0.1");
    }
    later::refuse(&mut fields, "console", "true", reading);
    fields.finish(&mut reading.problems);
    settings
}

/// `api` is where the API listens, which is taken.
pub(crate) fn metrics(field: Option<Field<'_>>, api: SocketAddr, reading: &mut Reading) -> MetricsSettings {
    let mut settings = MetricsSettings::default();
    let Some(mut fields) = reading.section(field) else { return settings };
    if let Some(field) = fields.optional("listen") {
        let address = address(&field, settings.listen.port(), &mut reading.problems);
        put(&mut settings.listen, address);
        if settings.listen == api && api.port() != 0 {
            field.problem(&mut reading.problems, format!("{api} is where the API listens"), "Choose another port");
        }
    }
    if let Some(field) = fields.optional("per_subscription") {
        put(&mut settings.per_subscription, reading.boolean(&field));
    }
    fields.finish(&mut reading.problems);
    settings
}

/// `port` is one that could be written.
fn address(field: &Field<'_>, port: u16, problems: &mut Problems) -> Option<SocketAddr> {
    let text = field.text(problems)?;
    let address = text.parse();
    if address.is_err() {
        let hint = format!("Write an IP address and a port: 127.0.0.1:{port}, 0.0.0.0:{port} or [::]:{port}");
        field.problem(problems, format!("must be an address with a port, not `{text}`"), hint);
    }
    address.ok()
}

fn tokens(field: &Field<'_>, reading: &mut Reading) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for field in field.list(&mut reading.problems).unwrap_or_default() {
        let Some(token) = token(&field, reading) else { continue };
        if tokens.iter().any(|other| other.name == token.name) {
            let what = format!("the name `{}` is used twice", token.name);
            field.problem(&mut reading.problems, what, "Names tell tokens apart in logs");
        }
        if let Some(other) = tokens.iter().find(|other| other.token == token.token) {
            let what = format!("this token is also that of `{}`", other.name);
            field.problem(&mut reading.problems, what, "Give each its own: openssl rand -hex 24");
        }
        tokens.push(token);
    }
    tokens
}

fn token(field: &Field<'_>, reading: &mut Reading) -> Option<Token> {
    let mut fields = Fields::of(field, &mut reading.problems)?;
    let name = fields.required("name", &mut reading.problems).and_then(|field| {
        let name = field.string(&mut reading.problems)?;
        let good = is_name(&name);
        if !good {
            field.problem(&mut reading.problems, "is not a name", format!("It has 1 to {NAME} visible characters"));
        }
        good.then_some(name)
    });
    let token = fields.required("token", &mut reading.problems).and_then(|field| {
        let token = reading.secret(&field)?;
        let good = TOKEN.contains(&token.expose().len()) && token.expose().bytes().all(|b| b.is_ascii_graphic());
        if !good {
            let what = format!("must have {} to {} visible ASCII characters", TOKEN.start(), TOKEN.end());
            field.problem(&mut reading.problems, what, "Make one: openssl rand -hex 24");
        }
        good.then_some(token)
    });
    let scope = fields.required("scope", &mut reading.problems);
    let scope = scope.and_then(|field| scope_of(&field, &mut reading.problems));
    fields.finish(&mut reading.problems);
    Some(Token { name: name?, token: token?, scope: scope? })
}

fn scope_of(field: &Field<'_>, problems: &mut Problems) -> Option<Scope> {
    let text = field.text(problems)?;
    match text.strip_prefix("tenant:") {
        Some(tenant) if is_name(tenant) && tenant != "*" => return Some(Scope::Tenant(tenant.to_owned())),
        None if text == "admin" => return Some(Scope::Admin),
        None if text == "read" => return Some(Scope::Read),
        _ => {}
    }
    field.problem(problems, format!("`{text}` is not a scope"), "It is admin, read, or tenant:<id>");
    None
}

fn is_name(text: &str) -> bool {
    (1..=NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}
