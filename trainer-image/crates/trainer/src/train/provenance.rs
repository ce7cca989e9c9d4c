//! What made the adapter, for anyone to check offline: an in-toto Statement v1 with SLSA provenance v1.

use cooperator_contract::layout;
use cooperator_contract::manifest::{AdapterManifest, DatasetManifest, File, ModelManifest};
use cooperator_contract::run::TrainTask;
use cooperator_core::digest::Digest;
use serde_json::{Value, json};

use crate::run::Context;

/// Names this kind of build; its parameters are those of [`TrainTask`].
const BUILD_TYPE: &str = "https://cooperator.dev/train/v1";
const BUILDER: &str = "https://cooperator.dev/trainer";

/// Every input and output by digest. Holds no secret: the run file has none.
pub(super) fn statement(
    context: &Context,
    task: &TrainTask,
    base: &ModelManifest,
    dataset: &DatasetManifest,
    adapter: &AdapterManifest,
) -> Value {
    let uri = |key: &str| context.store.uri(key);
    let resource = |name: &str, key: &str, digest: &Digest| json!({"name": name, "uri": uri(key), "digest": {"sha256": digest.hex()}});
    let file = |role: &str, file: &File| {
        resource(&format!("{role}/{}", file.name), &layout::blob(&file.digest), &file.digest)
    };
    let mut inputs = vec![resource("base-model", &layout::model(&task.base_model), &task.base_model)];
    inputs.extend(base.files.iter().map(|input| file("base-model", input)));
    let key = layout::dataset(&task.dataset, &task.dataset_digest);
    inputs.push(resource("dataset", &key, &task.dataset_digest));
    for (role, shards) in [("dataset/train", &dataset.shards), ("dataset/held-out", &dataset.held_out)] {
        inputs.extend(shards.iter().map(|shard| resource(role, &layout::blob(&shard.digest), &shard.digest)));
    }
    for given in &dataset.contributions {
        let digest = json!({"sha256": given.source_digest.hex()});
        inputs.push(json!({"name": format!("contribution/{}", given.name), "digest": digest}));
    }
    inputs.push(image(&task.builder_image));
    let subject: Vec<Value> = adapter
        .files
        .iter()
        .map(|output| json!({"name": output.name, "digest": {"sha256": output.digest.hex()}}))
        .collect();
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": task,
                "internalParameters": {},
                "resolvedDependencies": inputs,
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"cooperator-trainer": env!("CARGO_PKG_VERSION")}},
                "metadata": {"invocationId": format!("{}/{}", context.run.uid, context.run.attempt)},
            },
        },
    })
}

/// The image, by digest where its reference has one.
fn image(reference: &str) -> Value {
    match reference.split_once('@').and_then(|(_, digest)| digest.parse::<Digest>().ok()) {
        Some(digest) => {
            json!({"name": "image", "uri": format!("oci://{reference}"), "digest": {"sha256": digest.hex()}})
        }
        None => json!({"name": "image", "uri": format!("oci://{reference}")}),
    }
}
