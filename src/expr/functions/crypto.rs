//! `sha256`, `hmac`, `mask` and `uuid5`: to show that two values are the same, or a part of one, without showing it.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, bytes, int, text};
use crate::expr::limits::Budget;
use crate::expr::value::Cel;
use crate::model::secret::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use uuid::Uuid;

/// The family. (`hmac` has its secret from the compiler.)
pub const TABLE: &[Function] = &[
    Function::plain("sha256", 1..=1, sha256),
    Function::plain("mask", 2..=2, mask),
    Function::plain("uuid5", 2..=2, uuid5),
];

/// The SHA-256 of text (its UTF-8 bytes) or bytes, in lower-case hex.
fn sha256<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let bytes = bytes(args, 0)?;
    budget.touch(bytes.len() * 8 + 1024)?;
    Ok(hex(&Sha256::digest(bytes)))
}

/// The HMAC-SHA256 of text or bytes under `secret`, in lower-case hex.
///
/// # Errors
/// It is neither, or the limit.
pub fn hmac<'a>(value: &Cel<'a>, secret: &Secret, budget: &mut Budget) -> Answer<'a> {
    let value = std::slice::from_ref(value);
    let bytes = bytes(value, 0).map_err(|failure| Failure { what: format!("`hmac`: {}", failure.what), ..failure })?;
    budget.touch(bytes.len() * 8 + 4096)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(bytes);
    Ok(hex(&mac.finalize().into_bytes()))
}

fn hex<'a>(digest: &[u8]) -> Cel<'a> {
    let mut hex = String::with_capacity(digest.len() * 2);
    for byte in digest {
        write!(hex, "{byte:02x}").expect("a String takes all");
    }
    Cel::text(hex)
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

/// `uuid5("dns", "example.com")`: the UUID of a name in a namespace (RFC 9562 section 5.5), the same each time. The namespace is
/// `dns`, `url`, `oid`, `x500`, or a UUID of one's own.
fn uuid5<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (namespace, name) = (text(args, 0)?, bytes(args, 1)?);
    budget.touch(name.len() * 8 + 1024)?;
    let namespace = match namespace {
        "dns" => Uuid::NAMESPACE_DNS,
        "url" => Uuid::NAMESPACE_URL,
        "oid" => Uuid::NAMESPACE_OID,
        "x500" => Uuid::NAMESPACE_X500,
        own => Uuid::try_parse(own).map_err(|_| {
            let shown: String = own.chars().take(64).collect();
            Failure::fault(format!("{shown:?} is no namespace: it is dns, url, oid, x500 or a UUID"))
        })?,
    };
    Ok(Cel::text(Uuid::new_v5(&namespace, name).hyphenated().to_string()))
}
