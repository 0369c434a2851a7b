//! The fenced blocks of a page, in their order.

use std::path::Path;

/// A fenced block: the words behind its fence, its text, and its line.
pub(crate) struct Block {
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// All blocks of a page of `docs`.
pub(crate) fn of(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                open = Some(Block { kind: kind.trim().to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: a block is not closed");
    blocks
}

// === impl Block ===

impl Block {
    /// The block as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("line {}: {error}", self.line))
    }

    /// The path of the file that the block is.
    pub(crate) fn file(&self) -> Option<&str> {
        self.kind.split_once(" file=").map(|(_, path)| path)
    }
}
