//! What of a rented machine's first script is the same for all: `GET /v1/join/<sha256>.sh`. A vendor may take less than the whole
//! as user-data. Anyone may have it: it holds no secret, and who asks for it has the sha256 of what should come.

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use cooperator_join::user_data;
use url::Url;

/// Below the operator's URL.
const PATH: &str = "v1/join";

/// The endpoint.
pub fn router() -> Router {
    Router::new().route(&format!("/{PATH}/{{file}}"), get(script))
}

/// What is above the script, where the operator is at `outside`. None: that is no URL.
pub fn base(outside: &str) -> Option<Url> {
    Url::parse(&format!("{}/{PATH}", outside.trim_end_matches('/'))).ok()
}

async fn script(Path(file): Path<String>) -> Result<Response, StatusCode> {
    let internal = |error: user_data::Error| {
        tracing::error!(%error, "no machine's script can be given");
        StatusCode::INTERNAL_SERVER_ERROR
    };
    // That of another version would be refused by its sha256.
    if file != user_data::rest_name().map_err(internal)? {
        return Err(StatusCode::NOT_FOUND);
    }
    let text = user_data::rest().map_err(internal)?;
    Ok(([(header::CONTENT_TYPE, "text/x-shellscript")], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_asked_for_by_its_sha256_is_given_to_anyone_and_nothing_else_is() {
        cooperator_telemetry::install_crypto();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = base(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router()).await.unwrap() });
        let answer = reqwest::get(format!("{base}/{}", user_data::rest_name().unwrap())).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), user_data::rest().unwrap());
        for other in ["0.sh", "join.sh", "..%2fprogress"] {
            let answer = reqwest::get(format!("{base}/{other}")).await.unwrap();
            assert_eq!(answer.status().as_u16(), 404, "{other}");
        }
    }
}
