//! `verification:` who we are towards endpoints that are asked whether they want events.

use crate::config::reading::{Reading, put};
use crate::deliver::handshake::Introduction;
use crate::yaml::fields::Field;
use url::Url;

/// The longest DNS name.
const NAME: usize = 253;
/// The longest of its labels.
const LABEL: usize = 63;

pub(crate) fn read(field: Option<Field<'_>>, reading: &mut Reading) -> Introduction {
    let mut introduction = Introduction::default();
    let Some(mut fields) = reading.section(field) else { return introduction };
    if let Some(field) = fields.optional("origin") {
        put(&mut introduction.origin, origin(&field, reading));
    }
    if let Some(field) = fields.optional("callback") {
        introduction.callback = callback(&field, reading);
    }
    fields.finish(&mut reading.problems);
    introduction
}

fn origin(field: &Field<'_>, reading: &mut Reading) -> Option<String> {
    let text = field.text(&mut reading.problems)?;
    let label = |label: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=LABEL).contains(&label.len())
            && label.bytes().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= NAME && text.split('.').all(label) {
        return Some(text.to_owned());
    }
    let hint = "Write a name for the whole system: events.example.com";
    field.problem(&mut reading.problems, format!("`{text}` is no DNS name"), hint);
    None
}

fn callback(field: &Field<'_>, reading: &mut Reading) -> Option<Url> {
    let text = field.text(&mut reading.problems)?;
    let url = Url::parse(text).ok().filter(|url| {
        let plain = url.username().is_empty() && url.password().is_none();
        url.scheme() == "https" && plain && url.query().is_none() && url.fragment().is_none()
    });
    if url.is_none() {
        let hint = "Write where subscribers reach the API: https://hookline.example.com, without `?`, `#` and user";
        field.problem(&mut reading.problems, "is no https address that ends with its path", hint);
    }
    url
}
