//! BaseModels that are none. Addresses are abused in the table of contributions: the rules are the same ones.

use serde_json::json;

use super::collective::{OBJECT, SPDX};
use super::contribution::{COLLECTIVE, DIGEST};
use super::{Case, GONE, each};

const URI: &str = "/spec/source/storageUri";
const FORM: &str = "storageUri must be s3://bucket/key, https://host/file without user info, hf://owner/model[:revision] or pvc://claim/path";
const PATH: &str =
    "storageUri must not contain `..`, a backslash, or a part of its path that is `.` or empty";

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        ("/metadata/name", json!("m".repeat(41)), "metadata.name must be at most 40 characters"),
        ("/spec/collectiveRef", GONE, "spec.collectiveRef: Required value"),
        ("/spec/collectiveRef/name", json!("elsewhere/presidents"), OBJECT),
        ("/spec/collectiveRef/name", json!("9lives"), COLLECTIVE),
        ("/spec/modality", json!("Image"), "modality must be Text"),
        ("/spec/modality", json!("text"), "Unsupported value: \"text\""),
        ("/spec/source", GONE, "spec.source: Required value"),
        ("/spec/source", json!({}), "spec.source.storageUri: Required value"),
        ("/spec/source/path", json!("/etc"), "unknown field \"spec.source.path\""),
        ("/spec/source/digest", json!("sha256:0"), DIGEST),
        ("/spec/source/digest", json!("md5:d41d8cd98f00b204e9800998ecf8427e"), DIGEST),
        ("/spec/source/secretRef/name", json!("kube-system/admin"), OBJECT),
        ("/spec/license", GONE, "spec.license: Required value"),
        ("/spec/license", json!(["MIT"]), "must be of type string"),
        ("/spec/license", json!("Apache-2.0\u{200b}"), SPDX),
    ];
    cases.extend(each(
        URI,
        FORM,
        [
            json!("hf://no-owner"),
            json!("hf://owner/"),
            json!("hf://owner/model:"),
            json!("hf://owner/model:main/"),
            json!("hf://owner/model?download=true"),
            json!("hf://owner/mod el"),
            json!("hf://./model"),
            json!("hf://owner/m\u{43e}del"),
            json!("https://models.example/a.gguf/"),
            json!("oci://registry.example/model:latest"),
        ],
    ));
    cases.extend(each(
        URI,
        PATH,
        [json!("hf://owner/.."), json!("hf://owner/model:refs/../main"), json!("pvc://claim/a/../../b")],
    ));
    cases
}
