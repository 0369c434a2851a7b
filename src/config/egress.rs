//! `egress:` what may be called.

use crate::config::later;
use crate::config::reading::{Reading, put};
use crate::egress::client::HttpTransport;
use crate::egress::settings::{EgressSettings, Entry, MinTls, Ports};
use crate::model::problem::Problems;
use crate::yaml::fields::Field;
use crate::yaml::node::Data;
use ipnet::IpNet;
use std::error::Error;
use std::net::IpAddr;

const MIN_TLS: &[(&str, MinTls)] = &[("1.2", MinTls::Tls12), ("1.3", MinTls::Tls13)];

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> EgressSettings {
    let mut settings = EgressSettings::default();
    let Some(mut fields) = reading.section(field) else { return settings };
    if let Some(field) = fields.optional("allow_http") {
        put(&mut settings.allow_http, reading.boolean(&field));
    }
    if let Some(field) = fields.optional("ports") {
        put(&mut settings.ports, ports(&field, reading));
    }
    if let Some(field) = fields.optional("allow") {
        settings.allow = entries(&field, &mut reading.problems);
    }
    if let Some(field) = fields.optional("deny") {
        settings.deny = entries(&field, &mut reading.problems);
    }
    if let Some(field) = fields.optional("nat64") {
        put(&mut settings.nat64, reading.boolean(&field));
    }
    later::refuse(&mut fields, "proxy", "null", reading);
    if let Some(field) = fields.optional("min_tls") {
        put(&mut settings.min_tls, field.one_of(MIN_TLS, &mut reading.problems));
    }
    if let Some(field) = fields.optional("ca_file")
        && let Some(path) = field.text(&mut reading.problems)
    {
        let path = reading.folder.join(path);
        drop(reading.files.text(&path)); // remembered; what is wrong with it, the TLS library says
        settings.ca_file = Some(path);
        // Only the TLS library can say whether it takes the certificates.
        if let Err(error) = HttpTransport::new(&settings) {
            let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            field.problem(&mut reading.problems, format!("{error}{why}"), "It must hold certificates in PEM");
        }
    }
    fields.finish(&mut reading.problems);
    settings
}

fn ports(field: &Field<'_>, reading: &mut Reading) -> Option<Ports> {
    match &field.node.data {
        Data::String(text) if text == "any" => Some(Ports::Any),
        Data::List(_) => {
            let ports = field.list(&mut reading.problems)?;
            if ports.is_empty() {
                field.problem(&mut reading.problems, "nothing could be called", "Write any, or some ports");
            }
            let port = |field: &Field<'_>| u16::try_from(reading.integer(field, 1..=65_535)?).ok();
            Some(Ports::List(ports.iter().filter_map(port).collect()))
        }
        _ => {
            field.problem(&mut reading.problems, "must be `any` or a list of ports", "For example [443, 8443]");
            None
        }
    }
}

fn entries(field: &Field<'_>, problems: &mut Problems) -> Vec<Entry> {
    let mut entries = Vec::new();
    for field in field.list(problems).unwrap_or_default() {
        let Some(text) = field.text(problems) else { continue };
        match entry(text) {
            Some(entry) => entries.push(entry),
            None => {
                let hint = "Write a network (10.0.0.0/8), an address or a host name, without port and without stars";
                field.problem(problems, format!("`{text}` is neither a network nor a host name"), hint);
            }
        }
    }
    entries
}

fn entry(text: &str) -> Option<Entry> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(Entry::Net(net.trunc()));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Entry::Net(address.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_lowercase();
    let label = |label: &str| {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    // A last label of digits would be part of an address that is none.
    let number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    (name.len() <= 253 && !number && name.split('.').all(label)).then_some(Entry::Host(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_network_an_address_or_a_name() {
        assert_eq!(entry("10.1.2.3/8"), Some(Entry::Net("10.0.0.0/8".parse().unwrap())));
        assert_eq!(entry("10.1.2.3"), Some(Entry::Net("10.1.2.3/32".parse().unwrap())));
        assert_eq!(entry("fd00::/8"), Some(Entry::Net("fd00::/8".parse().unwrap())));
        assert_eq!(entry("Hooks.Example.com."), Some(Entry::Host("hooks.example.com".into())));
        assert_eq!(entry("receiver"), Some(Entry::Host("receiver".into())));
        for bad in ["", "10.0.0.0/33", "10.0.0", "*.example.com", "a.com:443", "https://a.com", "a b", "-a.com", "a..b"]
        {
            assert_eq!(entry(bad), None, "{bad}");
        }
    }
}
