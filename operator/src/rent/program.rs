//! The program of a machine's end of the tunnel. It is part of this image, and served to machines: nobody has to publish it
//! for them, and both ends are of one version.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cooperator_core::digest::Digest;
use cooperator_join::{Artifact, Form};
use futures::StreamExt as _;
use tokio::fs::File;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

/// What it is called among a machine's artifacts.
pub const NAME: &str = "cooperator-tunnel";
/// Where it is served.
const PATH: &str = "/v1/programs/cooperator-tunnel";
/// Served at once. Anybody may have it, but nobody may keep the operator busy with it.
const MOST_AT_ONCE: usize = 32;

/// How a machine fetches it from `base`, the URL of this installation that machines reach.
///
/// # Errors
/// When the image has no such file, or the URL is none.
pub fn artifact(file: &Path, base: &str) -> Result<Artifact> {
    let what = || format!("--rented-tunnel-program {}", file.display());
    let bytes = std::fs::read(file).with_context(what)?;
    let url = format!("{}{PATH}", base.trim_end_matches('/'));
    let url = url.parse().with_context(|| format!("--rented-progress-url {base}"))?;
    Ok(Artifact { name: NAME.to_owned(), url, sha256: Digest::of(&bytes), form: Form::Program })
}

/// Serves it.
pub fn router(file: &Path) -> Router {
    let shelf = Shelf { file: file.to_owned(), doors: Arc::new(Semaphore::new(MOST_AT_ONCE)) };
    Router::new().route(PATH, get(serve)).with_state(shelf)
}

#[derive(Clone)]
struct Shelf {
    file: PathBuf,
    doors: Arc<Semaphore>,
}

async fn serve(State(shelf): State<Shelf>) -> Response {
    let Ok(door) = shelf.doors.try_acquire_owned() else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many machines at once: try again in a second\n")
            .into_response();
    };
    let Ok(file) = File::open(&shelf.file).await else { return StatusCode::NOT_FOUND.into_response() };
    let length = file.metadata().await.map(|metadata| metadata.len()).unwrap_or_default();
    // Held until the last byte has gone.
    let chunks = ReaderStream::new(file).inspect(move |_| {
        let _ = &door;
    });
    let head = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    (head, Body::from_stream(chunks)).into_response()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_machine_fetches_what_its_user_data_names() {
        cooperator_telemetry::install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tunnel");
        std::fs::write(&file, b"program".repeat(100_000)).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let router = router(&file);
        tokio::spawn(async { axum::serve(listener, router).await });
        let artifact = artifact(&file, &base).unwrap();
        assert_eq!(artifact.url.as_str(), format!("{base}v1/programs/cooperator-tunnel"));
        let answer = reqwest::get(artifact.url).await.unwrap().error_for_status().unwrap();
        assert_eq!(answer.content_length(), Some(700_000));
        assert_eq!(Digest::of(&answer.bytes().await.unwrap()), artifact.sha256);
    }

    #[test]
    fn an_image_without_it_says_what_it_lacks() {
        let error = artifact(Path::new("/nowhere/tunnel"), "https://a.example").unwrap_err();
        assert_eq!(error.to_string(), "--rented-tunnel-program /nowhere/tunnel");
    }
}
