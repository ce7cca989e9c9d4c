//! Which files of a folder hold the model.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use super::{INDEX, SINGLE, WeightsError};
use crate::line::{object, one_line};

/// Largest accepted index, bytes.
const MAX_INDEX: u64 = 64 << 20;

/// The files that hold the model in a folder, sorted: the single file, else the shards that the index names.
///
/// # Errors
/// [`WeightsError`] where there is neither, or a shard is missing.
pub fn files(folder: &Path) -> Result<Vec<String>, WeightsError> {
    if folder.join(SINGLE).is_file() {
        return Ok(vec![SINGLE.to_owned()]);
    }
    if folder.join(INDEX).is_file() {
        let io = |source| WeightsError::Io { file: INDEX.to_owned(), source };
        let mut text = Vec::new();
        File::open(folder.join(INDEX))
            .and_then(|file| file.take(MAX_INDEX + 1).read_to_end(&mut text))
            .map_err(io)?;
        let shards = shards(&text)?;
        return match shards.iter().find(|name| !folder.join(name).is_file()) {
            None => Ok(shards),
            Some(name) => {
                Err(WeightsError::Index { problem: format!("shard `{}` is not beside it", one_line(name)) })
            }
        };
    }
    let io = |source| WeightsError::Io { file: folder.display().to_string(), source };
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let file = entry.map_err(io)?.file_name();
        if is_pickle(&file.to_string_lossy()) {
            return Err(WeightsError::Pickle { file: one_line(&file.to_string_lossy()) });
        }
    }
    Err(WeightsError::Missing)
}

/// Whether a file of this name would be unpickled by those who read it.
pub fn is_pickle(name: &str) -> bool {
    let extension = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    matches!(extension.as_str(), "bin" | "pt" | "pth" | "ckpt" | "pkl" | "pickle")
}

/// The shards that an index names, sorted: plain file names of safetensors.
///
/// # Errors
/// [`WeightsError::Index`] for what is no index, or names a path; [`WeightsError::Pickle`].
pub fn shards(index: &[u8]) -> Result<Vec<String>, WeightsError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let problem = |problem: String| WeightsError::Index { problem };
    if index.len() as u64 > MAX_INDEX {
        return Err(problem(format!("more than {MAX_INDEX} bytes")));
    }
    let index: Index = object(index).map_err(problem)?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(problem("it names no shard".to_owned()));
    }
    for name in &names {
        if is_pickle(name) {
            return Err(WeightsError::Pickle { file: one_line(name) });
        }
        if name.contains(['/', '\\']) || !name.ends_with(".safetensors") {
            return Err(problem(format!("`{}` is no safetensors file beside it", one_line(name))));
        }
    }
    Ok(names.into_iter().collect())
}
