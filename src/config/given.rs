//! `schema_file:` the schema of a topic whose records name none, read and compiled.

use crate::config::reading::Reading;
use crate::decode::protobuf::{Message, MessageError};
use crate::decode::schema::Schema;
use crate::model::schema::{Language, SchemaText};
use crate::yaml::fields::Field;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The schema in `file`; for Protobuf the one `message` of it.
pub(crate) fn schema(
    file: &Field<'_>,
    language: Language,
    message: Option<Field<'_>>,
    reading: &mut Reading,
) -> Option<Arc<Schema>> {
    let path = reading.folder.join(file.text(&mut reading.problems)?);
    match language {
        Language::Protobuf => protobuf(file, &path, message, reading),
        Language::Avro | Language::JsonSchema => {
            if let Some(field) = message {
                let what = format!("is not for this: {} has no messages", language.as_str());
                field.problem(&mut reading.problems, what, "Leave it out");
            }
            let text = read(file, reading.files.text(&path), &path, reading)?;
            let compiled = Schema::compile(&SchemaText { language, text, references: Vec::new() });
            let compiled = compiled.map_err(|why| {
                let what = format!("{} is no {} that can be used: {why}", path.display(), language.as_str());
                file.problem(&mut reading.problems, what, "");
            });
            compiled.ok().map(Arc::new)
        }
    }
}

fn protobuf(file: &Field<'_>, path: &Path, message: Option<Field<'_>>, reading: &mut Reading) -> Option<Arc<Schema>> {
    let Some(message) = message else {
        let hint = "Add message with its full name, for example acme.shop.Order";
        file.problem(&mut reading.problems, "does not say which of its messages the records are", hint);
        return None;
    };
    let name = message.text(&mut reading.problems)?;
    let found = if path.extension().is_some_and(|end| end == "proto") {
        let text = read(file, reading.files.text(path), path, reading)?;
        let folder: PathBuf = path.parent().unwrap_or(Path::new("")).to_owned();
        // What it imports is relative to its folder.
        let files = reading.files.clone();
        let open = move |import: &str| files.text(&folder.join(import)).ok();
        let own = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Message::of_file(name, (&own, &text), open)
    } else {
        Message::of_set(name, &read(file, reading.files.bytes(path), path, reading)?)
    };
    let problems = &mut reading.problems;
    match found {
        Ok(message) => return Some(Arc::new(Schema::ProtobufMessage(message))),
        Err(MessageError::File(why)) => {
            let hint = "It is a .proto file, or a set of descriptors (protoc --include_imports --descriptor_set_out)";
            file.problem(problems, format!("{} cannot be compiled: {why}", path.display()), hint);
        }
        Err(MessageError::Absent(known)) => {
            let what = format!("there is no message `{name}` in {}", path.display());
            message.problem(problems, what, format!("There are {}", known.join(", ")));
        }
    }
    None
}

fn read<T>(file: &Field<'_>, found: std::io::Result<T>, path: &Path, reading: &mut Reading) -> Option<T> {
    let told = |error: std::io::Error| {
        let what = format!("{} cannot be read: {error}", path.display());
        file.problem(&mut reading.problems, what, "Paths are relative to the configuration file");
    };
    found.map_err(told).ok()
}
