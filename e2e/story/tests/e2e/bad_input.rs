use cooperator_api::base_model::BaseModel;
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::Dataset;
use cooperator_story::ask::Gateway;
use cooperator_story::cluster::Cluster;
use cooperator_story::{PRESIDENTS, wait};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{connect, object, told};

/// Makes an object, waits for the reason of its Ready condition, removes it, and returns the condition's message.
async fn refused<K>(cluster: &Cluster, wanted: &Value, reason: &str) -> String
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let made =
        api.create(&PostParams::default(), &serde_json::from_value(wanted.clone()).unwrap()).await.unwrap();
    let message = wait::reason::<K>(cluster, &made.name_any(), "Ready", reason).await.unwrap();
    api.delete(&made.name_any(), &DeleteParams::default()).await.unwrap();
    eprintln!("{reason}: {message}");
    message
}

fn model(name: &str, digest: &str) -> Value {
    object(
        "BaseModel",
        name,
        json!({
            "collectiveRef": {"name": PRESIDENTS}, "modality": "Text", "license": "Apache-2.0",
            "source": {
                "storageUri": "s3://presidents.presidents/incoming/SmolLM2-135M-Instruct.Q4_1.gguf", "digest": digest,
            },
        }),
    )
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_base_model_with_another_digest_is_not_imported() {
    told().await;
    let zeros = format!("sha256:{}", "0".repeat(64));
    let message = refused::<BaseModel>(&connect().await, &model("another", &zeros), "DigestMismatch").await;
    assert!(
        message.contains("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        "{message}"
    );
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_base_model_whose_licence_the_policy_forbids_is_not_imported() {
    told().await;
    let mut wanted = model("closed", &format!("sha256:{}", "0".repeat(64)));
    wanted["spec"]["license"] = json!("CC-BY-NC-4.0");
    let message = refused::<BaseModel>(&connect().await, &wanted, "LicenseNotAllowed").await;
    assert!(message.contains("CC-BY-NC-4.0") && message.contains("Apache-2.0"), "{message}");
}

/// A Dataset of one Contribution with this source.
async fn dataset_of(cluster: &Cluster, name: &str, storage_uri: &str, reason: &str) -> String {
    let api: Api<Contribution> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let mut contribution = object(
        "Contribution",
        name,
        json!({
            "collectiveRef": {"name": PRESIDENTS}, "memberRef": {"name": "grant"}, "modality": "Text",
            "source": {"storageUri": storage_uri}, "license": "PDDL-1.0",
            "grants": [{"use": "GenerativeTraining", "allowed": true}],
        }),
    );
    contribution["metadata"]["labels"] = json!({"corpus": name});
    api.create(&PostParams::default(), &serde_json::from_value(contribution).unwrap()).await.unwrap();
    let dataset = object(
        "Dataset",
        name,
        json!({
            "collectiveRef": {"name": PRESIDENTS}, "modality": "Text", "selector": {"matchLabels": {"corpus": name}},
            "baseModelRef": {"name": "smollm2-135m"},
        }),
    );
    let message = refused::<Dataset>(cluster, &dataset, reason).await;
    api.delete(name, &DeleteParams::default()).await.unwrap();
    message
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_source_that_does_not_exist_is_named() {
    told().await;
    let uri = "s3://presidents.presidents/incoming/nobody/";
    let message = dataset_of(&connect().await, "nobody", uri, "SourceNotFound").await;
    assert!(message.contains("incoming/nobody/"), "{message}");
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_source_that_is_no_text_is_named() {
    told().await;
    let uri = "s3://presidents.presidents/incoming/SmolLM2-135M-Instruct.Q4_1.gguf";
    let message = dataset_of(&connect().await, "no-text", uri, "SourceUnreadable").await;
    assert!(message.contains(".gguf"), "{message}");
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_call_without_a_valid_key_gets_the_same_refusal_whatever_is_wrong_with_it() {
    told().await;
    let gateway = Gateway::open(&connect().await).await.unwrap();
    let body = json!({"model": PRESIDENTS, "messages": [{"role": "user", "content": "?"}]});
    let http = reqwest::Client::new();
    let mut altered = gateway.key.clone();
    altered.replace_range(20..21, if altered.as_bytes()[20] == b'a' { "b" } else { "a" });
    let mut answers = Vec::new();
    for key in [None, Some("sk-0"), Some(altered.as_str())] {
        let call = http.post(format!("{}/v1/chat/completions", gateway.url)).json(&body);
        let call = match key {
            Some(key) => call.bearer_auth(key),
            None => call,
        };
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let text = answer.text().await.unwrap();
        assert!(!text.contains(&altered), "a refusal repeats no key");
        answers.push(text);
    }
    eprintln!("401: {}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}
