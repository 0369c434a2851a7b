//! A configuration in a folder of its own, and records as the pages write them.

use hookline::config::Config;
use hookline::model::record::{Header, Origin, Record};
use hookline::model::time::Timestamp;
use hookline::pipeline::Pipeline;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The rules that a configuration, a mapping file and the files beside it make.
pub(crate) fn pipeline(config: &str, mapping: &str, files: &[(&str, &str)]) -> Result<Pipeline, String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "hookline.yaml", config);
    write(folder.path(), "mappings/page.yaml", mapping);
    files.iter().for_each(|(name, text)| write(folder.path(), &format!("mappings/{name}"), text));
    let config = Config::load(&folder.path().join("hookline.yaml"), &[]).map_err(|error| error.report())?;
    Ok(Pipeline::new(config.mappings, config.formats, config.limits.event_bytes))
}

/// Writes a file, with its folder.
pub(crate) fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A record of `shop.orders`: its value alone, or an object of `key`, `headers` and `value`.
pub(crate) fn record(written: &Value) -> Record {
    let whole = written.get("value").is_some();
    let part = |name: &str| if whole { written.get(name).filter(|part| !part.is_null()) } else { None };
    let bytes = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned).into();
    let origin = Origin {
        topic: "shop.orders".into(),
        partition: 0,
        offset: 7,
        timestamp: Timestamp::from_millis(1_767_225_600_000),
    };
    let headers = part("headers").and_then(Value::as_object).into_iter().flatten();
    let headers = headers.map(|(name, value)| Header { name: name.clone(), value: Some(bytes(value)) }).collect();
    let value = if whole { part("value").map(bytes) } else { Some(written.to_string().into()) };
    Record { origin, key: part("key").map(bytes), headers, value }
}
