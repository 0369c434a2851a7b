//! Which topic a name stands for: a topic that was deleted and made anew has its name, and another id.

use std::fmt;

/// The id that a cluster gives to a topic when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicId([u8; 16]);

// === impl TopicId ===

impl TopicId {
    /// An id from its bytes; `None` for zero, which is what a cluster without topic ids says.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads what `Display` wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self::from_bytes(u128::from_str_radix(text, 16).ok().filter(|_| digits)?.to_be_bytes())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_zero_is_none() {
        let id = TopicId::from_bytes([7; 16]).unwrap();
        assert_eq!(TopicId::parse(&id.to_string()), Some(id));
        assert_eq!(TopicId::from_bytes([0; 16]), None);
        for other in ["", "07", &"0".repeat(32), &"x".repeat(32), &format!("+{}", "7".repeat(31))] {
            assert_eq!(TopicId::parse(other), None, "{other}");
        }
    }
}
