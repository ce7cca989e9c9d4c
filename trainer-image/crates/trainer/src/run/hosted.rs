//! A run whose run file comes from a URL: its host is no node of the cluster, and no kubelet reads what it leaves.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use cooperator_contract::outcome::Outcome;
use cooperator_contract::{env, hosted};
use reqwest::{Client, RequestBuilder, StatusCode};

/// A call that takes longer is made again.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How often a call is made before it is given up: some ten minutes, in which an operator is started anew.
const TRIES: u32 = 40;
/// The pause before the second try; it grows by itself up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(16);

/// Where a run file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// On this machine.
    Path(PathBuf),
    /// At the operator, which is shown the run token.
    Url(String),
}

impl FromStr for Source {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        Ok(if is_url { Self::Url(text.to_owned()) } else { Self::Path(text.into()) })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl Source {
    /// The bytes of the run file.
    ///
    /// # Errors
    /// What stands in the way, in words.
    pub async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Path(path) => std::fs::read(path).map_err(|error| error.to_string()),
            Self::Url(url) => persist(|client, token| client.get(url).bearer_auth(token), TRIES, PAUSE).await,
        }
    }

    /// Leaves the outcome where its operator reads it; nothing to do where a kubelet does.
    pub async fn leave(&self, outcome: &Outcome) {
        let Self::Url(url) = self else { return };
        let Some(url) = hosted::outcome_url(url) else {
            return tracing::error!(url, "beside this URL there is none for the outcome");
        };
        let post = |client: &Client, token: &str| client.post(&url).bearer_auth(token).json(outcome);
        if let Err(error) = persist(post, TRIES, PAUSE).await {
            tracing::error!(error, "the outcome was not taken");
        }
    }
}

/// Makes a call until it is answered, for a while. What is refused is not asked for again.
async fn persist(
    call: impl Fn(&Client, &str) -> RequestBuilder,
    tries: u32,
    mut pause: Duration,
) -> Result<Vec<u8>, String> {
    cooperator_telemetry::install_crypto();
    let token = std::env::var(env::RUN_TOKEN).unwrap_or_default();
    let client = Client::builder().timeout(TIMEOUT).no_proxy().build().map_err(|error| error.to_string())?;
    let mut last = String::new();
    for _ in 0..tries {
        match call(&client, &token).send().await {
            Ok(answer) if answer.status().is_success() => match answer.bytes().await {
                Ok(bytes) => return Ok(bytes.to_vec()),
                Err(error) => last = error.without_url().to_string(),
            },
            Ok(answer) if is_final(answer.status()) => {
                let status = answer.status();
                return Err(format!("{status}: {}", answer.text().await.unwrap_or_default().trim()));
            }
            Ok(answer) => last = answer.status().to_string(),
            Err(error) => last = error.without_url().to_string(),
        }
        tracing::debug!(last, "the operator does not answer; it is asked again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
    Err(last)
}

fn is_final(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::extract::State;
    use axum::routing::get;

    use super::*;

    /// A desk that is busy twice, then answers as it is told.
    async fn desk(then: StatusCode) -> (String, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let answer = move |State(asked): State<Arc<AtomicU32>>| async move {
            if asked.fetch_add(1, Ordering::SeqCst) < 2 {
                (axum::http::StatusCode::SERVICE_UNAVAILABLE, "away")
            } else {
                (axum::http::StatusCode::from_u16(then.as_u16()).unwrap(), "text")
            }
        };
        let router = Router::new().route("/file", get(answer)).with_state(asked.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, asked)
    }

    async fn ask(url: &str) -> Result<Vec<u8>, String> {
        persist(|client, token| client.get(url).bearer_auth(token), 5, Duration::from_millis(1)).await
    }

    #[tokio::test]
    async fn an_operator_that_is_away_is_asked_again_and_one_that_refuses_is_not() {
        let (url, asked) = desk(StatusCode::OK).await;
        assert_eq!(ask(&url).await, Ok(b"text".to_vec()));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let (url, asked) = desk(StatusCode::UNAUTHORIZED).await;
        assert_eq!(ask(&url).await, Err("401 Unauthorized: text".into()));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_run_file_is_a_path_or_a_url() {
        let of = |text: &str| text.parse::<Source>().unwrap();
        assert_eq!(of("/run/cooperator/run.json"), Source::Path("/run/cooperator/run.json".into()));
        assert_eq!(of("https://x/file"), Source::Url("https://x/file".into()));
    }
}
