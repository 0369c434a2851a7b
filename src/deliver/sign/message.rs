//! What is signed, and where a key comes from.

/// The three parts of what is signed, in their order, with a full stop between them.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The `webhook-id`.
    pub id: &'a str,
    /// The `webhook-timestamp`, seconds since the Unix epoch.
    pub timestamp: i64,
    /// The body, as it is on the wire.
    pub body: &'a [u8],
}

/// Where a secret was made: how strictly its length is judged (SW-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Here and now: 24 to 64 bytes.
    Now,
    /// Somewhere else or earlier: any length, because it is in use.
    Elsewhere,
}

// === impl Message ===

impl Message<'_> {
    /// Gives the signed bytes piece by piece.
    pub fn each(&self, mut take: impl FnMut(&[u8])) {
        take(self.id.as_bytes());
        take(b".");
        take(self.timestamp.to_string().as_bytes());
        take(b".");
        take(self.body);
    }
}
