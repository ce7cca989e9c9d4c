//! A second collective beside the presidents', in a namespace of its own: neither may reach what is the other's.

use cooperator_api::api_key::{ApiKey, SECRET_FIELD};
use cooperator_api::collective::Collective;
use cooperator_cli::secret;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::core::v1::Secret;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cluster::{apply, connect, eventually, object_in, welcome};

/// Namespace and name of the second Collective.
pub const SENATORS: &str = "senators";

static FOUNDED: OnceCell<()> = OnceCell::const_new();

/// The Collective is Ready and has an ApiKey `clerk`; the first test that asks founds it.
pub async fn founded() {
    FOUNDED.get_or_init(|| async { found(&connect().await).await }).await;
}

async fn found(cluster: &Cluster) {
    welcome(cluster, SENATORS).await;
    apply(cluster, collective(SENATORS, 1)).await;
    apply(
        cluster,
        object_in(SENATORS, "ApiKey", "clerk", json!({
            "collectiveRef": {"name": SENATORS}, "consumer": "a-clerk", "secretRef": {"name": "clerk-key"},
        })),
    )
    .await;
    until::<Collective>(cluster, SENATORS, is_ready).await;
    until::<Secret>(cluster, "clerk-key", |_| true).await;
    until::<ApiKey>(cluster, "clerk", is_ready).await;
}

/// A Collective in the senators' namespace whose gateway has this many pods.
pub fn collective(name: &str, replicas: u32) -> Value {
    object_in(
        SENATORS,
        "Collective",
        name,
        json!({
            "members": [{"name": "clay"}, {"name": "webster"}],
            "policy": {
                "baseModelLicenses": ["Apache-2.0"], "contributionLicenses": ["CC0-1.0"],
                "requiredGrants": ["GenerativeTraining"],
            },
            "treasury": {
                "currency": "USD", "settlementPeriod": "Monthly",
                "split": [{"name": "dues", "basisPoints": 10_000, "by": "Membership"}],
            },
            "gateway": {"replicas": replicas},
        }),
    )
}

/// Waits until an object of the senators' namespace is there and as wanted, and returns it.
pub async fn until<K>(cluster: &Cluster, name: &str, is_wanted: impl Fn(&Value) -> bool) -> Value
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let api: Api<K> = Api::namespaced(cluster.client.clone(), SENATORS);
    let mut found = Value::Null;
    eventually(&format!("{} {name} as wanted", K::kind(&())), async || {
        found = serde_json::to_value(api.get_opt(name).await.unwrap()).unwrap();
        !found.is_null() && is_wanted(&found)
    })
    .await;
    found
}

fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|found| found["status"] == "True")
}

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|found| found["type"] == type_)
}

/// The key that opens the senators' gateway.
pub async fn key(cluster: &Cluster) -> String {
    secret::read(&cluster.client, SENATORS, "clerk-key").await.unwrap().text(SECRET_FIELD).unwrap()
}
