//! `tracing:` where traces are sent, and which.

use crate::config::reading::{Reading, put};
use crate::egress::service::Service;
use crate::model::secret::Secret;
use crate::traces::settings::{SAMPLE, SERVICE, TracesSettings};
use crate::yaml::fields::Field;
use http::{HeaderName, HeaderValue};
use std::error::Error;
use url::Url;

/// Where a collector takes traces, below its address.
const PATH: &str = "v1/traces";

/// The port on which collectors speak gRPC.
const GRPC: u16 = 4317;

/// Set by us or by HTTP itself.
const RESERVED: [&str; 6] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"];

/// The longest name that a service may have: what fits a line of a screen, and many times what names need.
const SERVICE_LENGTH: usize = 255;

/// Where traces are sent; `None` without `otlp`.
pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Option<TracesSettings> {
    let mut fields = reading.section(field.clone())?;
    let found = reading.problems.0.len();
    let url = fields.optional("otlp").map(|field| url(&field, reading));
    let mut sample = SAMPLE;
    if let Some(field) = fields.optional("sample") {
        let node = reading.typed(field.node);
        put(&mut sample, Field::new(&node, field.path.clone()).number(0.0..=1.0, &mut reading.problems));
    }
    let headers = fields.optional("headers").map(|field| headers(&field, reading)).unwrap_or_default();
    let service = fields.optional("service_name").and_then(|field| service(&field, reading));
    let ca_file = fields.optional("ca_file");
    let ca_path = ca_file.as_ref().and_then(|field| field.text(&mut reading.problems));
    let ca_path = ca_path.map(|path| reading.folder.join(path));
    fields.finish(&mut reading.problems);
    if url.is_none()
        && (!headers.is_empty() || ca_file.is_some())
        && reading.problems.0.len() == found
        && let Some(field) = field
    {
        field.problem(&mut reading.problems, "is nowhere without `otlp`", "Add otlp, or leave the others out");
    }
    let settings = TracesSettings {
        url: url??,
        headers,
        ca_file: ca_path,
        service: service.unwrap_or_else(|| SERVICE.to_owned()),
        sample,
    };
    if let Some(field) = ca_file.filter(|_| settings.ca_file.is_some())
        && let Err(error) = Service::new(settings.ca_file.as_deref())
    {
        // Only the TLS library can say whether it takes the certificates.
        let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        field.problem(&mut reading.problems, format!("{error}{why}"), "It must hold certificates in PEM");
    }
    Some(settings)
}

/// The address of a collector, or of what it has for traces.
fn url(field: &Field<'_>, reading: &mut Reading) -> Option<Url> {
    let text = field.text(&mut reading.problems)?;
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let Some(mut url) = url else {
        let hint = "Write http://host:4318 or https://host";
        field.problem(&mut reading.problems, "is no address of a collector", hint);
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "Write them as a header (authorization): an address stands in logs";
        field.problem(&mut reading.problems, "must hold no user and no password", hint);
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        field.problem(&mut reading.problems, "must end with its path", "Leave out what follows `?` or `#`");
        return None;
    }
    if url.port_or_known_default() == Some(GRPC) {
        let hint = "Write the port for HTTP, which mostly is 4318";
        field.problem(&mut reading.problems, "is the port for gRPC, and OTLP is spoken over HTTP here", hint);
        return None;
    }
    if !url.path().trim_end_matches('/').ends_with(PATH) {
        let path = format!("{}/{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Some(url)
}

fn headers(field: &Field<'_>, reading: &mut Reading) -> Vec<(HeaderName, Secret)> {
    let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
    for (entry, field) in field.entries(&mut reading.problems).unwrap_or_default() {
        let Ok(name) = HeaderName::try_from(&entry.key) else {
            field.problem(&mut reading.problems, "is not the name of a header", "It has letters, digits and `-`");
            continue;
        };
        let Some(secret) = reading.secret(&field) else { continue };
        if RESERVED.contains(&name.as_str()) {
            field.problem(&mut reading.problems, "is set by hookline and cannot be configured", "Leave it out");
        } else if headers.iter().any(|(other, _)| *other == name) {
            field.problem(&mut reading.problems, "is there twice", "Names of headers have no capitals");
        } else if secret.expose().is_empty() || HeaderValue::from_str(secret.expose()).is_err() {
            field.problem(&mut reading.problems, "must have visible ASCII characters only", "");
        } else {
            headers.push((name, secret));
        }
    }
    headers
}

fn service(field: &Field<'_>, reading: &mut Reading) -> Option<String> {
    let name = field.string(&mut reading.problems)?;
    let good = (1..=SERVICE_LENGTH).contains(&name.len()) && !name.chars().any(char::is_control);
    if !good {
        let hint = format!("It has 1 to {SERVICE_LENGTH} visible characters");
        field.problem(&mut reading.problems, "is no name of a service", hint);
    }
    good.then_some(name)
}
