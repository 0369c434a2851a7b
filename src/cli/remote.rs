//! A running daemon, asked over its API: where it is, who asks, and what its refusals say.

use crate::cli::output::harmless;
use crate::egress::exchange::Request;
use crate::egress::service::{Answer, Service};
use anyhow::{Context, anyhow, bail};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// Longer than the API takes for the longest of its answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Items of a page, as many as the API gives.
const PAGE: usize = 200;
/// Bytes of an answer: a page of the API has a few hundred KiB, one quarantined record some MiB in base64.
const MOST: usize = 128 << 20;

/// Options of commands that ask a running daemon.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// Where the API of the daemon is
    #[arg(long, env = "HOOKLINE_API", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    #[arg(help_heading = "Daemon")]
    pub api: Url,
    /// A token of `api.tokens`; better in the environment, where others do not see it [default: none]
    #[arg(long, env = "HOOKLINE_TOKEN", value_name = "T", hide_env_values = true, help_heading = "Daemon")]
    pub token: Option<String>,
    /// Prints JSON, as the API has it
    #[arg(long)]
    pub json: bool,
}

/// A daemon.
pub struct Remote {
    service: Service,
    api: Url,
    headers: HeaderMap,
}

/// What a list holds.
pub struct Items {
    /// As many as were asked for.
    pub items: Vec<Value>,
    /// Whether there are others.
    pub more: bool,
}

// === impl Remote ===

impl Remote {
    /// The daemon that is meant; it is not asked yet.
    ///
    /// # Errors
    /// The URL or the token cannot be used.
    pub fn of(reach: &Reach) -> anyhow::Result<Self> {
        if !matches!(reach.api.scheme(), "http" | "https") || reach.api.cannot_be_a_base() {
            bail!("--api: {} is not the URL of an API; it is like http://127.0.0.1:8080", reach.api);
        }
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        if let Some(token) = &reach.token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut bearer = bearer.map_err(|_| anyhow!("--token: it holds characters that no token has"))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(Self { service: Service::new(None)?, api: reach.api.clone(), headers })
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// The daemon does not answer, or refuses.
    pub async fn get(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.ask((Method::GET, path), &[], None).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub async fn post(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.ask((Method::POST, path), &[], Some(body)).await
    }

    /// Changes what is there.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub async fn patch(&self, path: &[&str], body: &Value) -> anyhow::Result<Value> {
        self.ask((Method::PATCH, path), &[], Some(body)).await
    }

    /// Removes something, or what the query says.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.ask((Method::DELETE, path), query, None).await
    }

    /// Removes all that these queries name, over as many requests as that takes.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub async fn remove(&self, path: &[&str], queries: &[Vec<(&str, &str)>]) -> anyhow::Result<Value> {
        let mut removed = 0;
        for query in queries {
            loop {
                let told = self.delete(path, query).await?;
                removed += told["removed"].as_u64().unwrap_or_default();
                if told["more"] != true {
                    break;
                }
            }
        }
        Ok(json!({ "removed": removed }))
    }

    /// The first `limit` items of a list, over as many pages as that takes.
    ///
    /// # Errors
    /// As [`Remote::get`].
    pub async fn list(&self, path: &[&str], query: &[(&str, &str)], limit: usize) -> anyhow::Result<Items> {
        let (mut items, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
        loop {
            let many = (limit - items.len()).min(PAGE).to_string();
            let mut query = [query, &[("limit", many.as_str())]].concat();
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let mut page = self.ask((Method::GET, path), &query, None).await?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if items.len() >= limit || cursor.is_none() {
                return Ok(Items { items, more: cursor.is_some() });
            }
        }
    }

    async fn ask(
        &self,
        (method, path): (Method, &[&str]),
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (url, headers) = (self.url(path, query), self.headers.clone());
        let body = body.map(|body| body.to_string().into()).unwrap_or_default();
        let asked = self.service.ask(Request { url, method, headers, body, timeout: PATIENCE }, MOST).await;
        let api = &self.api;
        let answer = asked.with_context(|| format!("no answer from {api}; is a daemon running there? See --api"))?;
        if !(200..300).contains(&answer.status) {
            return Err(refusal(&answer));
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("{api} does not answer as hookline does"))
    }

    /// Whatever an id holds stays one part of the path.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.api.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// A refusal in one sentence for each thing that is wrong.
fn refusal(answer: &Answer) -> anyhow::Error {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |value: &Value| harmless(value.as_str().unwrap_or_default());
    let Some(title) = problem["title"].as_str() else {
        return anyhow!("it answers with status {} and no reason: is this the API of hookline?", answer.status);
    };
    let mut told = format!("{}: {}", harmless(title), text(&problem["detail"]));
    for error in problem["errors"].as_array().into_iter().flatten() {
        told.push_str(&format!("\n  {} {}", text(&error["pointer"]), text(&error["detail"])));
    }
    anyhow!(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(api: &str) -> Remote {
        Remote::of(&Reach { api: api.parse().unwrap(), token: Some("t0ken".into()), json: false }).unwrap()
    }

    #[test]
    fn whatever_an_id_holds_the_path_stays_what_it_was_meant_to_be() {
        let url = |api: &str, id: &str| remote(api).url(&["subscriptions", id, "pause"], &[("a", "b&c")]).to_string();
        assert_eq!(url("http://127.0.0.1:8080", "sub_1"), "http://127.0.0.1:8080/v1/subscriptions/sub_1/pause?a=b%26c");
        assert_eq!(url("https://a.b/hooks/", "../x?y"), "https://a.b/hooks/v1/subscriptions/..%2Fx%3Fy/pause?a=b%26c");
    }

    #[test]
    fn what_is_no_api_is_told_before_anything_is_sent() {
        let of = |api: &str, token: &str| {
            Remote::of(&Reach { api: api.parse().unwrap(), token: Some(token.into()), json: false }).map(drop)
        };
        assert!(of("mailto:a@b", "x").unwrap_err().to_string().starts_with("--api: mailto:a@b is not the URL"));
        let error = of("http://a", "hunter2\n").unwrap_err().to_string();
        assert!(error.starts_with("--token: ") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_refusal_tells_all_that_is_wrong_and_cannot_command_the_terminal() {
        let body = serde_json::json!({ "title": "Fields are wrong", "detail": "2 fields are wrong", "errors": [
            { "pointer": "/url", "detail": "is\u{1b}[2J missing" }, { "pointer": "/types", "detail": "is missing" } ] });
        let answer = Answer { status: 422, body: body.to_string().into() };
        let told = refusal(&answer).to_string();
        assert_eq!(told, "Fields are wrong: 2 fields are wrong\n  /url is\u{fffd}[2J missing\n  /types is missing");
        let other = Answer { status: 502, body: "<html>".into() };
        assert!(refusal(&other).to_string().contains("status 502"));
    }
}
