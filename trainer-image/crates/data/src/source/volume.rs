//! Files of a mounted claim. They stay where they are; a link that leads out of the claim is refused.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cooperator_core::digest::Hasher;

use super::{FetchedFile, SourceError, check_count, check_name};

/// The wanted files at `path` of `claim`.
pub(super) async fn files(
    root: &Path,
    claim: &str,
    path: &str,
    wanted: &(impl Fn(&str) -> bool + Sync),
) -> Result<Vec<FetchedFile>, SourceError> {
    let claim_root = root.join(claim);
    let start = if path.is_empty() { claim_root.clone() } else { claim_root.join(path) };
    let what = format!("pvc://{claim}/{path}");
    let claim_root = real(&what, &claim_root).await?;
    let start = inside(&what, &start, &claim_root).await?;
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let kind = tokio::fs::metadata(&start).await.map_err(|error| failed(&what, &error))?;
    if kind.is_dir() {
        folders.push((start, String::new()));
    } else if kind.is_file() {
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        files.push((name, start));
    } else {
        // A pipe would be waited for, and a device read, for ever.
        let cause = "a pipe, a socket or a device, no file; put the file itself there".to_owned();
        return Err(SourceError::Unreadable { what, cause });
    }
    while let Some((folder, below)) = folders.pop() {
        let mut entries = tokio::fs::read_dir(&folder).await.map_err(|error| failed(&what, &error))?;
        while let Some(entry) = entries.next_entry().await.map_err(|error| failed(&what, &error))? {
            let Some(name) = entry.file_name().to_str().map(|name| format!("{below}{name}")) else {
                let cause = "a file name is not UTF-8; rename it".to_owned();
                return Err(SourceError::Unreadable { what, cause });
            };
            let place = format!("{}/{name}", what.trim_end_matches('/'));
            check_name(&place, &name)?;
            let target = inside(&place, &entry.path(), &claim_root).await?;
            let kind = tokio::fs::metadata(&target).await.map_err(|error| failed(&place, &error))?;
            if kind.is_dir() {
                // A linked folder could lead back up and round for ever.
                let link = entry.file_type().await.map_err(|error| failed(&place, &error))?.is_symlink();
                if !link {
                    folders.push((target, format!("{name}/")));
                }
            } else if kind.is_file() && wanted(&name) {
                files.push((name, target));
                check_count(&what, files.len())?;
            }
        }
    }
    let mut read = Vec::with_capacity(files.len());
    for (name, target) in files {
        read.push(hashed(&what, name, target).await?);
    }
    Ok(read)
}

async fn inside(what: &str, path: &Path, claim: &Path) -> Result<PathBuf, SourceError> {
    let target = real(what, path).await?;
    if target.starts_with(claim) {
        return Ok(target);
    }
    Err(SourceError::Forbidden {
        what: what.to_owned(),
        cause: "a link leads out of the claim".to_owned(),
        hint: "put the file itself there".to_owned(),
    })
}

async fn real(what: &str, path: &Path) -> Result<PathBuf, SourceError> {
    tokio::fs::canonicalize(path).await.map_err(|error| failed(what, &error))
}

async fn hashed(what: &str, name: String, path: PathBuf) -> Result<FetchedFile, SourceError> {
    let hash = move || {
        let mut hasher = Hasher::new();
        let bytes = std::io::copy(&mut std::fs::File::open(&path)?, &mut hasher)?;
        Ok(FetchedFile { name, path, digest: hasher.finish(), bytes })
    };
    let done =
        tokio::task::spawn_blocking(hash).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    done.map_err(|error| failed(what, &error))
}

/// What the file system says of a claim is about the source, not about our own disk.
fn failed(what: &str, error: &std::io::Error) -> SourceError {
    let what = what.to_owned();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            SourceError::NotFound { what, hint: "check the claim and the path in it".to_owned() }
        }
        ErrorKind::PermissionDenied => SourceError::Forbidden {
            what,
            cause: "permission denied".to_owned(),
            hint: "make it readable for the pod's user or group".to_owned(),
        },
        _ => SourceError::Unreadable { what, cause: format!("{error}; put the file itself there") },
    }
}
