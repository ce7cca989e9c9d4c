//! `storageUri`, parsed.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

/// Longest address in bytes.
const MAX_BYTES: usize = 2048;

/// An address that is none of ours. Nothing after `?` or before `@` is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "storageUri `{uri}`: {cause}; use s3://bucket/key, https://host/file, hf://owner/model[:revision] or pvc://claim/path"
)]
pub struct InvalidAddress {
    uri: String,
    cause: &'static str,
}

/// Where a source lies. Displays without credentials and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An object, or with a trailing `/` (or no key) everything below.
    Bucket {
        /// Bucket name.
        bucket: String,
        /// Key or prefix.
        key: String,
    },
    /// One file.
    Web(Url),
    /// A model on the hub.
    Hub {
        /// `owner/model`.
        model: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// A file or folder of a mounted claim.
    Volume {
        /// PersistentVolumeClaim name.
        claim: String,
        /// Below it; may be empty.
        path: String,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, key } => write!(f, "s3://{bucket}/{key}"),
            Self::Web(url) => f.write_str(&shown(url.as_str())),
            Self::Hub { model, revision } => write!(f, "hf://{model}:{revision}"),
            Self::Volume { claim, path } => write!(f, "pvc://{claim}/{path}"),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(uri: &str) -> Result<Self, InvalidAddress> {
        let invalid = |cause| InvalidAddress { uri: shown(uri), cause };
        if uri.len() > MAX_BYTES || uri.chars().any(char::is_control) {
            return Err(invalid("longer than 2048 bytes, or with control characters"));
        }
        let (scheme, rest) = uri.split_once("://").ok_or_else(|| invalid("no scheme"))?;
        match scheme {
            "s3" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_name(bucket) {
                    return Err(invalid("the bucket must be letters, digits, `-`, `_` and `.`"));
                }
                Ok(Self::Bucket { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            "http" | "https" => web(uri).map_err(invalid),
            "hf" => {
                let (model, revision) = rest.split_once(':').unwrap_or((rest, "main"));
                let parts: Vec<&str> = model.split('/').collect();
                let named = parts.len() == 2 && parts.iter().all(|part| is_name(part));
                if !named || revision.is_empty() || !revision.split('/').all(is_name) {
                    return Err(invalid("it must name an owner, a model and, after `:`, a revision"));
                }
                Ok(Self::Hub { model: model.to_owned(), revision: revision.to_owned() })
            }
            "pvc" => {
                let (claim, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_name(claim) || path.split('/').any(|part| part == "..") {
                    return Err(invalid("it must name a claim and a path without `..`"));
                }
                Ok(Self::Volume { claim: claim.to_owned(), path: path.trim_matches('/').to_owned() })
            }
            _ => Err(invalid("the scheme is not read")),
        }
    }
}

fn web(uri: &str) -> Result<Address, &'static str> {
    // Browsers take it for a slash, others for a part of the host: nobody would be sure who is asked.
    if uri.contains('\\') {
        return Err("a backslash is in it");
    }
    let url = Url::parse(uri).map_err(|_| "not a URL")?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong in it; put a token into the source's secretRef");
    }
    if url.path().ends_with('/') {
        return Err("it must name one file, folders cannot be listed over HTTP");
    }
    Ok(Address::Web(url))
}

/// The last part of the path, or `file` where that is no plain name.
pub(super) fn file_name(url: &Url) -> String {
    let last = url.path().rsplit('/').next().unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8_lossy().into_owned();
    if is_safe(&name) && !name.contains('/') { name } else { "file".to_owned() }
}

/// Whether a name stays in the folder it is put into.
pub(super) fn is_safe(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.len() <= 200;
    name.split('/').all(part) && !name.contains('\\') && !name.chars().any(char::is_control)
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 255 && text != "." && text != ".." && text.bytes().all(plain)
}

/// Without credentials, query and line breaks, at most 200 characters.
pub(super) fn shown(uri: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    let text = if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") };
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_scheme_of_the_api_is_read() {
        let written = |uri: &str| uri.parse::<Address>().unwrap().to_string();
        assert_eq!(written("s3://bucket/a/b/"), "s3://bucket/a/b/");
        assert_eq!(written("s3://bucket"), "s3://bucket/");
        assert_eq!(written("https://example.org/a.txt?signature=x"), "https://example.org/a.txt");
        assert_eq!(written("hf://owner/model"), "hf://owner/model:main");
        assert_eq!(written("hf://owner/model:refs/pr/1"), "hf://owner/model:refs/pr/1");
        assert_eq!(written("pvc://claim/works/"), "pvc://claim/works");
    }

    #[test]
    fn what_could_leave_its_place_or_carry_a_secret_is_refused_without_repeating_it() {
        for uri in [
            "",
            "file:///etc/passwd",
            "ftp://host/a",
            "s3://",
            "s3:///key",
            "s3://bu cket/a",
            "hf://owner",
            "hf://owner/model/file",
            "hf://owner/..",
            "hf://owner/model:",
            "pvc://",
            "pvc://../a",
            "pvc://claim/a/../b",
            "https://",
            "https://user:hunter2@host/a",
            "https://host/folder/?hunter2",
            "https://host/a\nb",
        ] {
            let error = uri.parse::<Address>().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_file_name_never_leaves_its_folder() {
        let name = |uri: &str| file_name(&Url::parse(uri).unwrap());
        assert_eq!(name("https://host/a%20b.txt"), "a b.txt");
        assert_eq!(name("https://host/%2e%2e%2fx"), "file");
        assert!(!is_safe("a/../../b") && is_safe("a/b.txt"));
    }

    const ADDRESSES: [&str; 5] = [
        "s3://bucket/works/a b/c.txt",
        "https://example.org:8443/a/b.txt?signature=hunter2#hunter2",
        "https://[::1]/a.txt",
        "hf://owner/model:refs/pr/1",
        "pvc://claim/works/",
    ];

    proptest! {
        #[test]
        fn an_address_that_was_changed_is_refused_in_one_line_or_reads_again_as_itself(
            bytes in cooperator_mutate::mutated(ADDRESSES.map(Into::into).to_vec()),
        ) {
            let line = match String::from_utf8_lossy(&bytes).parse::<Address>() {
                Err(error) => error.to_string(),
                Ok(address @ Address::Web(_)) => address.to_string(),
                Ok(address) => {
                    let line = address.to_string();
                    prop_assert_eq!(line.parse::<Address>(), Ok(address));
                    line
                }
            };
            prop_assert!(!line.contains(char::is_control));
        }
    }
}
