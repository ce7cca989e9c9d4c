//! Objects with every field of their spec, and what one of them may be changed to.

use cooperator_api::api_key::ApiKey;
use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::contribution::Contribution;
use cooperator_api::dataset::Dataset;
use cooperator_api::deployment::Deployment;
use cooperator_api::fine_tune::FineTune;
use cooperator_api::node_claim::NodeClaim;
use cooperator_api::node_pool::NodePool;
use cooperator_api::provider::Provider;
use cooperator_api::settlement::Settlement;
use cooperator_e2e_api::Server;
use serde_json::{Value, from_value, json};

use super::with;

const YAML: &str = include_str!("good.yaml");

/// The first good object of a kind.
pub fn object(kind: &str) -> Value {
    objects(kind).swap_remove(0)
}

/// The good objects of a kind.
pub fn objects(kind: &str) -> Vec<Value> {
    let objects = serde_yaml::Deserializer::from_str(YAML)
        .map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    objects.filter(|object: &Value| object["kind"] == kind).collect()
}

/// Reads what the server stores as the operator does. One object that it cannot read would stop its watch of the kind.
pub fn read(kind: &str, stored: Value) -> serde_json::Result<()> {
    match kind {
        "Collective" => from_value::<Collective>(stored).map(drop),
        "Contribution" => from_value::<Contribution>(stored).map(drop),
        "BaseModel" => from_value::<BaseModel>(stored).map(drop),
        "Dataset" => from_value::<Dataset>(stored).map(drop),
        "FineTune" => from_value::<FineTune>(stored).map(drop),
        "Deployment" => from_value::<Deployment>(stored).map(drop),
        "ApiKey" => from_value::<ApiKey>(stored).map(drop),
        "Settlement" => from_value::<Settlement>(stored).map(drop),
        "Provider" => from_value::<Provider>(stored).map(drop),
        "NodePool" => from_value::<NodePool>(stored).map(drop),
        "NodeClaim" => from_value::<NodeClaim>(stored).map(drop),
        other => panic!("{other} is no kind of ours"),
    }
}

/// Values at a bound, or rare ones, that are as good: a rule that refuses these is too strict.
fn cases() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("Collective", "/metadata/name", json!("a".repeat(40))),
        ("Collective", "/spec/members/0/name", json!("a".repeat(63))),
        ("Collective", "/spec/members/0/displayName", json!("ناصر\u{200c}ها 👩\u{200d}🌾")),
        ("Collective", "/spec/members/0/subject", json!({"kind": "Group", "name": "oidc:bühne/Ton"})),
        ("Collective", "/spec/treasury/closeAfter", json!("0s")),
        ("Collective", "/spec/treasury/closeAfter", json!("2160h")),
        ("Collective", "/spec/treasury/pricePerNodeHour", json!("0.000001")),
        ("Collective", "/spec/storage/endpoint", json!("https://s3.example.org:65535")),
        ("Collective", "/spec/storage/endpoint", json!("http://garage:3900")),
        ("Collective", "/spec/storage/prefix", json!("")),
        ("Contribution", "/spec/source/storageUri", json!("s3://abc")),
        ("Contribution", "/spec/source/storageUri", json!("https://example.org/a.txt?x=https://b//c")),
        ("Contribution", "/spec/source/storageUri", json!("https://xn--bcher-kva.example:8443/a")),
        ("Contribution", "/spec/source/storageUri", json!("https://93.184.216.34/a")),
        ("Contribution", "/spec/source/storageUri", json!("https://[2606:4700::1111]/a")),
        ("Contribution", "/spec/source/storageUri", json!("pvc://works/grant/")),
        ("Contribution", "/spec/splitSheet", json!([])),
        ("Dataset", "/spec/selector", json!({})),
        ("FineTune", "/spec/lora/dropout", json!("0.9")),
        ("FineTune", "/spec/training/learningRate", json!("1e-10")),
        ("FineTune", "/spec/training/learningRate", json!("1")),
        ("FineTune", "/spec/training/weightDecay", json!("10")),
        ("FineTune", "/spec/training/clipNorm", json!("0")),
        ("FineTune", "/spec/compute/resources/limits/cpu", json!("1024")),
        ("FineTune", "/spec/compute/resources/limits/memory", json!("64Ti")),
        ("FineTune", "/spec/compute/resources/requests", json!({"cpu": "1m", "memory": "1Mi"})),
        ("FineTune", "/spec/compute/tolerations", json!([{"operator": "Exists"}])),
        ("FineTune", "/spec/compute", json!({"nodePoolRef": {"name": "gpus"}})),
        ("Provider", "/metadata/name", json!("p".repeat(40))),
        ("Provider", "/spec/endpoint", json!("http://127.0.0.1:8080")),
        ("Provider", "/spec/endpoint", json!("https://api.example.org:65535/a.b/v1/")),
        ("Provider", "/spec/exchangeRate", json!("0.000001")),
        ("Provider", "/spec/limits", json!({})),
        ("Provider", "/spec/timeouts/idle", json!("30s")),
        ("Provider", "/spec/breaker/pause", json!("24h")),
        ("NodePool", "/spec/template", json!({})),
        ("NodePool", "/spec/template/spec/expireAfter", json!("720h")),
        ("NodePool", "/spec/disruption/consolidateAfter", json!("0s")),
        ("NodePool", "/spec/template/metadata/labels", json!({"node-restriction.kubernetes.io/a": "b"})),
        (
            "NodePool",
            "/spec/template/spec/requirements",
            json!(vec![json!({"key": "cooperator.dev/host", "operator": "Exists"}); 32]),
        ),
        ("NodeClaim", "/metadata/name", json!("c".repeat(63))),
        ("NodeClaim", "/metadata/name", json!("1")),
        (
            "NodeClaim",
            "/spec/resources/requests",
            json!({"cpu": "1m", "memory": "64Ti", "nvidia.com/gpu": "8"}),
        ),
        ("NodeClaim", "/spec/work", json!({})),
        ("Deployment", "/spec/price/inputTokensPerMillion", json!("1000000000")),
        ("Deployment", "/spec/price/inputTokensPerMillion", json!("999999999.999999")),
        ("Deployment", "/spec/replicas", json!(0)),
        ("ApiKey", "/spec/expiresAt", json!("2199-12-31T23:59:59Z")),
        ("ApiKey", "/spec/deployments", json!([])),
        ("ApiKey", "/spec/budget/amount", json!("0")),
        ("Settlement", "/spec/suspense", json!("-0.000000000001")),
        ("Settlement", "/spec/payments/0/amount", json!("99999999999999999999999999.999999999999")),
    ]
}

/// Good objects that are refused.
pub async fn refused(server: &Server) -> Vec<String> {
    let mut wrong = Vec::new();
    for (kind, _) in super::tables() {
        for object in objects(kind) {
            match server.try_create(&object).await.unwrap() {
                Ok(stored) => read(kind, stored).unwrap(),
                Err(said) => {
                    wrong.push(format!("the good {kind} {} is refused: {said}", object["metadata"]["name"]))
                }
            }
        }
    }
    for (kind, pointer, value) in cases() {
        match server.try_create(&with(&object(kind), pointer, &value)).await.unwrap() {
            Ok(stored) => read(kind, stored).unwrap(),
            Err(said) => wrong.push(format!("{kind} {pointer} = {value} is refused: {said}")),
        }
    }
    for object in cooperator_e2e_api::examples().unwrap() {
        if let Err(said) = server.try_create(&object).await.unwrap() {
            wrong.push(format!("the example {} is refused: {said}", object["metadata"]["name"]));
        }
    }
    wrong
}
