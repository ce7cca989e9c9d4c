//! Progress to the operator: best effort, at most every two seconds, never a reason to fail.

use std::time::Duration;

use cooperator_contract::env;
use cooperator_contract::progress::{Answer, Progress};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Least time between two posts.
const INTERVAL: Duration = Duration::from_secs(2);
/// After so long without anything new it is asked whether to stop.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A post that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Takes progress and posts the newest in the background.
#[derive(Debug)]
pub struct Reporter {
    progress: watch::Sender<Progress>,
    /// Cancelled at the end: what is left is posted at once, since the machine is paid for.
    over: CancellationToken,
    posting: JoinHandle<()>,
}

impl Reporter {
    /// Posts to `url` with the token of the environment; without a URL, nowhere. `stop` is cancelled when an answer says so,
    /// which is asked for also while nothing is new.
    pub fn start(attempt: u32, url: Option<String>, stop: Option<CancellationToken>) -> Self {
        let token = std::env::var(env::RUN_TOKEN).unwrap_or_default();
        let (progress, changes) = watch::channel(Progress { attempt, ..Progress::default() });
        let over = CancellationToken::new();
        let ended = over.clone();
        let posting = tokio::spawn(async move {
            if let Some(url) = url {
                post_changes(changes, &url, &token, (&ended, stop.as_ref())).await;
            }
        });
        Self { progress, over, posting }
    }

    /// Changes what is reported; costs nothing.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// A new phase at this percentage; what was measured stays, and of the last one's steps the loss.
    pub fn phase(&self, phase: &str, percentage: u8) {
        tracing::info!(phase, "phase");
        self.update(|progress| {
            let Progress { attempt, preflight, .. } = *progress;
            let loss = progress.loss.take();
            *progress = Progress { attempt, loss, preflight, ..Progress::default() };
            phase.clone_into(&mut progress.phase);
            progress.progress_percentage = percentage.min(100);
        });
    }

    /// Posts what is left and ends.
    pub async fn finish(self) {
        let Self { progress, over, posting } = self;
        over.cancel();
        drop(progress);
        if let Err(error) = posting.await {
            tracing::warn!(%error, "progress reporter ended early");
        }
    }
}

async fn post_changes(
    mut changes: watch::Receiver<Progress>,
    url: &str,
    token: &str,
    (over, stop): (&CancellationToken, Option<&CancellationToken>),
) {
    cooperator_telemetry::install_crypto();
    let client = match reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::warn!(%error, "progress is not reported"),
    };
    loop {
        let heartbeat = tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => false,
                // The run is over and all its progress has been seen.
                Err(_) => return,
            },
            () = tokio::time::sleep(HEARTBEAT), if stop.is_some() => true,
        };
        let progress = Progress { heartbeat, ..changes.borrow_and_update().clone() };
        let sent = client.post(url).bearer_auth(token).json(&progress).send().await;
        match sent.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => obey(answer.json().await.unwrap_or_default(), stop),
            // Another attempt has begun, or this one is taken for ended: what it does is for nothing.
            Err(error) if error.status() == Some(reqwest::StatusCode::CONFLICT) => {
                obey(Answer { stop: true }, stop);
            }
            Err(error) => {
                let error = error.without_url();
                tracing::debug!(%error, "a progress report did not arrive");
            }
        }
        tokio::select! {
            () = over.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn obey(answer: Answer, stop: Option<&CancellationToken>) {
    if let Some(stop) = stop.filter(|stop| answer.stop && !stop.is_cancelled()) {
        tracing::info!("the operator says stop: finishing what can be kept");
        stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use axum::Router;
    use axum::extract::{Json, State};
    use axum::routing::post;

    use super::*;

    type Posts = Arc<Mutex<Vec<Progress>>>;

    async fn take(State(posts): State<Posts>, Json(progress): Json<Progress>) {
        posts.lock().unwrap().push(progress);
    }

    #[tokio::test]
    async fn a_run_that_is_over_posts_its_last_word_and_does_not_wait() {
        let posts = Posts::default();
        let router = Router::new().route("/progress", post(take)).with_state(posts.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/progress", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let reporter = Reporter::start(1, Some(url), None);
        reporter.phase("reading", 0);
        while posts.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        reporter.phase("done", 100);
        let ended = Instant::now();
        reporter.finish().await;
        assert!(ended.elapsed() < INTERVAL, "it waited for {:?}", ended.elapsed());
        assert_eq!(posts.lock().unwrap().last().unwrap().phase, "done");
    }

    async fn stopped(answer: impl axum::response::IntoResponse + Clone + Send + Sync + 'static) -> bool {
        let router = Router::new().route("/progress", post(move || async move { answer }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/progress", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let stop = CancellationToken::new();
        let reporter = Reporter::start(1, Some(url), Some(stop.clone()));
        reporter.phase("reading", 0);
        reporter.finish().await;
        stop.is_cancelled()
    }

    #[tokio::test]
    async fn an_answer_says_stop_and_so_does_one_that_the_attempt_is_over() {
        assert!(stopped(r#"{"stop":true}"#).await);
        assert!(stopped(axum::http::StatusCode::CONFLICT).await);
        assert!(!stopped(r#"{"stop":false}"#).await);
        assert!(!stopped(axum::http::StatusCode::NO_CONTENT).await);
        assert!(!stopped(axum::http::StatusCode::SERVICE_UNAVAILABLE).await);
    }
}
