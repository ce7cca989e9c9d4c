//! Models from a hub that speaks Hugging Face's HTTP API.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use url::Url;

use super::address::shown;
use super::http::Http;
use super::{FetchedFile, SourceError, check_count, check_name};

/// `GET /api/models/{id}/revision/{revision}`, as far as it is needed.
#[derive(Deserialize)]
struct Revision {
    /// The commit that a branch or tag stands for.
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Brings the wanted files of one commit: what a branch names is looked up once, so that all files are of one
/// version.
pub(super) async fn fetch(
    http: &Http,
    hub: &str,
    model: &str,
    revision: &str,
    into: &Path,
    wanted: &(impl Fn(&str) -> bool + Sync),
) -> Result<Vec<FetchedFile>, SourceError> {
    let encoded = revision.replace('/', "%2F");
    let url = parse(&format!("{hub}/api/models/{model}/revision/{encoded}"))?;
    let answer = http.json(&url).await?;
    let unreadable = |cause: String| SourceError::Unreadable { what: shown(url.as_str()), cause };
    let found: Revision = serde_json::from_value(answer)
        .map_err(|error| unreadable(format!("not the hub's answer to a model revision ({error})")))?;
    if found.sha.is_empty() || !found.sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(unreadable("the hub named no commit".to_owned()));
    }
    let mut names = BTreeSet::new();
    for Sibling { rfilename: name } in found.siblings {
        if !wanted(&name) {
            continue;
        }
        check_name(&format!("hf://{model}/{name}"), &name)?;
        if !names.insert(name) {
            return Err(unreadable("the hub names a file twice".to_owned()));
        }
    }
    // Before the first is fetched: a bound found at the end has cost all the work.
    check_count(&format!("hf://{model}"), names.len())?;
    let mut files = Vec::with_capacity(names.len());
    for name in names {
        let mut url = parse(&format!("{hub}/{model}/resolve/{}", found.sha))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(name.split('/'));
        }
        files.push(http.file(&url, &name, into).await?);
    }
    Ok(files)
}

fn parse(url: &str) -> Result<Url, SourceError> {
    Url::parse(url).map_err(|error| SourceError::Unreadable {
        what: shown(url),
        cause: format!("not a URL ({error}); set HF_ENDPOINT to the hub's address"),
    })
}
