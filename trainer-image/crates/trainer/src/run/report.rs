//! Progress to the operator: best effort, at most every two seconds, never a reason to fail.

use std::time::Duration;

use cooperator_contract::env;
use cooperator_contract::progress::Progress;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Least time between two posts.
const INTERVAL: Duration = Duration::from_secs(2);
/// A post that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Takes progress and posts the newest in the background.
#[derive(Debug)]
pub struct Reporter {
    progress: watch::Sender<Progress>,
    posting: JoinHandle<()>,
}

impl Reporter {
    /// Posts to `url` with the token of the environment; without a URL, nowhere.
    pub fn start(attempt: u32, url: Option<String>) -> Self {
        let token = std::env::var(env::RUN_TOKEN).unwrap_or_default();
        let (progress, changes) = watch::channel(Progress { attempt, ..Progress::default() });
        let posting = tokio::spawn(async move {
            if let Some(url) = url {
                post_changes(changes, &url, &token).await;
            }
        });
        Self { progress, posting }
    }

    /// Changes what is reported; costs nothing.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// A new phase at this percentage; of the last one's steps only the loss stays.
    pub fn phase(&self, phase: &str, percentage: u8) {
        tracing::info!(phase, "phase");
        self.update(|progress| {
            let (attempt, loss) = (progress.attempt, progress.loss.take());
            *progress = Progress { attempt, loss, ..Progress::default() };
            phase.clone_into(&mut progress.phase);
            progress.progress_percentage = percentage.min(100);
        });
    }

    /// Posts what is left and ends.
    pub async fn finish(self) {
        let Self { progress, posting } = self;
        drop(progress);
        if let Err(error) = posting.await {
            tracing::warn!(%error, "progress reporter ended early");
        }
    }
}

async fn post_changes(mut changes: watch::Receiver<Progress>, url: &str, token: &str) {
    cooperator_telemetry::install_crypto();
    let client = match reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build() {
        Ok(client) => client,
        Err(error) => return tracing::warn!(%error, "progress is not reported"),
    };
    // An error means that the run is over and all its progress has been seen.
    while changes.changed().await.is_ok() {
        let progress = changes.borrow_and_update().clone();
        let sent = client.post(url).bearer_auth(token).json(&progress).send().await;
        if let Err(error) = sent.and_then(reqwest::Response::error_for_status) {
            let error = error.without_url();
            tracing::debug!(%error, "a progress report did not arrive");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
