use std::collections::BTreeSet;

use cooperator_contract::layout;
use cooperator_contract::manifest::{AdapterManifest, ModelManifest};
use cooperator_contract::outcome::Outcome;
use cooperator_core::digest::Digest;
use cooperator_models::config::LlamaConfig;
use cooperator_models::lora::LoraAdapter;
use serde_json::Value;

use crate::world::{Inputs, World, digest, read_fixture, training};

#[tokio::test(flavor = "multi_thread")]
async fn a_training_publishes_an_adapter_in_peft_layout_that_is_better_than_its_base() {
    let (world, inputs) = World::ready().await;
    let outcome = world.train(1, training(inputs)).await;
    let Outcome::Succeeded { digest, key } = outcome else { panic!("{outcome:?}") };
    let file = |name: &str| world.bytes(&layout::adapter(&digest, name));
    assert_eq!(key, layout::adapter(&digest, "evaluation.json"));
    let mut names = [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "evaluation.json",
        "loss.svg",
        "manifest.json",
        "provenance.json",
    ]
    .map(|name| layout::adapter(&digest, name));
    names.sort();
    assert_eq!(world.keys("adapters/"), names);

    assert_eq!(Digest::of(&file("manifest.json")), digest);
    let manifest: AdapterManifest = world.json(&layout::adapter(&digest, "manifest.json"));
    assert_eq!((manifest.base_model, manifest.dataset), (inputs.base_model, inputs.dataset));
    for listed in &manifest.files {
        assert_eq!(Digest::of(&file(&listed.name)), listed.digest, "{}", listed.name);
    }
    let config = LlamaConfig::from_json(&read_fixture("tied", "config.json")).unwrap();
    LoraAdapter::from_peft(&config, &file("adapter_config.json"), &file("adapter_model.safetensors"))
        .unwrap();

    let evaluation = world.evaluation(&digest);
    assert_eq!((evaluation.adapter, evaluation.gates.len()), (digest, 0));
    let loss = |text: &str| text.parse::<f64>().unwrap();
    assert!(loss(&evaluation.adapted.loss) < loss(&evaluation.base.loss), "{evaluation:?}");
    assert!(evaluation.tokens > 0 && evaluation.samples.len() == 1, "{evaluation:?}");
    let weights: Vec<(&str, u64)> =
        evaluation.attribution.iter().map(|part| (part.member.as_str(), part.tokens)).collect();
    let given: Vec<u64> =
        world.dataset(&inputs.dataset).contributions.iter().map(|given| given.tokens).collect();
    assert_eq!(weights, [("member-lincoln", given[0]), ("member-washington", given[1])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_card_shows_the_loss_curve_and_who_gave_what() {
    let (world, inputs) = World::ready().await;
    let adapter = digest(world.train(1, training(inputs)).await);
    let text =
        |name: &str| String::from_utf8(world.bytes(&layout::adapter(&adapter, name)).to_vec()).unwrap();
    let (card, picture) = (text("README.md"), text("loss.svg"));
    assert!(card.contains("(loss.svg)") && picture.starts_with("<svg"), "{card}");
    assert!(card.contains("| member-lincoln |") && card.contains("at step 8"), "{card}");
    assert!(card.contains(&world.evaluation(&adapter).adapted.loss), "{card}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provenance_is_a_statement_that_names_every_input_and_output_by_digest() {
    let (world, inputs) = World::ready().await;
    let adapter = digest(world.train(1, training(inputs)).await);
    let statement: Value = world.json(&layout::adapter(&adapter, "provenance.json"));
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let digests = |list: &Value| -> BTreeSet<String> {
        let digest = |entry: &Value| entry["digest"]["sha256"].as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(digest).collect()
    };

    let base: ModelManifest = world.json(&layout::model(&inputs.base_model));
    let dataset = world.dataset(&inputs.dataset);
    let mut expected = vec![inputs.base_model, inputs.dataset, Digest::of(b"image")];
    expected.extend(base.files.iter().map(|file| file.digest));
    expected.extend(dataset.shards.iter().chain(&dataset.held_out).map(|shard| shard.digest));
    expected.extend(dataset.contributions.iter().map(|given| given.source_digest));
    let named = digests(&statement["predicate"]["buildDefinition"]["resolvedDependencies"]);
    assert_eq!(named, expected.iter().map(|digest| digest.hex()).collect());

    let manifest: AdapterManifest = world.json(&layout::adapter(&adapter, "manifest.json"));
    let outputs = manifest.files.iter().map(|file| file.digest.hex()).collect();
    assert_eq!(digests(&statement["subject"]), outputs);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_inputs_and_seed_give_the_same_adapter_in_another_bucket_and_another_seed_another() {
    let train = async |seed: u64| -> (Inputs, Digest) {
        let (world, inputs) = World::ready().await;
        let mut task = training(inputs);
        task.training.seed = seed;
        (inputs, digest(world.train(1, task).await))
    };
    let (first, second, other) = tokio::join!(train(7), train(7), train(8));
    assert_eq!(first, second);
    assert_eq!(first.0, other.0);
    assert_ne!(first.1, other.1);
}
