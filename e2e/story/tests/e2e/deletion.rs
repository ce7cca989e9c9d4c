//! Deletion of every kind, in every phase that leaves something behind: it ends, nothing keeps running, and data stays
//! or goes as the spec says.

use std::time::{Duration, Instant};

use cooperator_api::fine_tune::FineTune;
use cooperator_cli::access::Access;
use cooperator_cli::kind::Kind;
use cooperator_contract::layout;
use cooperator_core::digest::Digest;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod, Secret, Service};
use kube::api::{DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde_json::{Value, json};

use crate::cluster::{apply, connect, made_for, object_in, told, welcome};
use crate::tiny::Tiny;

/// Longest wait until nothing is left.
const PATIENCE: Duration = Duration::from_secs(120);
/// More steps than any test waits for.
const ENDLESS: u64 = 1_000_000;

/// A namespace that lets the operator in, with a Collective of the same name that is Ready, and what to train there.
pub async fn collective(cluster: &Cluster, name: &str) -> Tiny {
    welcome(cluster, name).await;
    let spec = json!({
        "members": [{"name": "ada"}],
        "policy": {"baseModelLicenses": ["Apache-2.0"], "contributionLicenses": ["CC0-1.0"]},
        // An hour costs something, so that every training has a finalizer until its cost is written down.
        "treasury": {"currency": "USD", "settlementPeriod": "Monthly", "pricePerNodeHour": "0.50",
            "split": [{"name": "works", "basisPoints": 10000, "by": "Contribution"}]},
    });
    apply(cluster, object_in(name, "Collective", name, spec)).await;
    let access = Access { client: cluster.client.clone(), namespace: name.into() };
    let began = Instant::now();
    while cooperator_cli::items::fetch(&access).await.unwrap().iter().all(|item| !item.is_ready()) {
        assert!(began.elapsed() < PATIENCE, "Collective {name} is not Ready");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Tiny::make(cluster, name, "ada").await
}

/// Waits until no object of a kind has these labels.
async fn none<K>(tiny: &Tiny, labels: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let began = Instant::now();
    loop {
        let left = tiny.access.api::<K>().list(&ListParams::default().labels(labels)).await.unwrap().items;
        if left.is_empty() {
            return;
        }
        let names: Vec<String> = left.iter().map(|object| object.name_any()).collect();
        assert!(began.elapsed() < PATIENCE, "{} {names:?} of {labels} are left", K::kind(&()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until nothing runs that was made for the object.
async fn nothing_runs(tiny: &Tiny, kind: Kind, name: &str) {
    let labels = made_for(kind, name);
    none::<Job>(tiny, &labels).await;
    none::<Pod>(tiny, &labels).await;
    none::<Secret>(tiny, &labels).await;
}

/// Deletes the object, sees that it goes and that nothing of it runs on, and says how long that took.
async fn leaves(tiny: &Tiny, kind: Kind, name: &str, phase: &str) {
    let took = tiny.delete(kind, name).await;
    nothing_runs(tiny, kind, name).await;
    eprintln!("{kind} {name}, {phase}: gone after {:.1} s", took.as_secs_f64());
}

async fn adapter(tiny: &Tiny, name: &str) -> Digest {
    tiny.reason(Kind::FineTune, name, "Trained").await;
    let tune: FineTune = tiny.access.get(name).await.unwrap();
    tune.status.unwrap().adapter.unwrap().digest.parse().unwrap()
}

async fn has_adapter(tiny: &Tiny, digest: &Digest) -> bool {
    !tiny.bucket.store.list(&layout::adapter(digest, "")).await.unwrap().is_empty()
}

/// Reasons of the events about an object, by its name.
async fn events(tiny: &Tiny, name: &str) -> Vec<String> {
    let events = tiny.access.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    let about = events.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(name));
    about.filter_map(|event| event.reason).collect()
}

fn server(tune: &str) -> Value {
    json!({
        "fineTuneRef": {"name": tune}, "modelName": "tiny",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "price": {"inputTokensPerMillion": "1", "outputTokensPerMillion": "1"},
    })
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn every_kind_goes_in_every_phase_with_its_pods_and_with_its_data_if_the_spec_says_so() {
    told().await;
    let tiny = collective(&connect().await, "leaving").await;
    // Asked to go before anything could begin, and in the middle of an import and an ingest.
    for phase in 0..3 {
        let name = format!("early-{phase}");
        tiny.apply("BaseModel", &name, tiny.model()).await;
        tokio::time::sleep(Duration::from_millis(400 * phase)).await;
        leaves(&tiny, Kind::BaseModel, &name, "being imported").await;
    }
    tiny.reason(Kind::BaseModel, "tiny", "Imported").await;
    for phase in 0..3 {
        let name = format!("early-{phase}");
        tiny.apply("Dataset", &name, tiny.dataset()).await;
        tokio::time::sleep(Duration::from_millis(400 * phase)).await;
        leaves(&tiny, Kind::Dataset, &name, "being built").await;
    }
    fine_tunes(&tiny).await;
    served(&tiny).await;
    leaves(&tiny, Kind::Contribution, "tiny-texts", "accepted").await;
    leaves(&tiny, Kind::Dataset, "tiny", "built").await;
    leaves(&tiny, Kind::BaseModel, "tiny", "imported").await;
    let keys = tiny.bucket.store.list("").await.unwrap().len();
    leaves(&tiny, Kind::Collective, "leaving", "with its gateway").await;
    none::<Pod>(&tiny, "app.kubernetes.io/component=gateway").await;
    assert!(keys > 0, "what was imported and built is there");
    assert_eq!(
        tiny.bucket.store.list("").await.unwrap().len(),
        keys,
        "the bucket with everyone's works stays"
    );
    remove_namespace(&tiny).await;
}

/// Waiting, training, trained and retained, trained and not retained.
async fn fine_tunes(tiny: &Tiny) {
    let mut waiting = tiny.fine_tune(10, 1);
    waiting["datasetRef"] = json!({"name": "nowhere"});
    tiny.apply("FineTune", "waits", waiting).await;
    tiny.reason(Kind::FineTune, "waits", "DatasetNotFound").await;
    leaves(tiny, Kind::FineTune, "waits", "waiting for a Dataset").await;

    tiny.apply("FineTune", "trains", tiny.fine_tune(ENDLESS, 1)).await;
    tiny.until(Kind::FineTune, "trains", |item| {
        item.progress.as_ref().is_some_and(|progress| progress.phase == "training")
    })
    .await;
    let uid = tiny.access.get::<FineTune>("trains").await.unwrap().uid().unwrap();
    leaves(tiny, Kind::FineTune, "trains", "training").await;
    assert_eq!(
        tiny.bucket.store.list(&layout::checkpoints(&uid)).await.unwrap().len(),
        0,
        "checkpoints are left"
    );

    let mut retained = tiny.fine_tune(20, 2);
    retained["deletionPolicy"] = json!("Retain");
    tiny.apply("FineTune", "retained", retained).await;
    tiny.apply("FineTune", "removed", tiny.fine_tune(20, 3)).await;
    let (kept, gone) = (adapter(tiny, "retained").await, adapter(tiny, "removed").await);
    leaves(tiny, Kind::FineTune, "retained", "trained, Retain").await;
    leaves(tiny, Kind::FineTune, "removed", "trained, Delete").await;
    assert!(has_adapter(tiny, &kept).await && !has_adapter(tiny, &gone).await);
    let (kept, gone) = (events(tiny, "retained").await, events(tiny, "removed").await);
    assert!(kept.contains(&"DataKept".to_owned()), "{kept:?}");
    assert!(gone.contains(&"DataDeleted".to_owned()), "{gone:?}");
}

/// A Deployment that serves and one that does not yet, and a key.
async fn served(tiny: &Tiny) {
    tiny.apply("FineTune", "served", tiny.fine_tune(20, 4)).await;
    tiny.apply("Deployment", "early", server("nowhere")).await;
    leaves(tiny, Kind::Deployment, "early", "without an adapter").await;
    tiny.apply("Deployment", "tiny", server("served")).await;
    let key = json!({"collectiveRef": {"name": "leaving"}, "consumer": "radio", "deployments": ["tiny"],
        "secretRef": {"name": "radio-key"}});
    tiny.apply("ApiKey", "radio", key).await;
    tiny.until(Kind::ApiKey, "radio", cooperator_cli::items::Item::is_ready).await;
    tiny.until(Kind::Deployment, "tiny", cooperator_cli::items::Item::is_ready).await;
    leaves(tiny, Kind::Deployment, "tiny", "serving").await;
    none::<Service>(tiny, &made_for(Kind::Deployment, "tiny")).await;
    leaves(tiny, Kind::ApiKey, "radio", "in use").await;
    leaves(tiny, Kind::FineTune, "served", "served before").await;
}

async fn remove_namespace(tiny: &Tiny) {
    let namespaces: Api<Namespace> = Api::all(tiny.access.client.clone());
    let began = Instant::now();
    let name = tiny.access.namespace.as_str();
    namespaces.delete(name, &DeleteParams::background()).await.unwrap();
    while let Some(left) = namespaces.get_opt(name).await.unwrap() {
        assert!(began.elapsed() < PATIENCE, "namespace {name} stays: {:?}", left.status);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    eprintln!("namespace {name}: gone after {:.1} s", began.elapsed().as_secs_f64());
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_namespace_goes_with_a_training_and_a_server_in_it() {
    told().await;
    let tiny = collective(&connect().await, "leaving-whole").await;
    tiny.apply("FineTune", "served", tiny.fine_tune(20, 1)).await;
    tiny.apply("Deployment", "tiny", server("served")).await;
    tiny.until(Kind::Deployment, "tiny", cooperator_cli::items::Item::is_ready).await;
    tiny.apply("FineTune", "trains", tiny.fine_tune(ENDLESS, 2)).await;
    tiny.until(Kind::FineTune, "trains", |item| {
        item.progress.as_ref().is_some_and(|progress| progress.phase == "training")
    })
    .await;
    remove_namespace(&tiny).await;
}
