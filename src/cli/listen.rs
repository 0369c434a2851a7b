//! `hookline listen`: a local receiver that prints what comes.

use crate::cli::common::{self, Exit};
use crate::cli::output::{self, Look, Output};
use crate::cli::receiver::{Answers, Keys, Receiver, Verdict, Webhook};
use crate::deliver::sign;
use axum::http::StatusCode;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Bytes of a body that are printed.
const SHOWN: usize = 16 << 10;
/// Headers that say something about a webhook, besides the `ce-` ones.
const HEADERS: [&str; 7] = [
    "webhook-id",
    "webhook-timestamp",
    "content-type",
    "traceparent",
    "webhook-request-origin",
    "webhook-request-rate",
    "webhook-request-callback",
];

/// Prints the webhooks that come to a local port, and whether they are authentic
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline listen --port 4000 --verify whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw

  Subscribe http://127.0.0.1:4000/ to see its webhooks here. The daemon only calls it with
  egress.allow_http: true and egress.allow: [127.0.0.1/32] in its config.")]
pub struct Args {
    /// The address of this machine; 0.0.0.0 means all, so that others can reach it too
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    pub address: IpAddr,
    /// The port; 0 takes a free one
    #[arg(long, default_value_t = 4000)]
    pub port: u16,
    /// The status to answer with
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: u16,
    /// How long to wait before each answer: 250ms, 15s, 10m
    #[arg(long, default_value = "0", value_name = "D", value_parser = common::duration)]
    pub delay: Duration,
    /// The signing secret (whsec_..., whsk_... or whpk_...); what is not signed with it is answered with 401
    #[arg(long, value_name = "SECRET", value_parser = verifier)]
    pub verify: Option<Secret>,
}

/// A key that came from the command line.
#[derive(Clone, Debug)]
pub struct Secret(sign::Verifier);

/// Listens until it is stopped.
///
/// # Errors
/// The port cannot be had.
pub async fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    let shutdown = common::stop_on_signal()?;
    let receiver = Receiver::bind(SocketAddr::new(args.address, args.port)).await?;
    let signed = if args.verify.is_some() {
        "every signature is verified"
    } else {
        "signatures are not verified; --verify SECRET does it"
    };
    output.line(format!("listening on http://{}/ ({signed}); Ctrl-C stops", receiver.address))?;
    let answers = Answers {
        keys: args.verify.map_or(Keys::None, |Secret(key)| Keys::One(key)),
        status: StatusCode::from_u16(args.status)?,
        delay: args.delay,
    };
    let (mut comes, serving) = receiver.serve(answers, shutdown.clone());
    let printing = async {
        while let Some(webhook) = comes.recv().await {
            output.line(show(&webhook, &output))?;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::select! {
        served = serving => served?,
        printed = printing => printed?,
    }
    Ok(Exit::Good)
}

/// A webhook as it is printed: one line, its headers, its body.
fn show(webhook: &Webhook, output: &Output) -> String {
    let (look, told) = match webhook.verdict {
        Verdict::Verified => (Look::Good, "verified".to_string()),
        Verdict::Unverified => (Look::Dim, "not verified".to_string()),
        Verdict::Refused(error) => (Look::Bad, format!("not authentic: {error}")),
        Verdict::Unread => (Look::Bad, "its body is too long or broke off".to_string()),
        Verdict::Unknown => (Look::Bad, "nobody listens here".to_string()),
        Verdict::Asked => (Look::Good, "yes, webhooks are wanted".to_string()),
    };
    let line = output::harmless(&format!("{} {}", webhook.method, webhook.path));
    let (at, told) = (output.paint(Look::Dim, &webhook.at.to_string()), output.paint(look, &told));
    let mut lines =
        vec![format!("\n{at}  {}  answered {}, {told}", output.paint(Look::Bold, &line), webhook.status.as_u16())];
    for (name, value) in &webhook.headers {
        if HEADERS.contains(&name.as_str()) || name.as_str().starts_with("ce-") {
            let value = output::harmless(&String::from_utf8_lossy(value.as_bytes()));
            lines.push(output.paint(Look::Dim, &format!("  {name}: {value}")));
        }
    }
    if !webhook.body.is_empty() {
        lines.push(output::indent(&output::body(&webhook.body, SHOWN), 2));
    }
    lines.join("\n")
}

fn verifier(text: &str) -> Result<Secret, String> {
    sign::parse_verifier(text).map(Secret).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::sign::VerifyError;
    use crate::model::time::Timestamp;
    use axum::http::{HeaderMap, HeaderValue, Method};

    #[test]
    fn a_webhook_is_shown_with_its_verdict_its_headers_and_its_body() {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("evt_a"));
        headers.insert("ce-type", HeaderValue::from_static("a.b"));
        headers.insert("authorization", HeaderValue::from_static("Bearer hunter2"));
        let webhook = Webhook {
            at: Timestamp::from_millis(0),
            method: Method::POST,
            path: "/hooks".into(),
            headers,
            body: "{\"a\":1}".into(),
            verdict: Verdict::Refused(VerifyError::TooOld),
            status: StatusCode::UNAUTHORIZED,
        };
        let expected = "\n1970-01-01T00:00:00.000Z  POST /hooks  answered 401, not authentic: the timestamp is too old\n  \
                        webhook-id: evt_a\n  ce-type: a.b\n  {\n    \"a\": 1\n  }";
        assert_eq!(show(&webhook, &Output::plain()), expected);
    }

    #[test]
    fn a_delay_and_a_secret_are_refused_with_what_they_should_be() {
        assert_eq!(common::duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(common::duration("soon").unwrap_err().contains("whole number"));
        assert!(verifier("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
        assert_eq!(verifier("whsec_").unwrap_err(), "the secret is empty");
    }
}
