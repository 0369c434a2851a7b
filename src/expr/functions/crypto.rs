//! `sha256` and `mask`: to show that two values are the same, or a part of one, without showing it.

use crate::expr::functions::function::{Answer, Function, bytes, int, text};
use crate::expr::limits::Budget;
use crate::expr::value::Cel;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// The family.
pub const TABLE: &[Function] = &[Function::plain("sha256", 1..=1, sha256), Function::plain("mask", 2..=2, mask)];

/// The SHA-256 of text (its UTF-8 bytes) or bytes, in lower-case hex.
fn sha256<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes(args, 0)?;
    budget.touch(bytes.len() * 8 + 1024)?;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("a String takes all");
    }
    Ok(Cel::text(hex))
}

/// `mask(text, 3)` keeps the first three characters, `mask(text, -4)` the last four; each other becomes `*`.
fn mask<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (text, keep) = (text(args, 0)?, int(args, 1)?);
    budget.touch(text.len())?;
    let length = text.chars().count() as u64;
    let kept = keep.unsigned_abs().min(length);
    let visible = |at: u64| if keep < 0 { at >= length - kept } else { at < kept };
    let masked: String = text.chars().zip(0..).map(|(c, at)| if visible(at) { c } else { '*' }).collect();
    Ok(Cel::text(masked))
}
