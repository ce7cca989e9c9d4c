//! Names of objects in the other namespace.

use std::fmt::Debug;

use cooperator_api::base_model::BaseModel;
use cooperator_api::collective::Collective;
use cooperator_api::dataset::Dataset;
use cooperator_api::deployment::Deployment;
use cooperator_api::fine_tune::FineTune;
use cooperator_cli::access::Access;
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use kube::api::{DeleteParams, PostParams};
use kube::core::{DynamicObject, NamespaceResourceScope};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::{SYSTEM, apply, connect, object_in, told};
use crate::senators::{SENATORS, collective, condition, founded, until};

/// Ways to write "that of the presidents" into a field that names an object of one's own namespace.
const FOREIGN: [&str; 8] = [
    "presidents/presidents",
    "../presidents/presidents",
    "../../presidents/datasets/addresses",
    "presidents%2Fpresidents",
    "presidents.svc/presidents?x=",
    "/presidents",
    "presidents/",
    ".presidents",
];

/// Kind, its spec, and where in it names stand.
fn references() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let home = json!({"name": SENATORS});
    let source = json!({"storageUri": "s3://senators.senators/incoming/x/"});
    vec![
        ("Collective", collective_spec(), &["/storage/secretRef/name"]),
        (
            "Contribution",
            json!({
                "collectiveRef": home, "memberRef": {"name": "clay"}, "source": source, "license": "CC0-1.0",
                "grants": [{"use": "GenerativeTraining", "allowed": true}],
            }),
            &["/collectiveRef/name", "/memberRef/name"],
        ),
        (
            "BaseModel",
            json!({"collectiveRef": home, "license": "Apache-2.0", "source": source}),
            &["/collectiveRef/name"],
        ),
        (
            "Dataset",
            json!({"collectiveRef": home, "selector": {}, "baseModelRef": {"name": "model"}}),
            &["/collectiveRef/name", "/baseModelRef/name"],
        ),
        (
            "FineTune",
            json!({"baseModelRef": {"name": "model"}, "datasetRef": {"name": "data"}, "runtimeRef": {"name": "candle"}}),
            &["/baseModelRef/name", "/datasetRef/name", "/runtimeRef/name"],
        ),
        (
            "Deployment",
            json!({
                "fineTuneRef": {"name": "tune"}, "runtimeRef": {"name": "candle"},
                "price": {"inputTokensPerMillion": "1", "outputTokensPerMillion": "1"},
            }),
            &["/fineTuneRef/name", "/runtimeRef/name"],
        ),
        (
            "ApiKey",
            json!({
                "collectiveRef": home, "consumer": "x", "secretRef": {"name": "x"}, "deployments": ["one"],
            }),
            &["/collectiveRef/name", "/secretRef/name", "/deployments/0"],
        ),
    ]
}

fn collective_spec() -> Value {
    let mut spec = collective("x", 1)["spec"].clone();
    spec["storage"] = json!({
        "endpoint": "http://s3.example.org", "region": "garage", "bucket": "senators.senators",
        "secretRef": {"name": "senators-storage"},
    });
    spec
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn no_field_can_name_an_object_of_another_namespace() {
    founded().await;
    let access = Access { client: connect().await.client, namespace: SENATORS.into() };
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let mut tries = 0;
    for (kind, spec, fields) in references() {
        let create = async |spec: Value| {
            let object = object_in(SENATORS, kind, "reaching", spec);
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            access.dynamic(kind).create(&dry, &object).await
        };
        create(spec.clone())
            .await
            .unwrap_or_else(|error| panic!("the control, a {kind} of its own: {error}"));
        for field in fields {
            for foreign in FOREIGN {
                let mut reaching = spec.clone();
                *reaching.pointer_mut(field).unwrap() = json!(foreign);
                match create(reaching).await {
                    Err(kube::Error::Api(status)) if status.is_invalid() => tries += 1,
                    other => panic!("{kind} {field} = {foreign}: {other:?}"),
                }
            }
        }
    }
    eprintln!("{tries} references refused by the API server");
}

/// Makes an object in the senators' namespace, and returns the reason why it is not Ready.
async fn waits_for<K>(cluster: &Cluster, name: &str, spec: Value) -> String
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    apply(cluster, object_in(SENATORS, &K::kind(&()), name, spec)).await;
    let is_settled = |object: &Value| {
        condition(object, "Ready")
            .is_some_and(|ready| ready["status"] == "False" && ready["reason"] != "Importing")
    };
    let found = until::<K>(cluster, name, is_settled).await;
    let api: Api<K> = Api::namespaced(cluster.client.clone(), SENATORS);
    api.delete(name, &DeleteParams::default()).await.unwrap();
    condition(&found, "Ready").unwrap()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn the_name_of_an_object_of_another_namespace_is_one_that_is_not_there() {
    told().await;
    founded().await;
    let cluster = connect().await;
    let theirs = json!({"name": PRESIDENTS});
    let source = |uri: &str| json!({"storageUri": uri});
    let own = json!({"name": SENATORS});
    let model =
        json!({"collectiveRef": theirs, "license": "Apache-2.0", "source": source("s3://a.b/incoming/")});
    let tune = json!({"baseModelRef": {"name": "smollm2-135m"}, "datasetRef": {"name": "addresses"}});
    let served = json!({
        "fineTuneRef": {"name": "addresses-v1"},
        "price": {"inputTokensPerMillion": "1", "outputTokensPerMillion": "1"},
    });
    let data = json!({"collectiveRef": own, "selector": {}, "baseModelRef": {"name": "smollm2-135m"}});
    // The bucket is there, and the key that is named is the senators' own: it opens nothing of it.
    let mut thief = collective_spec();
    thief["storage"]["endpoint"] = json!(format!("http://cooperator-garage.{SYSTEM}.svc:3900"));
    thief["storage"]["bucket"] = json!("presidents.presidents");
    for (found, expected) in [
        (waits_for::<BaseModel>(&cluster, "reaching", model).await, "CollectiveNotFound"),
        // It takes all Contributions there are: none of them is the presidents'.
        (waits_for::<Dataset>(&cluster, "reaching", data).await, "NoContributions"),
        (waits_for::<FineTune>(&cluster, "reaching", tune).await, "DatasetNotFound"),
        (waits_for::<Deployment>(&cluster, "reaching", served).await, "FineTuneNotFound"),
        (waits_for::<Collective>(&cluster, "reaching", thief).await, "StorageForbidden"),
    ] {
        eprintln!("{found}");
        assert_eq!(found, expected);
    }
}
