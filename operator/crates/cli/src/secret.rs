//! Fields of a Secret, as text.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

/// What a Secret holds.
pub struct Fields {
    name: String,
    data: BTreeMap<String, ByteString>,
}

/// Reads a Secret.
///
/// # Errors
/// When it is not there, or the user may not read it.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Fields> {
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get(name).await?;
    Ok(Fields { name: name.to_owned(), data: secret.data.unwrap_or_default() })
}

impl Fields {
    /// A field's text.
    ///
    /// # Errors
    /// When there is no such field, or it is no text.
    pub fn text(&self, field: &str) -> Result<String> {
        let bytes = self.data.get(field).with_context(|| format!("Secret {} has no {field}", self.name))?;
        String::from_utf8(bytes.0.clone())
            .with_context(|| format!("Secret {}: {field} is no text", self.name))
    }
}
