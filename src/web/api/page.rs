//! Lists in pages: `?limit=` and `?cursor=`, `{items, next_cursor}`; and the other parameters that a list takes.

use crate::web::api::problem::{Kind, Problem};
use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::HashMap;
use url::form_urlencoded;

/// Items of a page: the default, and at most.
const DEFAULT: usize = 50;
const MOST: usize = 200;

/// What a list was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Items at most.
    pub(crate) limit: usize,
    /// The id after which the page begins.
    pub(crate) after: Option<String>,
    filters: HashMap<String, String>,
}

/// A page, and the id where the next begins, if there is one.
pub(crate) struct Page {
    /// What it holds.
    pub(crate) items: Vec<Value>,
    /// The last id that was looked at, when there may be more behind it.
    pub(crate) last: Option<String>,
}

// === impl Asked ===

impl Asked {
    /// Reads a query string; besides `limit` and `cursor` only `filters` are known.
    ///
    /// # Errors
    /// A parameter is unknown, there twice, or has no fit value.
    pub(crate) fn read(query: Option<&str>, filters: &[&str]) -> Result<Self, Problem> {
        let known = [filters, &["limit", "cursor"]].concat();
        let mut all = self::filters(query, &known)?;
        let limit = match all.remove("limit") {
            None => DEFAULT,
            Some(text) => {
                let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
                limit.ok_or_else(|| bad("limit", "must be a number from 1 to 200"))?
            }
        };
        let after = all.remove("cursor").map(|cursor| {
            let id = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            id.ok_or_else(|| bad("cursor", "must be the next_cursor of the page before"))
        });
        Ok(Self { limit, after: after.transpose()?, filters: all })
    }

    /// The value of a filter.
    pub(crate) fn filter(&self, name: &str) -> Option<&str> {
        self.filters.get(name).map(String::as_str)
    }

    /// The id after which the page begins, when it can be one of this kind.
    ///
    /// # Errors
    /// The cursor is another list's.
    pub(crate) fn after(&self, prefix: &str) -> Result<Option<String>, Problem> {
        match &self.after {
            Some(id) if !id.starts_with(prefix) => Err(bad("cursor", "belongs to another list")),
            after => Ok(after.clone()),
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let next = self.last.map(|id| URL_SAFE_NO_PAD.encode(id));
        Json(json!({ "items": self.items, "next_cursor": next })).into_response()
    }
}

/// The parameters of a query string, of which only these are known.
///
/// # Errors
/// One is unknown, or there twice.
pub(crate) fn filters(query: Option<&str>, known: &[&str]) -> Result<HashMap<String, String>, Problem> {
    let mut all = HashMap::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if !known.contains(&&*name) {
            return Err(bad(&name, "is not known here"));
        }
        if all.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(bad(&name, "is there twice"));
        }
    }
    Ok(all)
}

/// The value of a parameter is wrong.
pub(crate) fn bad(name: &str, what: &str) -> Problem {
    Problem::of(Kind::BadRequest, format!("the parameter {name} {what}"))
}
