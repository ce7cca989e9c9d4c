//! How a run gets at the Collective's storage.

use std::fmt;

use cooperator_contract::env;
use cooperator_contract::run::{RunFile, Task};
use cooperator_store::{Credentials, Store};

use crate::failure::Failure;

/// What opens the storage.
#[derive(Clone)]
pub enum Access {
    /// The bucket's key.
    Key(Credentials),
    /// The broker of the run file, asked with this run token.
    Broker {
        /// The token.
        token: String,
    },
}

impl Access {
    /// What `file` asks for, out of the environment: the run token where it names a broker, else the bucket's key.
    ///
    /// # Errors
    /// [`Failure`] when a variable is not set, or a task other than a training is to do without a key.
    pub fn from_env(file: &RunFile) -> Result<Self, Failure> {
        if file.storage_broker.is_none() {
            return Credentials::from_env().map(Self::Key).map_err(Failure::invalid);
        }
        if !matches!(file.task, Task::Train(_)) {
            return Err(Failure::invalid(
                "only a training does without the bucket's key: give this run no broker",
            ));
        }
        let token = std::env::var(env::RUN_TOKEN).ok().filter(|token| !token.is_empty());
        let missing =
            || format!("environment variable {} is not set: the broker asks for it", env::RUN_TOKEN);
        token.map(|token| Self::Broker { token }).ok_or_else(|| Failure::invalid(missing()))
    }

    /// The storage of `file`, opened.
    pub(super) fn store(&self, file: &RunFile) -> Result<Store, Failure> {
        match (self, &file.storage_broker) {
            (Self::Key(key), _) => Ok(Store::connect(&file.storage, key.clone())),
            (Self::Broker { token }, Some(broker)) => {
                Ok(Store::brokered(&file.storage, &broker.url, token, file.run.attempt)?)
            }
            (Self::Broker { .. }, None) => Err(Failure::invalid("the run file names no storage broker")),
        }
    }

    /// The key for sources that bring none. A training reads no source, so without a key it is empty.
    pub(super) fn source_key(self) -> Credentials {
        match self {
            Self::Key(key) => key,
            Self::Broker { .. } => Credentials::new("", ""),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Broker { .. } => "Broker",
        })
    }
}
