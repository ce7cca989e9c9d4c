//! The life of the server: listen, load, be ready, drain, end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cooperator_contract::run::ServeTask;
use cooperator_store::Store;
use tokio::net::TcpListener;

use crate::engine::Engine;
use crate::load::{LoadError, load};
use crate::routes::{App, Serving, router};

/// How long requests are still accepted after the server has said that it is not ready: until every proxy has
/// heard of it.
pub const DRAIN_DELAY: Duration = Duration::from_secs(3);

/// Why the server ended otherwise than by drain.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Of the run file.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The model cannot be served.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The engine's thread could not be started.
    #[error("the engine cannot be started: {0}")]
    Engine(std::io::Error),
    /// The listener failed.
    #[error("the server failed: {0}")]
    Io(std::io::Error),
}

/// Serves until `stop` resolves, then drains: not ready, accepting for `drain_delay` more, everything begun is
/// finished. Ends at once if the model does not load.
///
/// # Errors
/// [`ServeError`].
pub async fn run(
    store: Store,
    task: ServeTask,
    stop: impl Future<Output = ()> + Send + 'static,
    drain_delay: Duration,
) -> Result<(), ServeError> {
    let listen = |source| ServeError::Listen { address: task.listen.clone(), source };
    let listener = TcpListener::bind(&task.listen).await.map_err(listen)?;
    run_on(listener, store, task, stop, drain_delay).await
}

/// The same on a listener that is there already.
///
/// # Errors
/// [`ServeError`].
pub async fn run_on(
    listener: TcpListener,
    store: Store,
    task: ServeTask,
    stop: impl Future<Output = ()> + Send + 'static,
    drain_delay: Duration,
) -> Result<(), ServeError> {
    let app = Arc::new(App::new(task.clone()));
    let draining = Arc::clone(&app);
    let stopped = async move {
        stop.await;
        tracing::info!("draining");
        draining.drain();
        tokio::time::sleep(drain_delay).await;
    };
    let server = axum::serve(listener, router(Arc::clone(&app))).with_graceful_shutdown(stopped);
    let loading = async {
        let serving = start(&store, &task).await?;
        tracing::info!(model = task.model_name, "ready");
        app.serve(serving);
        std::future::pending().await
    };
    tokio::select! {
        served = server => served.map_err(ServeError::Io),
        failed = loading => failed,
    }
}

async fn start(store: &Store, task: &ServeTask) -> Result<Serving, ServeError> {
    let loaded = load(store, task).await?;
    let context = loaded.model.config().max_position_embeddings;
    let (concurrency, queue) = (task.max_concurrency as usize, task.max_queue as usize);
    let engine = Engine::start(loaded.model, Arc::clone(&loaded.tokenizer), concurrency, queue)
        .map_err(ServeError::Engine)?;
    Ok(Serving { engine, tokenizer: loaded.tokenizer, chat: loaded.chat, context })
}
