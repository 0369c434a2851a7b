//! `store:` where it is, what it may use, and the keys that seal secrets.

use crate::config::reading::{Reading, put};
use crate::model::secret::Secret;
use crate::store::settings::StoreSettings;
use crate::yaml::fields::Field;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a cache may take: below the least every look-up goes to the disk.
const CACHE: std::ops::RangeInclusive<u64> = 1 << 20..=64 << 30;
/// What may be kept free: less than the least cannot hold one flush.
const MIN_FREE: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 40;
/// The bytes of a key of XChaCha20.
const KEY: usize = 32;

/// `path` is relative to the working directory, where data belongs, not to the configuration.
pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> StoreSettings {
    let mut settings = StoreSettings::default();
    let Some(mut fields) = reading.section(field) else { return settings };
    if let Some(field) = fields.optional("path")
        && let Some(path) = field.string(&mut reading.problems)
    {
        if path.is_empty() {
            field.problem(
                &mut reading.problems,
                "must not be empty",
                "Write a folder; it is made when it is not there",
            );
        }
        settings.path = path.into();
    }
    if let Some(field) = fields.optional("cache") {
        put(&mut settings.cache, field.size(CACHE, &mut reading.problems));
    }
    if let Some(field) = fields.optional("min_free") {
        put(&mut settings.min_free, field.size(MIN_FREE, &mut reading.problems));
    }
    if let Some(field) = fields.optional("encryption_keys") {
        let keys = field.list(&mut reading.problems).unwrap_or_default();
        settings.encryption_keys = keys.iter().filter_map(|field| key(field, reading)).collect();
    }
    fields.finish(&mut reading.problems);
    settings
}

fn key(field: &Field<'_>, reading: &mut Reading) -> Option<Secret> {
    let key = reading.secret(field)?;
    match STANDARD.decode(key.expose()) {
        Ok(bytes) if bytes.len() == KEY => return Some(key),
        Ok(bytes) => {
            let what = format!("must be base64 of {KEY} bytes, not of {}", bytes.len());
            field.problem(&mut reading.problems, what, "Make one: openssl rand -base64 32");
        }
        Err(_) => {
            let what = format!("must be base64 of {KEY} bytes");
            field.problem(&mut reading.problems, what, "Make one: openssl rand -base64 32");
        }
    }
    None
}
