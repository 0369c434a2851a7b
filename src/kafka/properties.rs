//! librdkafka's properties by name: ours are forced, theirs pass through, some are refused with a hint (KF-1,
//! KF-2, KF-4).
//!
//! Takes [`KafkaSettings`], gives a client's configuration. [`check`] finds every mistake without connecting:
//! librdkafka itself says whether it knows a name and takes a value.

use crate::kafka::settings::KafkaSettings;
use crate::model::problem::{Place, Problems};
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

/// What a consumer does where it has no offset to begin at, or one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// It reports an error: every jump is our decision.
    Error,
    /// It begins at the oldest record.
    Earliest,
    /// It begins after the newest record.
    Latest,
}

/// Ours whatever the user wrote; [`check`] refuses another value (KF-4, crates.md section 4).
const FORCED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("group.protocol", "classic"), // `consumer` stalls before librdkafka 2.15
    ("partition.assignment.strategy", "cooperative-sticky"),
];

/// Ours unless the user says otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "hookline"),
    ("fetch.queue.backoff.ms", "10"), // with a small buffer the default of 1000 idles two thirds of the time
    ("topic.metadata.refresh.interval.ms", "15000"), // new topics and partitions; the default is five minutes
    ("queued.max.messages.kbytes", "16384"), // memory: the default of 64 MiB comes on top of our own budget
];

/// What a producer shares with the consumer: how to reach the brokers, and who we are.
const SHARED: &[&str] = &["broker.", "client.", "enable.ssl.", "enable.sasl.", "sasl.", "security.", "socket.", "ssl."];

/// Names that are refused, and why; a name that ends with a full stop stands for all that begin with it.
const REFUSED: &[(&str, &str, &str)] = &[
    ("bootstrap.servers", "is set by `kafka.brokers`", "Write the brokers there"),
    ("metadata.broker.list", "is set by `kafka.brokers`", "Write the brokers there"),
    ("group.id", "is set by `kafka.group`", "Write the group there"),
    ("auto.offset.reset", "is Hookline's own decision", "`kafka.start` says where a group without commits begins"),
    ("enable.auto.commit", OURS, "An offset is committed when all its deliveries are settled; leave it out"),
    ("auto.commit.", OURS, "Offsets are committed each second; leave it out"),
    ("auto.commit.enable", OURS, "An offset is committed when all its deliveries are settled; leave it out"),
    ("enable.auto.offset.store", OURS, "An offset is committed when all its deliveries are settled; leave it out"),
    ("offset.store.", OURS, "Offsets are kept by Kafka; leave it out"),
    ("enable.partition.eof", OURS, "Leave it out"),
    ("log.queue", OURS, "Leave it out; `log.level` says what is logged"),
    ("opaque", "is not for configuration files", "Leave it out"),
    ("test.mock.", "is for tests of librdkafka", "`hookline demo` has a broker of its own"),
    ("sasl.jaas.config", JAVA, "Use `sasl.mechanism`, `sasl.username` and `sasl.password`"),
    ("sasl.login.", JAVA, "Use `sasl.oauthbearer.method: oidc` and `sasl.oauthbearer.token.endpoint.url`"),
    ("sasl.client.callback.handler.class", JAVA, "Use `sasl.mechanism` and its own properties"),
    ("ssl.truststore.location", JAVA, "Use `ssl.ca.location` with a PEM file"),
    ("ssl.truststore.certificates", JAVA, "Use `ssl.ca.pem`"),
    ("ssl.truststore.", JAVA, "Use `ssl.ca.location` with a PEM file, which has neither password nor type"),
    ("ssl.keystore.type", JAVA, "`ssl.keystore.location` takes PKCS#12; for PEM use `ssl.certificate.location`"),
    ("ssl.keystore.key", JAVA, "Use `ssl.key.pem`"),
    ("ssl.keystore.certificate.chain", JAVA, "Use `ssl.certificate.pem`"),
    ("ssl.enabled.protocols", JAVA, "Leave it out; the newest TLS both sides know is used"),
    ("ssl.protocol", JAVA, "Leave it out; the newest TLS both sides know is used"),
    ("key.deserializer", JAVA, "Leave it out; `topics` says how records are decoded"),
    ("value.deserializer", JAVA, "Leave it out; `topics` says how records are decoded"),
    ("max.poll.records", JAVA, "Leave it out; `limits.open_records_per_partition` bounds what is open"),
    ("fetch.max.wait.ms", JAVA, "Use `fetch.wait.max.ms`"),
    ("request.timeout.ms", JAVA, "Use `socket.timeout.ms`"),
    ("default.api.timeout.ms", JAVA, "Use `socket.timeout.ms`"),
    ("receive.buffer.bytes", JAVA, "Use `socket.receive.buffer.bytes`"),
    ("send.buffer.bytes", JAVA, "Use `socket.send.buffer.bytes`"),
];
const OURS: &str = "is set by Hookline";
const JAVA: &str = "is a property of the Java client, and librdkafka has another";

/// Names people write, for "did you mean".
const KNOWN: &[&str] = &[
    "broker.address.family",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "debug",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.poll.interval.ms",
    "metadata.max.age.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "topic.metadata.refresh.interval.ms",
];

/// The configuration of the group's consumer.
#[must_use]
pub fn consumer(settings: &KafkaSettings, reset: Reset) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in DEFAULTS {
        config.set(*name, *value);
    }
    for (name, value) in &settings.properties {
        config.set(name, value.expose());
    }
    for (name, value) in FORCED {
        config.set(*name, *value);
    }
    config.set("bootstrap.servers", &settings.brokers);
    config.set("group.id", &settings.group);
    config.set("auto.offset.reset", reset.as_str());
    config
}

/// The configuration of a producer: the brokers and what the consumer's properties say about reaching them.
#[must_use]
pub fn producer(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "hookline");
    for (name, value) in settings.properties.iter().filter(|(name, _)| SHARED.iter().any(|s| name.starts_with(s))) {
        config.set(name, value.expose());
    }
    config.set("bootstrap.servers", &settings.brokers);
    config
}

/// Every mistake in `kafka.properties`, without connecting. `place_of` says where a property is written, and for
/// the empty name where they all are. No value of a secret is in what it says.
pub fn check(settings: &KafkaSettings, place_of: &dyn Fn(&str) -> Place) -> Problems {
    let mut problems = Problems::default();
    for (name, value) in &settings.properties {
        if let Some((what, hint)) = refused(name, value.expose()).or_else(|| rejected(name, value.expose())) {
            problems.add(&place_of(name), format!("kafka.properties.{name}"), what, hint);
        }
    }
    if problems.is_empty() && !settings.properties.is_empty() {
        // Together: files that are not there, timeouts that contradict each other. Without brokers nothing connects.
        let together = consumer(settings, Reset::Error).remove("bootstrap.servers").create::<BaseConsumer>();
        if let Err(KafkaError::ClientCreation(detail)) = together {
            problems.add(&place_of(""), "kafka.properties", format!("librdkafka says: {}", detail.trim()), "");
        }
    }
    problems
}

/// Why we do not take this property: what, and a hint.
fn refused(name: &str, value: &str) -> Option<(String, String)> {
    let refusal = match (name, value) {
        ("group.protocol", "classic") | ("partition.assignment.strategy", "cooperative-sticky") => return None,
        ("group.protocol", _) => {
            Some(("only `classic` is supported", "Leave it out; the librdkafka that is built in stalls with the other"))
        }
        ("partition.assignment.strategy", _) => {
            Some(("Hookline needs `cooperative-sticky`", "Leave it out; every member of the group must use it"))
        }
        _ => None,
    };
    let exact = REFUSED.iter().find(|(refused, ..)| *refused == name);
    let begins = || REFUSED.iter().find(|(refused, ..)| refused.ends_with('.') && name.starts_with(refused));
    let listed = || exact.or_else(begins).map(|(_, what, hint)| (*what, *hint));
    refusal.or_else(listed).map(|(what, hint)| (what.into(), hint.into()))
}

/// What librdkafka says against this property, taken alone.
fn rejected(name: &str, value: &str) -> Option<(String, String)> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let hint = nearest(name).map(|near| format!("Did you mean `{near}`?"));
            let list = "The names are in librdkafka's CONFIGURATION.md".into();
            Some(("librdkafka has no property of this name".into(), hint.unwrap_or(list)))
        }
        Err(KafkaError::ClientConfig(_, detail, ..)) if !secret(name) => {
            Some((format!("librdkafka refuses this value: {}", detail.trim()), String::new()))
        }
        Err(_) => Some(("librdkafka refuses this value".into(), String::new())),
    }
}

/// Whether the value of this property may be a secret, so that it is not repeated.
fn secret(name: &str) -> bool {
    let mut parts = name.split('.');
    parts.any(|part| matches!(part, "password" | "secret" | "pem" | "config" | "assertion" | "userinfo"))
}

/// The known name that is at most three letters away.
fn nearest(name: &str) -> Option<&'static str> {
    let near = KNOWN.iter().map(|known| (distance(name, known), *known)).min()?;
    (near.0 <= 3).then_some(near.1)
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = change.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

// === impl Reset ===

impl Reset {
    /// The value as librdkafka writes it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;

    fn with(properties: &[(&str, &str)]) -> KafkaSettings {
        let properties = properties.iter().map(|(name, value)| ((*name).to_string(), Secret::new(*value))).collect();
        KafkaSettings { properties, ..KafkaSettings::default() }
    }

    fn problems(properties: &[(&str, &str)]) -> Vec<String> {
        let found = check(&with(properties), &|_| Place::whole("hookline.yaml"));
        found.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn kf_1_what_users_write_passes_through() {
        let settings = with(&[
            ("client.rack", "eu-north-1a"),
            ("group.instance.id", "pod-0"),
            ("isolation.level", "read_uncommitted"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("security.protocol", "sasl_plaintext"),
            ("sasl.username", "hook"),
            ("sasl.password", "hunter2"),
            ("queued.max.messages.kbytes", "32768"),
        ]);
        assert_eq!(check(&settings, &|_| Place::whole("f")).0, []);
        let config = consumer(&settings, Reset::Error);
        assert_eq!(config.get("client.rack"), Some("eu-north-1a"));
        assert_eq!(config.get("group.instance.id"), Some("pod-0"));
        assert_eq!(config.get("queued.max.messages.kbytes"), Some("32768"));
        assert_eq!(config.get("fetch.queue.backoff.ms"), Some("10"));
        let config = producer(&settings);
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(config.get("group.instance.id"), None);
    }

    #[test]
    fn kf_1_every_unknown_name_is_told_with_the_nearest_known_one() {
        let found = problems(&[("sasl.usrname", "a"), ("session.timeout", "1"), ("no.such.thing.at.all", "1")]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|p| p.contains("kafka.properties.sasl.usrname") && p.contains("`sasl.username`")));
        assert!(found.iter().any(|p| p.contains("session.timeout") && p.contains("`session.timeout.ms`")));
        assert!(found.iter().any(|p| p.contains("no.such.thing.at.all") && p.contains("CONFIGURATION.md")));
    }

    #[test]
    fn kf_2_names_of_the_java_client_get_the_name_to_use() {
        for (java, ours) in [
            ("sasl.jaas.config", "sasl.username"),
            ("ssl.truststore.location", "ssl.ca.location"),
            ("ssl.truststore.password", "ssl.ca.location"),
            ("ssl.truststore.certificates", "ssl.ca.pem"),
        ] {
            let found = problems(&[(java, "x")]);
            assert!(found.len() == 1 && found[0].contains(ours), "{java}: {found:?}");
        }
    }

    #[test]
    fn kf_4_a_users_value_for_what_we_force_is_an_error() {
        for name in ["enable.auto.commit", "enable.auto.offset.store"] {
            for value in ["true", "false"] {
                assert_eq!(problems(&[(name, value)]).len(), 1, "{name}={value}");
            }
        }
        assert_eq!(problems(&[("group.protocol", "consumer")]).len(), 1);
        assert_eq!(problems(&[("partition.assignment.strategy", "range")]).len(), 1);
        let none: [String; 0] = [];
        assert_eq!(problems(&[("group.protocol", "classic")]), none);
        let config = consumer(&with(&[("enable.auto.commit", "true")]), Reset::Error);
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
    }

    #[test]
    fn a_wrong_value_is_told_and_a_secret_is_not() {
        let found = problems(&[("session.timeout.ms", "soon"), ("ssl.key.pem", "hunter2\0")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(!found.iter().any(|p| p.contains("hunter2")), "{found:?}");
    }

    #[test]
    fn values_that_contradict_each_other_are_found_without_a_broker() {
        let found = problems(&[("session.timeout.ms", "300000"), ("max.poll.interval.ms", "10000")]);
        assert!(found.len() == 1 && found[0].contains("max.poll.interval.ms"), "{found:?}");
    }

    #[test]
    fn every_name_we_suggest_exists() {
        for name in KNOWN {
            let found = ClientConfig::new().set(*name, "").create_native_config();
            let unknown = matches!(found, Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)));
            assert!(!unknown, "{name}");
        }
    }
}
