//! What deleted segments sum up to. Written whole beside the segments, before the first of them goes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use cooperator_core::money::Amount;
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::WalError;
use super::segment::file_error;

const NAME: &str = "checkpoint.json";

/// Sums over all rows up to a sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// Id of the log.
    pub gateway: String,
    /// Last sequence that is summed up; 0: none.
    pub through_sequence: u64,
    /// Time of that row: the log goes on from there, also when the clock was set back meanwhile.
    #[serde(default)]
    pub through_time: Timestamp,
    /// What each key has spent by them.
    pub spent: BTreeMap<String, Amount>,
}

impl Checkpoint {
    /// Reads that of a folder; none in a new folder.
    pub fn read(folder: &Path) -> Result<Option<Self>, WalError> {
        let path = folder.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(checkpoint) => Ok(Some(checkpoint)),
                Err(_) => Err(WalError::Damaged { path: path.display().to_string(), offset: 0 }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_error(&path, error)),
        }
    }

    /// Replaces that of a folder in one step.
    pub fn write(&self, folder: &Path) -> Result<(), WalError> {
        let (path, part) = (folder.join(NAME), folder.join("checkpoint.part"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&part, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| file_error(&path, error))
    }
}
