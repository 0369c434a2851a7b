//! What a media type says of data: JSON, text, or anything else (CE-5, CJ-3).

/// The kinds of data that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// JSON, by `*/json` or `*/*+json`.
    Json,
    /// Text, by `text/*`, or XML.
    Text,
    /// Anything else.
    Other,
}

// === impl Media ===

impl Media {
    /// The kind of a media type, whatever its parameters and the case of its letters.
    pub(crate) fn of(text: &str) -> Self {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (kind, subtype) = essence.split_once('/').unwrap_or_default();
        if subtype == "json" || subtype.ends_with("+json") {
            Self::Json
        } else if kind == "text" || subtype == "xml" || subtype.ends_with("+xml") {
            Self::Text
        } else {
            Self::Other
        }
    }
}

/// Whether `text` begins as a media type does: `type/subtype` (RFC 2046).
pub(crate) fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ce_5_media_types_compare_without_case_and_parameters() {
        for text in ["application/json", "TEXT/JSON; charset=utf-8", "application/vnd.acme+JSON"] {
            assert_eq!(Media::of(text), Media::Json, "{text}");
        }
        for text in ["text/plain", "Text/CSV;x=y", "application/xml", "image/svg+xml"] {
            assert_eq!(Media::of(text), Media::Text, "{text}");
        }
        for text in ["application/octet-stream", "json", "", "application/jsonx"] {
            assert_eq!(Media::of(text), Media::Other, "{text}");
        }
    }

    #[test]
    fn ce_2_a_media_type_has_a_type_and_a_subtype() {
        assert!(is_media_type("text/plain; charset=\"utf-8\"") && is_media_type("application/vnd.a+json"));
        assert!(["", "xyz", "/x", "x/", "a b/c"].into_iter().all(|text| !is_media_type(text)));
    }
}
