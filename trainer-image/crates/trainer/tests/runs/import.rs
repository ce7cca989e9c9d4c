use cooperator_contract::canonical;
use cooperator_contract::layout;
use cooperator_contract::manifest::ModelManifest;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run::{ImportTask, Source, Task};
use cooperator_core::digest::Digest;
use cooperator_models::config::LlamaConfig;

use crate::world::{WORKS, World, digest, failure, read_fixture};

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_a_hugging_face_folder_writes_a_manifest_whose_digest_is_the_outcomes() {
    let world = World::new().await;
    world.give("untied_llama3/pytorch_model.bin", "not for us");
    world.give("untied_llama3/onnx/model.safetensors", "nor this");
    let outcome = world.import("untied_llama3", None).await;
    let Outcome::Succeeded { digest, key } = outcome else { panic!("{outcome:?}") };
    assert_eq!(key, layout::model(&digest));
    assert_eq!(Digest::of(&world.bytes(&key)), digest);

    let manifest: ModelManifest = world.json(&key);
    assert_eq!(canonical(&manifest).unwrap(), world.bytes(&key));
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    for file in &manifest.files {
        let bytes = world.bytes(&layout::blob(&file.digest));
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (file.digest, file.bytes), "{}", file.name);
    }
    let config = LlamaConfig::from_json(&read_fixture("untied_llama3", "config.json")).unwrap();
    assert_eq!(manifest.parameters, config.parameters());
    assert_eq!((manifest.architecture.as_str(), manifest.license.as_str()), ("llama", "Apache-2.0"));
    assert_eq!(std::fs::read_dir(world.work_folder()).unwrap().count(), 0, "the run leaves no files behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_digest_of_a_manifest_is_the_one_that_may_be_asked_for() {
    let world = World::new().await;
    let first = digest(world.import("tied", None).await);
    let manifest: ModelManifest = world.json(&layout::model(&first));
    assert_eq!(digest(world.import("tied", Some(manifest.source_digest)).await), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_another_digest_than_was_asked_for_is_refused() {
    let world = World::new().await;
    let asked = Digest::of(b"another model");
    let message = failure(world.import("tied", Some(asked)).await, FailureReason::DigestMismatch);
    assert!(
        message.contains(&format!("s3://{WORKS}/tied/")) && message.contains(&asked.to_string()),
        "{message}"
    );
    assert_eq!(world.keys(""), [""; 0], "nothing is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_no_model_is_refused_by_what_it_lacks() {
    let world = World::new().await;
    world.give("notes/tokenizer.json", "{}");
    let source = |uri: &str| {
        let source = Source { storage_uri: format!("s3://{WORKS}/{uri}"), digest: None };
        Task::Import(ImportTask { source, license: "Apache-2.0".to_owned() })
    };
    let message = failure(world.run("model", 1, source("notes/")).await, FailureReason::SourceUnreadable);
    assert!(message.contains("config.json"), "{message}");
    world.give("cut.gguf", &b"GGUF\x03\0\0\0"[..]);
    let message = failure(world.run("model", 3, source("cut.gguf")).await, FailureReason::SourceUnreadable);
    assert!(message.contains("GGUF"), "{message}");
    let message = failure(world.run("model", 2, source("empty/")).await, FailureReason::SourceNotFound);
    assert!(message.contains("s3://works/empty/"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_weights_that_was_not_looked_into_is_not_published() {
    let world = World::new().await;
    world.give("tied/model-extra.safetensors", "cos\nsystem\n");
    let manifest: ModelManifest = world.json(&layout::model(&digest(world.import("tied", None).await)));
    let names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_template_that_is_none_is_refused_before_anyone_trains() {
    let world = World::new().await;
    world.give("tied/tokenizer_config.json", r#"{"chat_template":"{% for %}"}"#);
    let message = failure(world.import("tied", None).await, FailureReason::UnsupportedModel);
    assert!(message.contains("chat template"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_missing_is_a_fault_of_the_source_and_not_tried_again() {
    let world = World::new().await;
    world.give("cut/config.json", read_fixture("tied", "config.json"));
    let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors"}}"#;
    world.give("cut/model.safetensors.index.json", index);
    let source = Source { storage_uri: format!("s3://{WORKS}/cut/"), digest: None };
    let task = Task::Import(ImportTask { source, license: "Apache-2.0".to_owned() });
    let message = failure(world.run("model", 1, task).await, FailureReason::SourceUnreadable);
    assert!(message.contains("shard `model-00001-of-00002.safetensors` is not beside it"), "{message}");
}
