//! What CloudEvents 1.0 allows in an attribute: the characters of a text (CE-4), URI-references (CE-1), names (CE-3).
//!
//! Used where events are read as well as where they are made.

/// The first character of `text` that no attribute may hold: control characters and noncharacters.
#[must_use]
pub fn forbidden(text: &str) -> Option<char> {
    text.chars().find(|c| c.is_control() || is_noncharacter(*c))
}

fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether `name` is one: lower-case letters and digits, and not `data`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "data" && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Whether `text` is a URI-reference (RFC 3986 section 4.1), by its characters: what a parser of a base URI would make of it
/// is not our business.
#[must_use]
pub fn is_uri_reference(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    let escaped = |at: usize| text.as_bytes().get(at + 1..at + 3).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
    let escapes = text.bytes().enumerate().filter(|(_, b)| *b == b'%').all(|(at, _)| escaped(at));
    // In front of the first colon of an absolute one stands a scheme; a relative path may not look like one.
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = first.split_once(':').is_none_or(|(scheme, _)| is_scheme(scheme));
    text.bytes().all(allowed) && escapes && scheme && text.matches('#').count() <= 1
}

/// Whether `text` is a URI with its scheme: a URI-reference that is not relative.
#[must_use]
pub fn is_absolute_uri(text: &str) -> bool {
    is_uri_reference(text) && text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ce_1_a_source_is_a_uri_reference_by_its_characters() {
        for good in
            ["urn:hookline:shop.orders", "/shop", "https://a.b/c?d#e", "x/y:z", "mailto:a@b.c", "a%20b", "1-555"]
        {
            assert!(is_uri_reference(good), "{good}");
        }
        for bad in ["a b", "ä", "a%2", "a%zz", ":a", "1a:b", "a#b#c", "<x>", "a\\b"] {
            assert!(!is_uri_reference(bad), "{bad}");
        }
    }

    #[test]
    fn ce_2_a_schema_is_an_absolute_uri() {
        assert!(is_absolute_uri("https://a.b/c") && is_absolute_uri("urn:x"));
        assert!(!is_absolute_uri("/c") && !is_absolute_uri("a:") && !is_absolute_uri("") && !is_absolute_uri("a b:c"));
    }

    #[test]
    fn ce_3_a_name_is_lower_case_letters_and_digits_and_not_data() {
        assert!(is_name("traceparent") && is_name("x1"));
        assert!(!is_name("") && !is_name("data") && !is_name("trace-parent") && !is_name("traceId") && !is_name("é"));
    }

    #[test]
    fn ce_4_strings_hold_no_control_characters_and_no_noncharacters() {
        for bad in ["a\nb", "\u{7f}", "\u{9f}", "\u{fdd0}", "\u{fffe}", "\u{1ffff}", "\0"] {
            assert!(forbidden(bad).is_some(), "{bad:?}");
        }
        assert_eq!(forbidden("größe 5 \u{1f600}"), None);
    }
}
