//! `secrets:` what `hmac` in mappings may use, by name.

use crate::config::reading::Reading;
use crate::expr::secrets::Secrets;
use crate::yaml::fields::Field;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest name: it is written in expressions.
const NAME_LENGTH: usize = 100;

/// All secrets; those with a mistake are left out.
pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Secrets {
    let mut secrets = BTreeMap::new();
    let entries = field.and_then(|field| field.entries(&mut reading.problems));
    for (entry, field) in entries.unwrap_or_default() {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        let name = &entry.key;
        if name.is_empty() || name.len() > NAME_LENGTH || !name.bytes().all(allowed) {
            let hint = format!("Use 1 to {NAME_LENGTH} of the characters a-z A-Z 0-9 _ - .");
            reading.problems.add(&entry.place, field.path.clone(), "is not a name for a secret", hint);
        }
        let Some(secret) = reading.secret(&field) else { continue };
        if secret.expose().is_empty() {
            field.problem(&mut reading.problems, "is empty", "Whoever guesses that can make the same digests");
        }
        secrets.insert(name.clone(), secret);
    }
    Secrets::Known(Arc::new(secrets))
}
