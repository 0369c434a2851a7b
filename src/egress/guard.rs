//! What may be called: judges a URL by its parsed host, never by its text, and every address a name resolves to.
//!
//! Asked at registration (all reasons at once, with a lookup) and at every connect (SEC-1). It opens no connection.

use crate::egress::address;
use crate::egress::lookup::{Lookup, SystemLookup};
use crate::egress::settings::{EgressSettings, Ports};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use url::{Host, Url};

/// Decides what may be called.
#[derive(Clone, Debug)]
pub struct Guard {
    settings: EgressSettings,
}

/// One reason why a URL or an address is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which rule.
    pub reason: Reason,
    /// A sentence for people; names hosts and addresses, never user names, passwords or paths.
    pub detail: String,
}

/// The rules by which something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is no absolute URL, or its host is none.
    Parse,
    /// Neither `https`, nor `http` where that is allowed.
    Scheme,
    /// It holds a user name or a password.
    Userinfo,
    /// It holds a fragment, if only an empty one.
    Fragment,
    /// The port is not among `egress.ports`, or 0.
    Port,
    /// The name is local (EG-6) or in `egress.deny`.
    Name,
    /// An address is forbidden (EG-1, EG-2, `egress.deny`).
    Address,
    /// The name has no address.
    Resolve,
}

// === impl Guard ===

impl Guard {
    /// A guard that goes by `settings`.
    #[must_use]
    pub fn new(settings: EgressSettings) -> Self {
        Self { settings }
    }

    /// Reads `text` and judges it; names are not resolved here ([`Guard::resolve_and_judge`] does).
    ///
    /// # Errors
    /// All reasons against it.
    pub fn judge_url(&self, text: &str) -> Result<Url, Vec<Refusal>> {
        let url = Url::parse(text).map_err(|error| vec![Refusal::new(Reason::Parse, format!("not a URL: {error}"))])?;
        let refusals = self.judge(&url);
        if refusals.is_empty() { Ok(url) } else { Err(refusals) }
    }

    /// All reasons against `url` that need no lookup; empty when there is none. Cheap: asked before every send.
    #[must_use]
    pub fn judge(&self, url: &Url) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        match url.scheme() {
            "https" => {}
            "http" if self.settings.allow_http => {}
            "http" => refusals.push(Refusal::new(Reason::Scheme, "http needs egress.allow_http")),
            // Other schemes' hosts are not normalised (SEC-2): there is nothing more to judge.
            other => return vec![Refusal::new(Reason::Scheme, format!("the scheme must be https, not {other}"))],
        }
        if !url.username().is_empty() || url.password().is_some() {
            refusals.push(Refusal::new(Reason::Userinfo, "a URL must not hold a user name or password"));
        }
        if url.fragment().is_some() {
            refusals.push(Refusal::new(Reason::Fragment, "a URL must not hold a fragment (#)"));
        }
        refusals.extend(self.judge_port(url));
        refusals.extend(match url.host() {
            Some(Host::Domain(name)) => self.judge_name(plain(name)).err(),
            Some(Host::Ipv4(ip)) => self.judge_address(ip.into(), None).err(),
            Some(Host::Ipv6(ip)) => self.judge_address(ip.into(), None).err(),
            None => Some(Refusal::new(Reason::Parse, "the URL has no host")),
        });
        refusals
    }

    /// Judges a name by itself (EG-6); `host` has no trailing full stop ([`plain`]).
    ///
    /// # Errors
    /// The reason against it.
    pub fn judge_name(&self, host: &str) -> Result<(), Refusal> {
        if address::named(&self.settings.deny, host) {
            return Err(Refusal::new(Reason::Name, format!("{host} is in egress.deny")));
        }
        if address::named(&self.settings.allow, host) {
            return Ok(());
        }
        let what = if host.split('.').any(str::is_empty) {
            "has an empty label"
        } else if !host.contains('.') {
            "is a local name"
        } else if [".localhost", ".internal", ".local", ".svc"].iter().any(|end| host.ends_with(end)) {
            "is a name of a local network"
        } else {
            return Ok(());
        };
        Err(Refusal::new(Reason::Name, format!("{host} {what}")))
    }

    /// Judges an address that `host` resolved to, or that stands in the URL (`None`).
    ///
    /// # Errors
    /// The reason against it.
    pub fn judge_address(&self, address: IpAddr, host: Option<&str>) -> Result<(), Refusal> {
        let Some(range) = address::refused(address, host, &self.settings) else { return Ok(()) };
        let address = address.to_canonical();
        Err(Refusal::new(Reason::Address, format!("{address} may not be called ({range})")))
    }

    /// Judges every answer for `host`: one forbidden answer refuses all of them (SEC-1).
    ///
    /// # Errors
    /// The first reason found; [`Reason::Resolve`] when there is no answer at all.
    pub fn judge_answers(&self, host: &str, answers: &[SocketAddr]) -> Result<(), Refusal> {
        if answers.is_empty() {
            return Err(Refusal::new(Reason::Resolve, format!("{host} has no address")));
        }
        answers.iter().try_for_each(|answer| match answer {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                Err(Refusal::new(Reason::Address, format!("{} may not be called (it has a zone)", v6.ip())))
            }
            answer => self.judge_address(answer.ip(), Some(host)),
        })
    }

    /// Resolves the name of `url` with the system's resolver and judges every answer; for registration.
    ///
    /// # Errors
    /// The reason against it, also when the name does not resolve.
    pub async fn resolve_and_judge(&self, url: &Url) -> Result<(), Refusal> {
        self.resolve_and_judge_with(url, &SystemLookup).await
    }

    /// As [`Guard::resolve_and_judge`], with another resolver.
    ///
    /// # Errors
    /// The reason against it, also when the name does not resolve.
    pub async fn resolve_and_judge_with(&self, url: &Url, lookup: &dyn Lookup) -> Result<(), Refusal> {
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        let answers = lookup.lookup(name).await;
        let answers = answers
            .map_err(|error| Refusal::new(Reason::Resolve, format!("{} does not resolve: {error}", plain(name))))?;
        self.judge_answers(plain(name), &answers)
    }

    fn judge_port(&self, url: &Url) -> Option<Refusal> {
        let port = url.port_or_known_default()?;
        let allowed = match &self.settings.ports {
            Ports::Any => true,
            Ports::List(ports) => ports.contains(&port),
        };
        (port == 0 || !allowed).then(|| Refusal::new(Reason::Port, format!("port {port} is not in egress.ports")))
    }
}

// === impl Refusal ===

impl Refusal {
    fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into().into_owned() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Refusal {}

// === impl Reason ===

impl Reason {
    /// The rule's name, as the vectors and the API write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Scheme => "scheme",
            Self::Userinfo => "userinfo",
            Self::Fragment => "fragment",
            Self::Port => "port",
            Self::Name => "name",
            Self::Address => "address",
            Self::Resolve => "resolve",
        }
    }
}

/// A parsed name without its trailing full stop; a name that then has an empty label stays as it is.
#[must_use]
pub fn plain(host: &str) -> &str {
    match host.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with('.') => rest,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::settings::Entry;
    use serde_json::Value;

    fn vectors(kind: &str) -> Vec<Value> {
        let all: Vec<Value> = serde_json::from_str(include_str!("../../tests/vectors/egress.json")).unwrap();
        let some: Vec<Value> = all.into_iter().filter(|case| case["input"]["kind"] == kind).collect();
        assert!(!some.is_empty());
        some
    }

    fn guard(policy: &Value) -> Guard {
        let ports = match &policy["ports"] {
            Value::Null => Ports::List(vec![80, 443, 8443]),
            Value::Array(ports) => Ports::List(ports.iter().map(|p| p.as_u64().unwrap() as u16).collect()),
            _ => Ports::Any,
        };
        let allow = policy["allow"].as_array().into_iter().flatten().map(|entry| {
            let text = entry.as_str().unwrap();
            text.parse().map_or_else(|_| Entry::Host(text.to_owned()), Entry::Net)
        });
        Guard::new(EgressSettings {
            allow_http: policy["allow_http"] == true,
            nat64: policy["nat64"] == true,
            ports,
            allow: allow.collect(),
            ..EgressSettings::default()
        })
    }

    /// Answers may have a zone, which only a socket address can hold.
    fn answer(text: &Value) -> SocketAddr {
        let text = text.as_str().unwrap();
        match text.split_once('%') {
            None => SocketAddr::new(text.parse().unwrap(), 0),
            Some((ip, zone)) => {
                std::net::SocketAddrV6::new(ip.parse().unwrap(), 0, 0, zone.parse().unwrap_or(1)).into()
            }
        }
    }

    fn written_host(url: &Url) -> Option<String> {
        match url.host().filter(|_| matches!(url.scheme(), "http" | "https"))? {
            Host::Domain(name) => Some(plain(name).to_owned()),
            Host::Ipv4(ip) => Some(ip.to_string()),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip).to_canonical().to_string()),
        }
    }

    #[test]
    fn sec_2_every_url_of_the_vectors_is_judged_by_its_parsed_host_with_all_reasons() {
        for case in vectors("url") {
            let (input, expected) = (&case["input"], &case["expected"]);
            let guard = guard(&input["policy"]);
            let text = input["url"].as_str().unwrap();
            let (mut reasons, host) = match Url::parse(text) {
                Err(_) => (guard.judge_url(text).unwrap_err(), None),
                Ok(url) => (guard.judge(&url), written_host(&url)),
            };
            assert_eq!(guard.judge_url(text).err().unwrap_or_default(), reasons);
            if let (Some(resolved), Some(host)) = (input["resolved"].as_array(), &host)
                && !reasons.iter().any(|refusal| refusal.reason == Reason::Name)
            {
                let answers: Vec<_> = resolved.iter().map(answer).collect();
                reasons.extend(guard.judge_answers(host, &answers).err());
            }
            let reasons: Vec<_> = reasons.iter().map(|refusal| refusal.reason.as_str()).collect();
            assert_eq!(serde_json::json!(reasons), expected["reasons"], "{}", case["name"]);
            assert_eq!(serde_json::json!(host), expected["host"], "{}", case["name"]);
            assert_eq!(reasons.is_empty(), expected["decision"] == "allow", "{}", case["name"]);
        }
    }

    #[test]
    fn eg_1_every_address_of_the_vectors_is_judged_and_its_range_named() {
        for case in vectors("address") {
            let answer = answer(&case["input"]["address"]);
            let range = address::refused(answer.ip(), None, &EgressSettings::default());
            assert_eq!(range.as_deref(), case["expected"]["range"].as_str(), "{}", case["name"]);
            let judged = guard(&Value::Null).judge_answers("hooks.example.com", &[answer]);
            assert_eq!(judged.is_ok(), case["expected"]["decision"] == "allow", "{}", case["name"]);
        }
    }

    #[test]
    fn sec_4_what_is_denied_stays_denied_whatever_is_allowed() {
        let net = |text: &str| Entry::Net(text.parse().unwrap());
        let host = |text: &str| Entry::Host(text.to_owned());
        let guard = Guard::new(EgressSettings {
            allow: vec![net("10.0.0.0/8"), host("a.example.com")],
            deny: vec![net("10.1.0.0/16"), net("1.1.1.1/32"), host("b.example.com"), host("a.example.com")],
            ..EgressSettings::default()
        });
        let reasons = |url: &str| guard.judge_url(url).err().unwrap_or_default();
        assert!(reasons("https://10.2.0.1/").is_empty());
        assert_eq!(reasons("https://10.1.0.1/")[0].reason, Reason::Address);
        assert_eq!(
            reasons("https://[::ffff:1.1.1.1]/")[0].detail,
            "1.1.1.1 may not be called (1.1.1.1/32 in egress.deny)"
        );
        assert_eq!(reasons("https://b.example.com./")[0].reason, Reason::Name);
        assert_eq!(reasons("https://a.example.com/")[0].reason, Reason::Name);
        assert!(reasons("https://c.b.example.com/").is_empty());
    }

    #[test]
    fn a_refusal_tells_nothing_that_could_be_secret() {
        let refusals =
            guard(&Value::Null).judge_url("http://u:hunter2@127.0.0.1:22/hunter2?hunter2#hunter2").unwrap_err();
        assert_eq!(refusals.len(), 5);
        assert!(refusals.iter().all(|refusal| !refusal.detail.contains("hunter2")));
    }
}
