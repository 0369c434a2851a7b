//! How the records of a topic are decoded: a format, and what stands around it.

use crate::decode::format::Format;

/// How the records of one topic are decoded. The default: JSON, tombstones are events, nothing is compressed.
#[derive(Clone, Debug, Default)]
pub struct Decoding {
    /// What the bytes are.
    pub format: Format,
    /// What the decoded value is wrapped in.
    pub envelope: Envelope,
    /// What becomes of records without a value.
    pub tombstones: Tombstones,
    /// What the bytes are packed in.
    pub compression: Compression,
    /// Which names CloudEvents may give to their extensions.
    pub names: Names,
}

/// What a decoded value is wrapped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Nothing: it is the payload.
    #[default]
    None,
    /// A change event of Debezium (DZ-1).
    Debezium,
}

/// What becomes of records without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tombstones {
    /// An event whose payload is null.
    #[default]
    Event,
    /// Nothing.
    Skip,
}

/// What values are packed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// gzip (RFC 1952), one member or several.
    Gzip,
    /// Zstandard (RFC 8878), one frame or several.
    Zstd,
    /// Whichever of the two the value begins like, else nothing.
    Auto,
}

/// Which names CloudEvents may give to their extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Those that the standard allows (CE-3).
    #[default]
    Exact,
    /// Capital letters too, read as small ones (DZ-3).
    AnyCase,
}
