//! What of a rented machine's first script is the same for all: `GET /v1/join/<sha256>.sh`. A vendor may take less than the whole
//! as user-data. Anyone may have it: it holds no secret, and who asks for it has the sha256 of what should come.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use cooperator_join::user_data::Rest;
use url::Url;

/// Below the operator's URL.
const PATH: &str = "v1/join";

/// The endpoint, for this text.
pub fn router(text: String) -> Router {
    let file = File { name: Rest::name(&text), text };
    Router::new().route(&format!("/{PATH}/{{file}}"), get(script)).with_state(Arc::new(file))
}

struct File {
    name: String,
    text: String,
}

/// What is above the script, where the operator is at `outside`. None: that is no URL.
pub fn base(outside: &str) -> Option<Url> {
    Url::parse(&format!("{}/{PATH}", outside.trim_end_matches('/'))).ok()
}

async fn script(State(file): State<Arc<File>>, Path(asked): Path<String>) -> Result<Response, StatusCode> {
    // That of another version would be refused by its sha256.
    if asked != file.name {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(([(header::CONTENT_TYPE, "text/x-shellscript")], file.text.clone()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_for_by_its_sha256_is_given_to_anyone_and_nothing_else_is() {
        cooperator_telemetry::install_crypto();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = base(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let text = "echo joins";
        tokio::spawn(async move { axum::serve(listener, router(text.to_owned())).await.unwrap() });
        let answer = reqwest::get(format!("{base}/{}", Rest::name(text))).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), text);
        for other in ["0.sh", "join.sh", "..%2fprogress"] {
            let answer = reqwest::get(format!("{base}/{other}")).await.unwrap();
            assert_eq!(answer.status().as_u16(), 404, "{other}");
        }
    }
}
