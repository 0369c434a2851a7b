//! What is read at the start only: files and threads, connections and listeners are made of it. A reload that would
//! change it is refused with its name, for half of a configuration is in nobody's file.

use crate::config::log::LogFormat;
use crate::deliver::handshake::Introduction;
use crate::egress::settings::EgressSettings;
use crate::intake::settings::IntakeSettings;
use crate::kafka::settings::KafkaSettings;
use crate::quarantine::settings::QuarantineSettings;
use crate::registry::settings::RegistrySettings;
use crate::store::settings::StoreSettings;
use crate::traces::settings::TracesSettings;
use crate::web::settings::{ApiSettings, MetricsSettings};
use std::time::Duration;

/// The settings that cannot change while the process runs.
#[derive(Clone, Debug)]
pub struct Fixed {
    pub(crate) kafka: KafkaSettings,
    pub(crate) store: StoreSettings,
    pub(crate) limits: IntakeSettings,
    pub(crate) quarantine: QuarantineSettings,
    pub(crate) scans: usize,
    pub(crate) egress: EgressSettings,
    pub(crate) registry: Option<RegistrySettings>,
    /// The digest of the certificates in `egress.ca_file`.
    pub(crate) certificates: Option<[u8; 32]>,
    pub(crate) api: ApiSettings,
    pub(crate) metrics: MetricsSettings,
    pub(crate) verification: Introduction,
    pub(crate) format: LogFormat,
    pub(crate) traces: Option<TracesSettings>,
    pub(crate) grace: Duration,
}

// === impl Fixed ===

impl Fixed {
    /// The keys whose values differ in `other`. `limits.event_bytes` belongs to the rules, and may.
    #[must_use]
    pub fn changes(&self, other: &Self) -> Vec<&'static str> {
        let certificates = self.egress.ca_file != other.egress.ca_file || self.certificates != other.certificates;
        let keys = [
            ("kafka.brokers", self.kafka.brokers != other.kafka.brokers),
            ("kafka.group", self.kafka.group != other.kafka.group),
            ("kafka.start", self.kafka.start != other.kafka.start),
            ("kafka.properties", self.kafka.properties != other.kafka.properties),
            ("store.path", self.store.path != other.store.path),
            ("store.cache", self.store.cache != other.store.cache),
            ("store.min_free", self.store.min_free != other.store.min_free),
            ("store.encryption_keys", self.store.encryption_keys != other.store.encryption_keys),
            ("limits.bytes_in_flight", self.limits.bytes_in_flight != other.limits.bytes_in_flight),
            (
                "limits.open_records_per_partition",
                self.limits.open_records_per_partition != other.limits.open_records_per_partition,
            ),
            ("schema_registry", self.registry != other.registry),
            ("limits.quarantine", self.quarantine != other.quarantine),
            ("limits.catch_up_scans", self.scans != other.scans),
            ("egress.allow_http", self.egress.allow_http != other.egress.allow_http),
            ("egress.ports", self.egress.ports != other.egress.ports),
            ("egress.allow", self.egress.allow != other.egress.allow),
            ("egress.deny", self.egress.deny != other.egress.deny),
            ("egress.nat64", self.egress.nat64 != other.egress.nat64),
            ("egress.ca_file", certificates),
            ("egress.min_tls", self.egress.min_tls != other.egress.min_tls),
            ("api.listen", self.api.listen != other.api.listen),
            ("api.tokens", self.api.tokens != other.api.tokens),
            ("metrics.listen", self.metrics.listen != other.metrics.listen),
            ("metrics.per_subscription", self.metrics.per_subscription != other.metrics.per_subscription),
            ("verification.origin", self.verification.origin != other.verification.origin),
            ("verification.callback", self.verification.callback != other.verification.callback),
            ("log.format", self.format != other.format),
            ("tracing", self.traces != other.traces),
            ("shutdown.grace", self.grace != other.grace),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::fs;
    use std::path::Path;

    fn loaded(folder: &Path, sets: &[&str]) -> Config {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::load(&folder.join("hookline.yaml"), &sets).map_err(|error| error.report()).unwrap()
    }

    fn home() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mappings")).unwrap();
        fs::write(folder.path().join("hookline.yaml"), "").unwrap();
        folder
    }

    #[test]
    fn every_key_of_the_example_either_needs_a_restart_by_its_name_or_may_change() {
        let folder = home();
        let before = loaded(folder.path(), &[]).fixed();
        let tokens = "api.tokens=[{name: a, token: aaaaaaaaaaaaaaaaaaaaaaaa, scope: admin}]";
        let keys = "store.encryption_keys=[aG9va2xpbmUncyBrZXkgb2YgMzIgYnl0ZXMsIGRvbmU=]";
        for set in [
            "kafka.brokers=a:1",
            "kafka.group=g",
            "kafka.start=earliest",
            "kafka.properties.client.rack=a",
            "store.path=x",
            "store.cache=64MiB",
            "store.min_free=1MiB",
            keys,
            "limits.bytes_in_flight=65MiB",
            "limits.open_records_per_partition=3",
            "limits.catch_up_scans=3",
            "egress.allow_http=true",
            "egress.ports=[443]",
            "egress.allow=[10.0.0.0/8]",
            "egress.deny=[10.0.0.0/8]",
            "egress.nat64=true",
            "egress.min_tls='1.3'",
            "api.listen=127.0.0.1:1",
            tokens,
            "metrics.listen=127.0.0.1:2",
            "metrics.per_subscription=true",
            "verification.origin=a.example",
            "verification.callback=https://a.example",
            "log.format=json",
            "tracing.otlp=http://x",
            "shutdown.grace=3s",
        ] {
            let changes = before.changes(&loaded(folder.path(), &[set]).fixed());
            assert!(changes.len() == 1 && set.starts_with(changes[0]), "{set}: {changes:?}");
        }
        for set in [
            "topics.a.format=text",
            "mappings=[]",
            "secrets={partner: hunter2}",
            "subscriptions=[]",
            "catalogue.title=x",
            "catalogue.validate=all",
            "delivery.timeout=3s",
            "limits.event_bytes=2MiB",
            "limits.lane_queue=3",
            "log.level=debug",
        ] {
            assert_eq!(before.changes(&loaded(folder.path(), &[set]).fixed()), [""; 0], "{set}");
        }
    }

    #[test]
    fn other_certificates_in_the_same_file_need_a_restart_too() {
        let folder = home();
        let fixed = loaded(folder.path(), &[]).fixed();
        let other = Fixed { certificates: Some([1; 32]), ..fixed.clone() };
        assert_eq!(fixed.changes(&other), ["egress.ca_file"]);
    }
}
