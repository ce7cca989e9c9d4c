//! What one attempt of a training may do with the Collective's objects, and on which condition. Everything is decided
//! by keys being, byte for byte, those that [`crate::layout`] makes: what is merely like one is refused.

use cooperator_core::digest::Digest;

use super::{MOST_BYTES, MOST_TEXT, Request};
use crate::{layout, preflight};

/// Largest manifest of a checkpoint, in bytes: it names three blobs.
const MOST_MANIFEST: u64 = 64 << 10;

/// One attempt of a training: what it starts from, and where it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `metadata.uid` of the FineTune.
    pub uid: &'a str,
    /// The attempt.
    pub attempt: u32,
    /// Manifest digest of its base model.
    pub base_model: Digest,
    /// Name of its Dataset.
    pub dataset: &'a str,
    /// Manifest digest of the dataset version.
    pub dataset_digest: Digest,
}

/// What must also hold before a request within the scope is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// The manifest of the base model or of the dataset version names this blob.
    Input(Digest),
    /// This adapter has no manifest yet, or was published by an attempt of the same FineTune.
    Unpublished(Digest),
}

/// Why a request is refused. It repeats nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfScope {
    /// A key, prefix or token that no key of ours can be.
    #[error("a key has 1 to 1024 bytes and no control characters")]
    Malformed,
    /// Not among what a training reads.
    #[error(
        "a training reads its base model, its dataset version, its preflight and the checkpoints of its FineTune, nothing else"
    )]
    Read,
    /// Not among what this attempt writes.
    #[error("a training writes checkpoints of its own attempt and files of its adapter, nothing else")]
    Write,
    /// Content under the address of other content.
    #[error("the sha256 is not the digest in the key")]
    Address,
    /// More bytes than the key may hold.
    #[error(
        "more bytes than an object of this kind may have (5 GiB; a checkpoint's manifest 64 KiB, a preflight 4 MiB)"
    )]
    Size,
    /// Not among what this attempt removes.
    #[error("a training removes its preflight and checkpoints of its FineTune, nothing else")]
    Remove,
    /// Not the checkpoints of this FineTune.
    #[error("a training lists the checkpoints of its FineTune, nothing else")]
    List,
}

impl Scope<'_> {
    /// Whether `request` is within the scope, and on which condition.
    ///
    /// # Errors
    /// [`OutOfScope`]: it is refused, whatever lies in the storage.
    pub fn judge(&self, request: &Request) -> Result<Condition, OutOfScope> {
        let is_plain = |text: &str| text.len() <= MOST_TEXT && !text.chars().any(char::is_control);
        if request.key().is_empty() || !is_plain(request.key()) {
            return Err(OutOfScope::Malformed);
        }
        match request {
            Request::Get { key } | Request::Head { key } => self.read(key),
            Request::Put { key, size, sha256 } => self.write(key, *size, sha256),
            Request::Delete { key } => self.remove(key),
            Request::List { prefix, continuation } => {
                if !continuation.as_deref().is_none_or(is_plain) {
                    return Err(OutOfScope::Malformed);
                }
                let own = *prefix == layout::checkpoints(self.uid);
                own.then_some(Condition::Always).ok_or(OutOfScope::List)
            }
        }
    }

    fn read(&self, key: &str) -> Result<Condition, OutOfScope> {
        let is_manifest = key == layout::model(&self.base_model)
            || key == layout::dataset(self.dataset, &self.dataset_digest);
        let is_preflight = key == layout::preflight(self.uid, self.attempt);
        if is_manifest || is_preflight || self.is_checkpoint(key) {
            return Ok(Condition::Always);
        }
        layout::blob_digest(key).map(Condition::Input).ok_or(OutOfScope::Read)
    }

    fn write(&self, key: &str, size: u64, sha256: &Digest) -> Result<Condition, OutOfScope> {
        let (most, address, condition) = if key == layout::preflight(self.uid, self.attempt) {
            (preflight::MOST_BYTES, None, Condition::Always)
        } else if let Some((attempt, _)) = layout::checkpoint_place(self.uid, key) {
            if attempt != self.attempt {
                return Err(OutOfScope::Write);
            }
            (MOST_MANIFEST, None, Condition::Always)
        } else if let Some(digest) = layout::checkpoint_blob_digest(self.uid, key) {
            (MOST_BYTES, Some(digest), Condition::Always)
        } else if let Some((digest, file)) = layout::adapter_file(key) {
            let address = (file == layout::ADAPTER_MANIFEST).then_some(digest);
            (MOST_BYTES, address, Condition::Unpublished(digest))
        } else {
            return Err(OutOfScope::Write);
        };
        if size > most {
            return Err(OutOfScope::Size);
        }
        if address.is_some_and(|digest| digest != *sha256) {
            return Err(OutOfScope::Address);
        }
        Ok(condition)
    }

    /// Those of older attempts too: which checkpoints are too many is decided over all of them.
    fn remove(&self, key: &str) -> Result<Condition, OutOfScope> {
        let may = key == layout::preflight(self.uid, self.attempt) || self.is_checkpoint(key);
        may.then_some(Condition::Always).ok_or(OutOfScope::Remove)
    }

    /// Whether the key is of a checkpoint's manifest or blob, of an attempt that is not later than this one.
    fn is_checkpoint(&self, key: &str) -> bool {
        layout::checkpoint_place(self.uid, key).is_some_and(|(attempt, _)| attempt <= self.attempt)
            || layout::checkpoint_blob_digest(self.uid, key).is_some()
    }
}
