//! Buckets and keys of the default store, by Garage's admin API v2. Everything is found by its name before it is made,
//! so that a crash in between makes nothing twice.

use std::time::Duration;

use cooperator_store::Credentials;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

/// What can go wrong with the admin API. None of it shows the token.
#[derive(Debug, thiserror::Error)]
pub enum GarageError {
    /// The address is no URL.
    #[error("--store-admin-url is no URL ({0}): give http://host:port")]
    Url(String),
    /// It did not answer, or not in its own words.
    #[error("the default store's admin API does not answer {call}: {source}")]
    Unreachable {
        /// What was asked.
        call: &'static str,
        /// Why not.
        source: Box<reqwest::Error>,
    },
    /// It refused.
    #[error("the default store's admin API refused {call} with {status}; check STORE_ADMIN_TOKEN")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// HTTP status.
        status: StatusCode,
    },
    /// It gave a key without its secret part.
    #[error("the default store's admin API did not show the secret of key `{0}`")]
    NoSecret(String),
}

/// The admin API.
pub struct Garage {
    client: Client,
    base: Url,
    token: String,
}

#[derive(Deserialize)]
struct Bucket {
    id: String,
}

#[derive(Deserialize)]
struct ListedKey {
    id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    access_key_id: String,
    secret_access_key: Option<String>,
}

impl Garage {
    /// # Errors
    /// [`GarageError::Url`].
    pub fn new(url: &str, token: &str) -> Result<Self, GarageError> {
        let base = Url::parse(url).map_err(|error| GarageError::Url(error.to_string()))?;
        let client = Client::builder().timeout(Duration::from_secs(10)).build();
        let client = client.map_err(unreachable("at all"))?;
        Ok(Self { client, base, token: token.to_owned() })
    }

    /// The bucket of this name and a key of this name that may read and write it; both are made if they are not there.
    ///
    /// # Errors
    /// [`GarageError`]; calling again goes on where it stopped.
    pub async fn bucket_with_key(&self, bucket: &str, key: &str) -> Result<Credentials, GarageError> {
        let Bucket { id } = self.bucket(bucket).await?;
        let key = self.key(key).await?;
        let Some(secret) = key.secret_access_key else {
            return Err(GarageError::NoSecret(key.access_key_id));
        };
        let grant = json!({
            "bucketId": id,
            "accessKeyId": key.access_key_id,
            "permissions": { "read": true, "write": true, "owner": false },
        });
        let _bucket: Value = self.post("AllowBucketKey", &grant).await?;
        Ok(Credentials::new(key.access_key_id, secret))
    }

    async fn bucket(&self, name: &str) -> Result<Bucket, GarageError> {
        match self.get("GetBucketInfo", &[("globalAlias", name)]).await {
            Err(GarageError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
                self.post("CreateBucket", &json!({ "globalAlias": name })).await
            }
            found => found,
        }
    }

    async fn key(&self, name: &str) -> Result<Key, GarageError> {
        let listed: Vec<ListedKey> = self.get("ListKeys", &[]).await?;
        // The first by id, should a race ever have made two.
        match listed.into_iter().filter(|key| key.name == name).map(|key| key.id).min() {
            Some(id) => self.get("GetKeyInfo", &[("id", &id), ("showSecretKey", "true")]).await,
            None => self.post("CreateKey", &json!({ "name": name })).await,
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        call: &'static str,
        query: &[(&str, &str)],
    ) -> Result<T, GarageError> {
        let mut url = self.url(call);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(call, self.client.request(Method::GET, url)).await
    }

    async fn post<T: DeserializeOwned>(&self, call: &'static str, body: &Value) -> Result<T, GarageError> {
        self.send(call, self.client.request(Method::POST, self.url(call)).json(body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        call: &'static str,
        request: RequestBuilder,
    ) -> Result<T, GarageError> {
        let answer = request.bearer_auth(&self.token).send().await.map_err(unreachable(call))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(GarageError::Refused { call, status });
        }
        answer.json().await.map_err(unreachable(call))
    }

    fn url(&self, call: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{call}"));
        url
    }
}

fn unreachable(call: &'static str) -> impl FnOnce(reqwest::Error) -> GarageError {
    // The URL of a call names keys; the error need not.
    move |error| GarageError::Unreachable { call, source: Box::new(error.without_url()) }
}

/// Name of the bucket of a Collective: `<namespace>.<name>`, within S3's 63 characters.
pub fn bucket_name(namespace: &str, name: &str) -> String {
    let whole = format!("{namespace}.{name}");
    if whole.len() <= 63 {
        return whole;
    }
    let digest = cooperator_core::digest::Digest::of(whole.as_bytes()).hex();
    let head: String = whole.chars().take(50).collect();
    format!("{}-{}", head.trim_end_matches(['.', '-']), &digest[..12])
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::{Request, State};
    use axum::response::{IntoResponse as _, Response};

    use super::*;

    #[derive(Default)]
    struct Admin {
        calls: Vec<String>,
        bucket: bool,
        key: bool,
    }

    async fn answer(State(admin): State<Arc<Mutex<Admin>>>, request: Request) -> Response {
        let mut admin = admin.lock().unwrap();
        let path = request.uri().path_and_query().unwrap().to_string();
        admin.calls.push(path.clone());
        let key = json!({ "accessKeyId": "GK1", "secretAccessKey": "s", "name": "works.coop" });
        let body = match path.split('?').next().unwrap() {
            "/v2/GetBucketInfo" if !admin.bucket => return StatusCode::NOT_FOUND.into_response(),
            "/v2/CreateBucket" | "/v2/GetBucketInfo" | "/v2/AllowBucketKey" => {
                admin.bucket = true;
                json!({ "id": "b1" })
            }
            "/v2/ListKeys" if admin.key => {
                json!([{ "id": "GK0", "name": "x" }, { "id": "GK1", "name": "works.coop" }])
            }
            "/v2/ListKeys" => json!([{ "id": "GK0", "name": "x" }]),
            "/v2/CreateKey" | "/v2/GetKeyInfo" => {
                admin.key = true;
                key
            }
            _ => return StatusCode::BAD_REQUEST.into_response(),
        };
        axum::Json(body).into_response()
    }

    #[tokio::test]
    async fn bucket_and_key_are_made_once_and_found_again() {
        cooperator_telemetry::install_crypto();
        let admin = Arc::new(Mutex::new(Admin::default()));
        let router = Router::new().fallback(answer).with_state(admin.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let garage = Garage::new(&url, "token").unwrap();
        for _ in 0..2 {
            let key = garage.bucket_with_key("works.coop", "works.coop").await.unwrap();
            assert_eq!((key.access_key_id(), key.secret_access_key()), ("GK1", "s"));
        }
        let made: Vec<String> =
            admin.lock().unwrap().calls.iter().filter(|call| call.contains("Create")).cloned().collect();
        assert_eq!(made, ["/v2/CreateBucket", "/v2/CreateKey"]);
    }

    #[test]
    fn a_long_bucket_name_is_cut_and_stays_its_own() {
        assert_eq!(bucket_name("works", "coop"), "works.coop");
        let (one, other) = (bucket_name(&"a".repeat(63), "one"), bucket_name(&"a".repeat(63), "two"));
        assert!(one.len() <= 63 && one != other, "{one} {other}");
    }
}
