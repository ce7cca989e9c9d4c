//! What goes wrong around a run: an image that is not there, memory that runs out, a trainer that hangs, an object store
//! and a kubelet that die. Each has a reason, and what can go on goes on.

use std::path::PathBuf;
use std::time::Duration;

use cooperator_api::fine_tune::FineTune;
use cooperator_cli::kind::Kind;
use cooperator_cluster::command::{command, output};
use cooperator_cluster::{Cluster as Local, paths};
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::cluster::{SYSTEM, burn, connect, eventually, made_for, told};
use crate::tiny::Tiny;
use crate::training::{digest, has_checkpoint, started, train};

/// The operator's argument that names the trainer's image.
const IMAGE: &str = "--trainer-image=";
/// A tag that no registry has.
const NOWHERE: &str = "localhost/cooperator/trainer:never-built";

async fn tiny() -> (Cluster, Tiny) {
    told().await;
    let cluster = connect().await;
    let tiny = Tiny::make(&cluster, PRESIDENTS, "washington").await;
    tiny.reason(Kind::Dataset, "tiny", "Built").await;
    (cluster, tiny)
}

/// Has the operator make runs of this image, as an upgrade of the chart does; returns the one before.
async fn set_image(cluster: &Cluster, image: &str) -> String {
    let operators: Api<Deployment> = Api::namespaced(cluster.client.clone(), SYSTEM);
    let operator = operators.get("cooperator-operator").await.unwrap();
    let mut args = operator.spec.unwrap().template.spec.unwrap().containers.remove(0).args.unwrap();
    let arg = args.iter_mut().find(|arg| arg.starts_with(IMAGE)).unwrap();
    let before = std::mem::replace(arg, format!("{IMAGE}{image}"));
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "operator", "args": args}]}}}});
    operators.patch("cooperator-operator", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    eventually("the operator is rolled out", async || {
        let operator = operators.get("cooperator-operator").await.unwrap();
        let (wanted, status) = (operator.spec.unwrap().replicas, operator.status.unwrap());
        status.observed_generation == operator.metadata.generation
            && (status.updated_replicas, status.replicas, status.available_replicas)
                == (wanted, wanted, wanted)
    })
    .await;
    before.trim_start_matches(IMAGE).to_owned()
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_run_whose_image_cannot_be_pulled_says_so_and_goes_on_once_the_chart_is_corrected() {
    let (cluster, tiny) = tiny().await;
    let right = set_image(&cluster, NOWHERE).await;
    tiny.apply("FineTune", "no-image", tiny.fine_tune(20, 5)).await;
    let held = tiny.reason(Kind::FineTune, "no-image", "ImagePullFailed").await;
    let message = &held.main().unwrap().message;
    eprintln!("{message}");
    assert!(message.contains(NOWHERE) && message.contains("correct it in the chart's values"), "{message}");
    assert_eq!(set_image(&cluster, &right).await, NOWHERE);
    tiny.reason(Kind::FineTune, "no-image", "Trained").await;
    let attempts = tiny.access.get::<FineTune>("no-image").await.unwrap().status.unwrap().attempts;
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    tiny.delete(Kind::FineTune, "no-image").await;
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_that_outgrows_its_memory_limit_is_given_up_with_the_limit_named_until_its_spec_changes() {
    let (_, tiny) = tiny().await;
    let mut hungry = tiny.fine_tune(20, 6);
    hungry["compute"]["resources"] = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "24Mi"}});
    hungry["training"]["batchSize"] = json!(256);
    tiny.apply("FineTune", "hungry", hungry.clone()).await;
    let killed = tiny.reason(Kind::FineTune, "hungry", "OutOfMemory").await;
    let message = &killed.main().unwrap().message;
    eprintln!("{message}");
    assert!(message.contains("raise the memory limit"), "{message}");
    hungry["compute"]["resources"]["limits"]["memory"] = json!("1Gi");
    tiny.apply("FineTune", "hungry", hungry).await;
    tiny.reason(Kind::FineTune, "hungry", "Trained").await;
    tiny.delete(Kind::FineTune, "hungry").await;
}

/// Sends a signal to the trainer of a FineTune, wherever on this machine it runs.
async fn signal(tiny: &Tiny, name: &str, signal: &str) {
    let labels = ListParams::default().labels(&made_for(Kind::FineTune, name));
    let pods = tiny.access.api::<Pod>().list(&labels).await.unwrap().items;
    let uids: Vec<String> = pods.iter().filter_map(|pod| pod.uid()).collect();
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let read =
        |process: &PathBuf, name: &str| std::fs::read_to_string(process.join(name)).unwrap_or_default();
    let ours = |process: &PathBuf| {
        let cgroup = read(process, "cgroup");
        uids.iter().any(|uid| cgroup.contains(uid)) && read(process, "comm").starts_with("cooperator-trai")
    };
    let trainer = processes.filter(|process| ours(process)).collect::<Vec<_>>();
    assert_eq!(trainer.len(), 1, "{trainer:?}");
    let pid = trainer[0].file_name().unwrap().to_str().unwrap();
    output("kill", &mut command("kill", [&format!("-{signal}"), pid])).unwrap();
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_trainer_that_hangs_is_stopped_and_its_next_attempt_goes_on_to_the_same_adapter() {
    let (_, tiny) = tiny().await;
    let whole = train(&tiny, "unhung", 1200, 8, &[]).await;
    let mut hung = tiny.fine_tune(1200, 8);
    hung["progressDeadlineSeconds"] = json!(60);
    tiny.apply("FineTune", "hung", hung).await;
    let uid = tiny.access.get::<FineTune>("hung").await.unwrap().uid().unwrap();
    started(&tiny, "hung", &uid, 1, 200).await;
    signal(&tiny, "hung", "STOP").await;
    tiny.reason(Kind::FineTune, "hung", "Stalled").await;
    // A pod that hangs hears no SIGTERM either; what it does with one is another test's matter.
    signal(&tiny, "hung", "CONT").await;
    tiny.reason(Kind::FineTune, "hung", "Trained").await;
    let hung: FineTune = tiny.access.get("hung").await.unwrap();
    assert_eq!(digest(&hung), digest(&whole));
    let attempts = hung.status.unwrap().attempts;
    assert_eq!(attempts[0].reason.as_deref(), Some("Stalled"), "{attempts:?}");
    assert_eq!(attempts.len(), 2, "{attempts:?}");
}

#[tokio::test]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn a_training_outlives_the_object_store_and_the_kubelet_to_the_same_adapter() {
    let (cluster, tiny) = tiny().await;
    let whole = train(&tiny, "unharmed", 2400, 9, &[]).await;
    tiny.apply("FineTune", "harmed", tiny.fine_tune(2400, 9)).await;
    let uid = tiny.access.get::<FineTune>("harmed").await.unwrap().uid().unwrap();
    started(&tiny, "harmed", &uid, 1, 300).await;
    kill_store(&cluster).await;
    eventually("a checkpoint is written to the store that came back", async || {
        has_checkpoint(&tiny, &uid, 1, 900).await
    })
    .await;
    let local = Local::open(&paths::cluster_state()).unwrap();
    assert!(local.kill_kubelet());
    // Pods do not need it to run; the operator hears of their progress, and of their end once it is back.
    tokio::time::sleep(Duration::from_secs(5)).await;
    local.start_kubelet().unwrap();
    tiny.reason(Kind::FineTune, "harmed", "Trained").await;
    let harmed: FineTune = tiny.access.get("harmed").await.unwrap();
    eprintln!("{} against {}", digest(&whole), digest(&harmed));
    assert_eq!(digest(&harmed), digest(&whole));
}

/// Garage is gone, and comes back with its volumes.
async fn kill_store(cluster: &Cluster) {
    let labels = "app.kubernetes.io/component=garage";
    burn(&Api::namespaced(cluster.client.clone(), SYSTEM), labels).await;
    let garage = ListParams::default().labels(labels);
    let sets: Api<StatefulSet> = Api::namespaced(cluster.client.clone(), SYSTEM);
    eventually("Garage is back", async || {
        let sets = sets.list(&garage).await.unwrap().items;
        sets.iter().all(|set| set.status.as_ref().unwrap().ready_replicas == Some(1))
    })
    .await;
}
