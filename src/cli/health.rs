//! `hookline health`: asks a daemon how it is, for container engines that have no client of their own.
//!
//! It reads no configuration: one that is being edited says nothing about the daemon that runs.

use crate::cli::ask::{self, Question};
use crate::cli::common::{self, Exit};
use crate::cli::output::{self, Output};
use anyhow::ensure;
use http::Method;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// How long until it is asked again: a start takes a second or two.
const PAUSE: Duration = Duration::from_millis(250);

/// Asks a running daemon whether it is alive, or ready
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  hookline health
  hookline health --url http://127.0.0.1:9464/readyz

  It ends with 0 when the answer is yes, else with 1 and what is wrong.")]
pub struct Args {
    /// What is asked, on the daemon's metrics.listen: /livez or /readyz
    #[arg(long, default_value = "http://127.0.0.1:9464/livez", value_parser = ask::url)]
    pub url: Url,
    /// How long a yes is waited for: 15s, 2m
    #[arg(long, value_name = "D", default_value = "0", value_parser = common::duration)]
    pub within: Duration,
}

/// Asks it, again and again as long as it is waited for.
///
/// # Errors
/// No daemon answers there, or it says no.
pub async fn run(args: Args, output: Output) -> anyhow::Result<Exit> {
    let until = Instant::now() + args.within;
    loop {
        match once(&args.url, output).await {
            Err(_) if Instant::now() + PAUSE < until => tokio::time::sleep(PAUSE).await,
            answered => return answered.map(|()| Exit::Good),
        }
    }
}

async fn once(url: &Url, output: Output) -> anyhow::Result<()> {
    let answer = ask::ask(Question { method: Method::GET, url, token: None, body: None }).await?;
    let said = output::harmless(String::from_utf8_lossy(&answer.body).trim_end());
    ensure!(answer.status == 200, "{} says {}: {}", url.path(), answer.status, said.replace('\n', "; "));
    output.line(said)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_yes_that_comes_late_is_waited_for() {
        let asked = Arc::new(AtomicU32::new(0));
        let answer = move || {
            let early = asked.fetch_add(1, Ordering::Relaxed) == 0;
            async move { if early { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK } }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/readyz", listener.local_addr().unwrap()).parse().unwrap();
        let app = Router::new().route("/readyz", get(answer));
        let asking = run(Args { url, within: Duration::from_secs(60) }, Output::plain());
        tokio::select! {
            served = async { axum::serve(listener, app).await } => panic!("{served:?}"),
            answered = asking => assert_eq!(answered.unwrap(), Exit::Good),
        }
    }

    #[tokio::test]
    async fn a_yes_ends_well_and_a_no_says_what_is_wrong() {
        let app = Router::new()
            .route("/livez", get(async || "intake: ok\n"))
            .route("/readyz", get(async || (StatusCode::SERVICE_UNAVAILABLE, "kafka: no broker\nstore: ok\n")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let serving = async { axum::serve(listener, app).await };
        let asking = async {
            let ask = |path: &str| {
                let url = format!("http://{place}{path}").parse().unwrap();
                async move { run(Args { url, within: Duration::ZERO }, Output::plain()).await }
            };
            assert_eq!(ask("/livez").await.unwrap(), Exit::Good);
            let no = ask("/readyz").await.unwrap_err().to_string();
            assert_eq!(no, "/readyz says 503: kafka: no broker; store: ok");
        };
        tokio::select! {
            served = serving => panic!("{served:?}"),
            () = asking => {}
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_is_told() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url: Url = format!("http://{free}/livez").parse().unwrap();
        let error = run(Args { url, within: Duration::ZERO }, Output::plain()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("nobody listens on {free}"));
    }
}
