//! The demo's own config, mappings and store, in a folder that goes with it.

use crate::runtime::random;
use anyhow::Context;
use serde_json::json;
use std::path::PathBuf;

/// The example mappings, as they stand in the repository.
const MAPPINGS: &str = include_str!("../../../config/mappings/shop.yaml");

/// A folder with all that the daemon of a demo needs; it is removed when this is dropped.
pub(crate) struct House {
    /// Its config file.
    pub(crate) config: PathBuf,
    folder: PathBuf,
}

// === impl House ===

impl House {
    /// Writes config and mappings; the API listens on `port` of 127.0.0.1, 0 takes a free one.
    ///
    /// # Errors
    /// The folder for temporary files cannot be written to.
    pub(crate) fn build(brokers: &str, port: u16) -> anyhow::Result<Self> {
        let number = u64::from_be_bytes(random::secret());
        let folder = std::env::temp_dir().join(format!("hookline-demo-{number:016x}"));
        let house = Self { config: folder.join("hookline.yaml"), folder };
        let write = || {
            std::fs::create_dir(&house.folder)?;
            std::fs::write(house.folder.join("shop.yaml"), MAPPINGS)?;
            std::fs::write(&house.config, house.written(brokers, port))
        };
        write().with_context(|| format!("cannot write to {}", house.folder.display()))?;
        Ok(house)
    }

    /// The config. JSON is YAML, and quotes what must be quoted.
    fn written(&self, brokers: &str, port: u16) -> String {
        let config = json!({
            "kafka": {"brokers": brokers, "group": "hookline-demo", "start": "earliest"},
            "mappings": ["shop.yaml"],
            "store": {"path": self.folder.join("data")},
            "egress": {"allow_http": true, "allow": ["127.0.0.1/32"]}, // the receiver is on this machine
            "api": {"listen": format!("127.0.0.1:{port}")},
            "metrics": {"listen": "127.0.0.1:0"},
            "log": {"level": "warn"},
            "shutdown": {"grace": "1s"},
        });
        config.to_string()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder)); // what is left is in the folder for temporary files
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_demos_config_is_valid_and_goes_with_it() {
        let house = House::build("127.0.0.1:9092", 0).unwrap();
        let config = Config::load(&house.config, &[]).map_err(|error| error.report()).unwrap();
        assert!(config.mappings.matches_topic("shop.orders") && config.mappings.matches_topic("shop.payments"));
        assert!(config.store.path.starts_with(&house.folder));
        let folder = house.folder.clone();
        drop(house);
        assert!(!folder.exists());
    }
}
