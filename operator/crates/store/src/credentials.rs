//! The key a bucket is opened with.

use std::fmt;

use cooperator_contract::env;

/// An environment variable that should hold a key is missing or empty.
#[derive(Debug, thiserror::Error)]
#[error("environment variable {0} is not set: mount the storage Secret's key of that name")]
pub struct MissingCredentials(String);

/// An S3 access key. Neither `Debug` nor any error shows the secret part.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: String,
}

impl Credentials {
    /// The two parts as the storage gave them.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        Self { access_key_id: access_key_id.into(), secret_access_key: secret_access_key.into() }
    }

    /// The Collective's key, from the variables every pod of ours gets.
    ///
    /// # Errors
    /// [`MissingCredentials`] when one of them is not set.
    pub fn from_env() -> Result<Self, MissingCredentials> {
        Self::from_vars(env::ACCESS_KEY_ID, env::SECRET_ACCESS_KEY)
    }

    /// A key from two variables of other names, such as those of a source outside the Collective's bucket.
    ///
    /// # Errors
    /// [`MissingCredentials`] when one of them is not set.
    pub fn from_vars(access_key_id: &str, secret_access_key: &str) -> Result<Self, MissingCredentials> {
        let read = |name: &str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.ok_or_else(|| MissingCredentials(name.to_owned()))
        };
        Ok(Self::new(read(access_key_id)?, read(secret_access_key)?))
    }

    /// The public part.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The secret part: for a signer or a Kubernetes Secret, nowhere else.
    pub fn secret_access_key(&self) -> &str {
        &self.secret_access_key
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_secret() {
        let shown = format!("{:?}", Credentials::new("GKpublic", "very-secret"));
        assert!(shown.contains("GKpublic") && !shown.contains("very-secret"), "{shown}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = Credentials::from_vars("COOPERATOR_NO_SUCH_ID", "COOPERATOR_NO_SUCH_KEY").unwrap_err();
        assert!(error.to_string().contains("COOPERATOR_NO_SUCH_ID"), "{error}");
    }
}
