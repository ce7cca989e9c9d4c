use cooperator_core::digest::Digest;

use super::{Ask, Condition, Grant, Granted, MOST_BYTES, OutOfScope, Request, Scope};
use crate::layout;

const UID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
const OTHER: &str = "0a1b2c3d-0000-4000-8000-000000000002";

fn base() -> Digest {
    Digest::of(b"base model")
}

fn version() -> Digest {
    Digest::of(b"dataset version")
}

fn scope() -> Scope<'static> {
    let (base_model, dataset_digest) = (base(), version());
    Scope { uid: UID, attempt: 2, base_model, dataset: "addresses", dataset_digest }
}

fn get(key: &str) -> Request {
    Request::Get { key: key.to_owned() }
}

fn head(key: &str) -> Request {
    Request::Head { key: key.to_owned() }
}

fn put(key: &str, bytes: &[u8]) -> Request {
    Request::Put { key: key.to_owned(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
}

fn delete(key: &str) -> Request {
    Request::Delete { key: key.to_owned() }
}

fn list(prefix: &str) -> Request {
    Request::List { prefix: prefix.to_owned(), continuation: None }
}

#[test]
fn a_training_may_do_what_the_trainer_does() {
    let (blob, adapter) = (Digest::of(b"blob"), Digest::of(b"adapter manifest"));
    let own = layout::checkpoint_blob(UID, &blob);
    let table = [
        (get(&layout::model(&base())), Condition::Always),
        (get(&layout::dataset("addresses", &version())), Condition::Always),
        (get(&layout::blob(&blob)), Condition::Input(blob)),
        (head(&layout::blob(&blob)), Condition::Input(blob)),
        (get(&layout::checkpoint(UID, 1, 200)), Condition::Always),
        (get(&own), Condition::Always),
        (list(&layout::checkpoints(UID)), Condition::Always),
        (put(&layout::preflight(UID, 2), b"preflight"), Condition::Always),
        (get(&layout::preflight(UID, 2)), Condition::Always),
        (put(&own, b"blob"), Condition::Always),
        (put(&layout::checkpoint(UID, 2, 400), b"{}"), Condition::Always),
        (put(&layout::adapter(&adapter, "README.md"), b"# A card"), Condition::Unpublished(adapter)),
        (
            put(&layout::adapter(&adapter, "manifest.json"), b"adapter manifest"),
            Condition::Unpublished(adapter),
        ),
        (delete(&layout::preflight(UID, 2)), Condition::Always),
        (delete(&layout::checkpoint(UID, 1, 200)), Condition::Always),
        (delete(&layout::checkpoint(UID, 2, 200)), Condition::Always),
        (delete(&own), Condition::Always),
    ];
    for (request, condition) in table {
        assert_eq!(scope().judge(&request), Ok(condition), "{request:?}");
    }
}

#[test]
fn everything_else_is_refused() {
    use OutOfScope::{Address, List, Malformed, Read, Remove, Write};
    let (blob, adapter) = (Digest::of(b"blob"), Digest::of(b"adapter manifest"));
    let shared = layout::blob(&blob);
    let table = [
        // Other inputs, and what no training reads.
        (get(&layout::model(&blob)), Read),
        (get(&layout::dataset("addresses", &base())), Read),
        (get(&layout::dataset("letters", &version())), Read),
        (get(&layout::adapter(&adapter, "manifest.json")), Read),
        (get("usage/gateway/open/1.ndjson.zst"), Read),
        (get("settlements/2026-11/statement.json"), Read),
        (get(&layout::preflight(UID, 1)), Read),
        (get(&layout::preflight(OTHER, 2)), Read),
        // Another FineTune, another attempt, another Collective's prefix.
        (get(&layout::checkpoint(OTHER, 1, 200)), Read),
        (get(&layout::checkpoint(UID, 3, 200)), Read),
        (get(&layout::checkpoint_blob(OTHER, &blob)), Read),
        (head(&format!("senators/{shared}")), Read),
        (put(&layout::checkpoint(UID, 1, 200), b"{}"), Write),
        (put(&layout::checkpoint(UID, 3, 200), b"{}"), Write),
        (put(&layout::checkpoint(OTHER, 2, 200), b"{}"), Write),
        (put(&layout::preflight(UID, 1), b"preflight"), Write),
        (put(&layout::checkpoint_blob(OTHER, &blob), b"blob"), Write),
        (delete(&layout::checkpoint(UID, 3, 200)), Remove),
        (delete(&layout::checkpoint(OTHER, 2, 200)), Remove),
        (delete(&layout::checkpoint_blob(OTHER, &blob)), Remove),
        (delete(&layout::preflight(UID, 1)), Remove),
        // What others use, and what is finished, is not written and not removed.
        (put(&shared, b"blob"), Write),
        (put(&layout::model(&base()), b"{}"), Write),
        (put("runs/x/00001.json", b"{}"), Write),
        (delete(&shared), Remove),
        (delete(&layout::model(&base())), Remove),
        (delete(&layout::adapter(&adapter, "README.md")), Remove),
        // Content under another content's address.
        (put(&layout::checkpoint_blob(UID, &blob), b"other"), Address),
        (put(&layout::adapter(&adapter, "manifest.json"), b"other"), Address),
        // Listings of more, or less exactly, than its own checkpoints.
        (list("finetunes/"), List),
        (list(&format!("finetunes/{UID}")), List),
        (list(&layout::checkpoints(OTHER)), List),
        (list(&format!("finetunes/{UID}/00001/")), List),
        (list("/"), List),
        (list(""), Malformed),
    ];
    for (request, why) in table {
        assert_eq!(scope().judge(&request), Err(why), "{request:?}");
    }
}

#[test]
fn a_key_that_is_merely_like_one_is_refused() {
    let blob = Digest::of(b"blob");
    let (hex, own) = (blob.hex(), layout::checkpoint_blob(UID, &blob));
    let hostile = [
        String::new(),
        "/".to_owned(),
        "..".to_owned(),
        format!("/{own}"),
        format!("{own}/"),
        format!("{own}?versionId=1"),
        format!("{own}#"),
        format!("./{own}"),
        format!("finetunes//{UID}/blobs/{hex}"),
        format!("finetunes/{UID}/../{OTHER}/blobs/{hex}"),
        format!("finetunes/{UID}/blobs/../../{OTHER}/blobs/{hex}"),
        format!("finetunes/{UID}%2F..%2F{OTHER}/blobs/{hex}"),
        format!("finetunes/{UID}/blobs%2F{hex}"),
        format!("finetunes%2f{UID}%2fblobs%2f{hex}"),
        format!("finetunes/{UID}\\blobs\\{hex}"),
        format!("finetunes/{UID}/blobs/{}", hex.to_uppercase()),
        format!("finetunes/{UID}/blobs/{hex}\0"),
        format!("finetunes/{UID}/blobs/{hex}\n"),
        format!("finetunes/{UID}/2/0000000200.json"),
        format!("finetunes/{UID}/00002/../00003/0000000200.json"),
        format!("finetunes/{UID}/00002/0000000200.json/x"),
        format!("finetunes/{UID}/00002/+000000200.json"),
        format!("adapters/{hex}/../README.md"),
        format!("adapters/{hex}/a/b"),
        format!("adapters/{hex}/..%2fREADME.md"),
        format!("adapters/{hex}/.hidden"),
        format!("adapters/{}/README.md", hex.to_uppercase()),
        format!("blobs/sha256/00/{hex}"),
        format!("blobs/sha256/{}/../{hex}", &hex[..2]),
        "a".repeat(100_000),
        format!("models/{}.json/", base().hex()),
    ];
    for key in hostile {
        for request in [get(&key), head(&key), put(&key, b"blob"), delete(&key), list(&key)] {
            assert!(scope().judge(&request).is_err(), "{:.200}", format!("{request:?}"));
        }
    }
}

#[test]
fn an_object_has_at_most_the_bytes_of_its_kind() {
    let adapter = layout::adapter(&Digest::of(b""), "adapter_model.safetensors");
    let sized = |key: &str, size| Request::Put { key: key.to_owned(), size, sha256: Digest::of(b"x") };
    let table = [
        (layout::preflight(UID, 2), 4 << 20),
        (layout::checkpoint(UID, 2, 1), 64 << 10),
        (layout::checkpoint_blob(UID, &Digest::of(b"x")), MOST_BYTES),
        (adapter, MOST_BYTES),
    ];
    for (key, most) in table {
        assert!(scope().judge(&sized(&key, most)).is_ok(), "{key}");
        assert_eq!(scope().judge(&sized(&key, most + 1)), Err(OutOfScope::Size), "{key}");
    }
}

#[test]
fn a_continuation_token_is_bounded() {
    let page = |continuation: String| Request::List {
        prefix: layout::checkpoints(UID),
        continuation: Some(continuation),
    };
    assert_eq!(scope().judge(&page("next".to_owned())), Ok(Condition::Always));
    assert_eq!(scope().judge(&page("n".repeat(1025))), Err(OutOfScope::Malformed));
    assert_eq!(scope().judge(&page("a\nb".to_owned())), Err(OutOfScope::Malformed));
}

#[test]
fn what_is_asked_and_granted_has_this_json_form() {
    let ask = Ask { attempt: 2, requests: vec![get("a"), put("b", b""), list("c/")] };
    let text = serde_json::to_string(&ask).unwrap();
    assert_eq!(
        text,
        r#"{"attempt":2,"requests":[{"verb":"get","key":"a"},{"verb":"put","key":"b","size":0,"sha256":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},{"verb":"list","prefix":"c/"}]}"#
    );
    assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
    for wrong in [
        r#"{"attempt":2,"requests":[{"verb":"put","key":"b"}]}"#,
        r#"{"attempt":2,"requests":[{"verb":"copy","key":"b"}]}"#,
        r#"{"attempt":2,"requests":[{"verb":"get","key":"b","from":"c"}]}"#,
    ] {
        assert!(serde_json::from_str::<Ask>(wrong).is_err(), "{wrong}");
    }
    let grant = Grant { url: "http://s3/secret".to_owned(), headers: [].into(), lifetime_seconds: 600 };
    let granted = Granted { grants: vec![grant] };
    let text = serde_json::to_string(&granted).unwrap();
    assert_eq!(text, r#"{"grants":[{"url":"http://s3/secret","lifetimeSeconds":600}]}"#);
    assert!(!format!("{granted:?}").contains("secret"), "{granted:?}");
}
