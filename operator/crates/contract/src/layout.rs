//! Where each object lies below a Collective's bucket and prefix (DESIGN, section 7). A key has a single writer.

use cooperator_core::digest::Digest;

/// Content-addressed bytes that all share: shards and weights.
pub fn blob(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}", &hex[..2])
}

/// Manifest of an imported base model, see [`crate::manifest::ModelManifest`].
pub fn model(digest: &Digest) -> String {
    format!("models/{}.json", digest.hex())
}

/// Manifest of one dataset version, see [`crate::manifest::DatasetManifest`].
pub fn dataset(name: &str, digest: &Digest) -> String {
    format!("datasets/{name}/{}.json", digest.hex())
}

/// The digest in a key that [`blob`] made; `None` for every other key.
pub fn blob_digest(key: &str) -> Option<Digest> {
    let digest = Digest::from_hex(key.rsplit_once('/')?.1).ok()?;
    (blob(&digest) == key).then_some(digest)
}

/// What begins the key of all that the attempts of one FineTune write while they train: every [`checkpoint`] with its
/// [`checkpoint_blob`]s, and for a moment a [`preflight`]. [`checkpoint_place`] tells them apart.
pub fn checkpoints(uid: &str) -> String {
    format!("finetunes/{uid}/")
}

/// Manifest of a checkpoint, see [`crate::manifest::CheckpointManifest`]. Zero-padded, so that listing sorts.
pub fn checkpoint(uid: &str, attempt: u32, step: u64) -> String {
    format!("finetunes/{uid}/{attempt:05}/{step:010}.json")
}

/// Attempt and step of a key that [`checkpoint`] made; `None` for every other one, such as that of a [`preflight`].
pub fn checkpoint_place(uid: &str, key: &str) -> Option<(u32, u64)> {
    let (attempt, step) = key.strip_prefix(&checkpoints(uid))?.strip_suffix(".json")?.split_once('/')?;
    let place = (attempt.parse().ok()?, step.parse().ok()?);
    (checkpoint(uid, place.0, place.1) == key).then_some(place)
}

/// Content-addressed bytes of the checkpoints of one FineTune. They are its own, so that who may write and remove its
/// checkpoints can harm no one else's.
pub fn checkpoint_blob(uid: &str, digest: &Digest) -> String {
    format!("finetunes/{uid}/blobs/{}", digest.hex())
}

/// The digest in a key that [`checkpoint_blob`] made for this FineTune; `None` for every other key.
pub fn checkpoint_blob_digest(uid: &str, key: &str) -> Option<Digest> {
    let hex = key.strip_prefix(&checkpoints(uid))?.strip_prefix("blobs/")?;
    Digest::from_hex(hex).ok()
}

/// What an attempt writes and takes away again before it begins, to see that it may.
pub fn preflight(uid: &str, attempt: u32) -> String {
    format!("finetunes/{uid}/{attempt:05}/preflight")
}

/// Name of the manifest among the files of an [`adapter`].
pub const ADAPTER_MANIFEST: &str = "manifest.json";
/// Name of what tells how an [`adapter`] was made, and by which run.
pub const ADAPTER_PROVENANCE: &str = "provenance.json";

/// A file of an adapter; [`ADAPTER_MANIFEST`] is written last and its sha256 is the adapter's digest.
pub fn adapter(digest: &Digest, file: &str) -> String {
    format!("adapters/{}/{file}", digest.hex())
}

/// Digest and file of a key that [`adapter`] made of a plain file name; `None` for every other key.
pub fn adapter_file(key: &str) -> Option<(Digest, &str)> {
    let (hex, file) = key.strip_prefix("adapters/")?.split_once('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_name = matches!(file.len(), 1..=128) && !file.starts_with('.') && file.bytes().all(plain);
    is_name.then_some((Digest::from_hex(hex).ok()?, file))
}

/// Result details of a run that has no content digest of its own.
pub fn run_detail(uid: &str, attempt: u32) -> String {
    format!("runs/{uid}/{attempt:05}.json")
}

/// All usage of all gateways.
pub const USAGE: &str = "usage/";

/// A chunk of a gateway's write-ahead log that is not yet compacted.
pub fn usage_chunk(gateway: &str, first_sequence: u64, digest: &Digest) -> String {
    format!("usage/{gateway}/open/{first_sequence:020}-{}.ndjson.zst", digest.hex())
}

/// An hour of a gateway, compacted by its only writer. `hour` is UTC, written `yyyy/mm/dd/hh`.
pub fn usage_hour(gateway: &str, hour: &str, digest: &Digest) -> String {
    format!("usage/{gateway}/{hour}-{}.parquet", digest.hex())
}

/// A file of a settled period's statement.
pub fn statement(period: &str, digest: &Digest, file: &str) -> String {
    format!("settlements/{period}/{}/{file}", digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_a_digest_is_read_back_and_nothing_like_it_is() {
        let digest = Digest::of(b"works");
        let hex = digest.hex();
        assert_eq!(blob_digest(&blob(&digest)), Some(digest));
        assert_eq!(checkpoint_blob_digest("uid", &checkpoint_blob("uid", &digest)), Some(digest));
        assert_eq!(adapter_file(&adapter(&digest, "README.md")), Some((digest, "README.md")));
        for key in [&hex, &format!("blobs/sha256/00/{hex}"), &format!("blobs/sha256/{}/{hex}/", &hex[..2])] {
            assert_eq!(blob_digest(key), None, "{key}");
        }
        let other = checkpoint_blob("other", &digest);
        let upper = checkpoint_blob("uid", &digest).to_uppercase();
        for key in [other.as_str(), &upper, "finetunes/uid/blobs/", "finetunes/uid/blobs/../x"] {
            assert_eq!(checkpoint_blob_digest("uid", key), None, "{key}");
        }
        for file in ["", ".", "..", "a/b", "../x", "a%2Fb", "a b", &"a".repeat(129)] {
            assert_eq!(adapter_file(&adapter(&digest, file)), None, "{file}");
        }
    }

    #[test]
    fn the_key_of_a_checkpoint_tells_its_attempt_and_step() {
        for place in [(1, 200), (0, 0), (123_456, 12_345_678_901)] {
            assert_eq!(checkpoint_place("uid", &checkpoint("uid", place.0, place.1)), Some(place));
        }
    }

    #[test]
    fn what_else_lies_among_the_checkpoints_of_a_fine_tune_is_none() {
        let others = [
            &preflight("uid", 1),
            &checkpoint_blob("uid", &Digest::of(b"")),
            &checkpoint("other", 1, 200),
            &checkpoints("uid"),
            "finetunes/uid/1/0000000200.json",
            "finetunes/uid/+0001/0000000200.json",
            "finetunes/uid/00001/0000000200.json.json",
            "finetunes/uid/00001/99999999999999999999.json",
            "finetunes/uid/00001/a/0000000200.json",
        ];
        for key in others {
            assert_eq!(checkpoint_place("uid", key), None, "{key}");
        }
    }
}
