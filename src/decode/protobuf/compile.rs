//! `.proto` files to descriptors.
//!
//! What a file imports comes from whoever has it: the registry's references, or the folder of the file. Google's own
//! types need not be among them, nor what Confluent's serializers put in without saying so.

use crate::decode::protobuf::known;
use crate::model::schema::Reference;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FileDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The name of a file that a registry holds; it has none there.
const NAMELESS: &str = "the schema";

/// How deep brackets may stand in each other. Messages nest 32 deep at most, but values of options as deep as they are
/// written, and the parser runs out of stack on them.
const BRACKETS: usize = 64;

/// Gives the text of a file by its name.
type Open = dyn Fn(&str) -> Option<String>;

/// A file, and where the others are.
pub(crate) struct Sources {
    name: String,
    text: String,
    open: Box<Open>,
}

// === impl Sources ===

impl Sources {
    pub(crate) fn new((name, text): (&str, &str), open: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), open: Box::new(open) }
    }

    pub(crate) fn of_registry(text: &str, references: &[Reference]) -> Self {
        let files: HashMap<String, String> =
            references.iter().map(|reference| (reference.name.clone(), reference.text.clone())).collect();
        Self::new((NAMELESS, text), move |name| files.get(name).cloned())
    }
}

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name == self.name {
            return parsed(name, &self.text);
        }
        match (self.open)(name).or_else(|| known::file(name).map(str::to_owned)) {
            Some(text) => parsed(name, &text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// A file as text, or its descriptor in base64: so some serializers register it, and some registries give it back.
fn parsed(name: &str, text: &str) -> Result<File, protox::Error> {
    let bytes = STANDARD.decode(text.trim()).ok();
    match bytes.and_then(|bytes| FileDescriptorProto::decode(&*bytes).ok()) {
        Some(descriptor) => {
            Ok(File::from_file_descriptor_proto(FileDescriptorProto { name: Some(name.to_owned()), ..descriptor }))
        }
        None if is_deep(text) => {
            Err(protox::Error::new(format!("{name}: brackets stand more than {BRACKETS} deep in each other")))
        }
        None => File::from_source(name, text),
    }
}

/// Whether brackets outside of strings and comments stand deeper in each other than they may.
fn is_deep(text: &str) -> bool {
    let (mut open, mut rest) = (0_usize, text);
    while let Some(at) = rest.find(['(', '[', '{', '<', ')', ']', '}', '>', '"', '\'', '/', '#']) {
        let (mark, after) = rest[at..].split_at(1);
        rest = match mark {
            "\"" | "'" => behind_string(after, mark),
            "#" => behind(after, "\n"),
            "/" if after.starts_with('/') => behind(after, "\n"),
            "/" if after.starts_with('*') => behind(&after[1..], "*/"),
            _ => after,
        };
        match mark {
            "(" | "[" | "{" | "<" => open += 1,
            ")" | "]" | "}" | ">" => open = open.saturating_sub(1),
            _ => {}
        }
        if open > BRACKETS {
            return true;
        }
    }
    false
}

fn behind<'t>(text: &'t str, end: &str) -> &'t str {
    text.split_once(end).map_or("", |(_, after)| after)
}

/// A string ends with its quote, and at the latest with its line.
fn behind_string<'t>(text: &'t str, quote: &str) -> &'t str {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n', '"', '\'']) {
        let (mark, after) = rest[at..].split_at(1);
        rest = match mark {
            "\\" => after.get(1..).unwrap_or(after),
            _ if mark == quote || mark == "\n" => return after,
            _ => after,
        };
    }
    ""
}

/// Compiles the file.
pub(crate) fn file(sources: Sources) -> Result<FileDescriptor, String> {
    let name = sources.name.clone();
    let mut resolver = ChainFileResolver::new();
    resolver.add(sources);
    resolver.add(GoogleFileResolver::new());
    walled(|| {
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(&name).map_err(|error| error.to_string())?;
        let file = compiler.descriptor_pool().get_file_by_name(&name);
        file.ok_or_else(|| "it holds no file".to_owned())
    })
}

/// A descriptor set as `protoc` writes it.
pub(crate) fn set(bytes: &[u8]) -> Result<DescriptorPool, String> {
    walled(|| DescriptorPool::decode(bytes).map_err(|error| error.to_string()))
}

/// Who links descriptors has panicked on such as contradict themselves, which a registry may hand out.
fn walled<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("its descriptors contradict themselves".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_proto_or_imports_what_is_not_there_is_told() {
        let told = |text| file(Sources::of_registry(text, &[])).unwrap_err();
        assert!(!told("message {").is_empty());
        assert!(told("import \"a/b.proto\";").contains("a/b.proto"));
        let itself = Reference { name: "a.proto".into(), text: "import \"a.proto\";".into() };
        assert!(file(Sources::of_registry("import \"a.proto\";", &[itself])).is_err());
    }

    #[test]
    fn descriptors_that_contradict_themselves_are_told_and_do_no_harm() {
        // It is base64 of a descriptor.
        let told = file(Sources::of_registry("package/tbge/tpj5e5syntaxWIGcHJvdG4z", &[])).unwrap_err();
        assert_eq!(told, "its descriptors contradict themselves");
    }

    #[test]
    fn values_of_options_that_stand_too_deep_in_each_other_are_told_and_do_not_overflow_the_stack() {
        let option = "import \"google/protobuf/descriptor.proto\"; option (x) = ".to_owned();
        for (open, close) in [("{ a ", "}"), ("{ a <", ">}"), ("{ /* } */ a ", "}"), ("{ a: '}' # }\n b ", "}")] {
            let text = format!("{option}{}{};", open.repeat(5_000), close.repeat(5_000));
            let told = file(Sources::of_registry(&text, &[])).unwrap_err();
            assert!(told.contains("brackets stand more than 64 deep"), "{told}");
        }
        let brackets = "{[(<".repeat(100);
        let text = format!(
            "// {brackets}\n/* {brackets} */ message A {{ optional string s = 1 [default = \"\\\"{brackets}\"]; }}"
        );
        assert!(file(Sources::of_registry(&text, &[])).is_ok());
    }
}
