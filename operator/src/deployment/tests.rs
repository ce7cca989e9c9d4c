use cooperator_api::collective::Collective;
use cooperator_api::deployment::Deployment;
use cooperator_core::digest::Digest;
use k8s_openapi::api::apps::v1;
use serde_json::{Value, json};

use super::reconcile::reconcile;
use crate::settle;
use crate::testing::{Cluster, HOME, condition};

fn fine_tune(adapter: Option<&Digest>) -> Value {
    json!({
        "metadata": { "name": "tune" },
        "spec": { "baseModelRef": { "name": "smollm" }, "datasetRef": { "name": "addresses" } },
        "status": {
            "conditions": [condition("Ready", if adapter.is_some() { "True" } else { "False" })],
            "baseModelDigest": Digest::of(b"base").to_string(),
            "adapter": adapter.map(|digest| json!({ "digest": digest.to_string(), "storageUri": "s3://b/", "bytes": 1 })),
        },
    })
}

async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    cluster.coop("basemodels", json!({
        "metadata": { "name": "smollm" },
        "spec": { "collectiveRef": { "name": HOME }, "license": "Apache-2.0", "source": { "storageUri": "s3://b/m.gguf" } },
    }));
    cluster.coop("finetunes", fine_tune(Some(&Digest::of(b"adapter"))));
    cluster.edit("collectives", HOME, |collective: &mut Collective| {
        let status = collective.status.as_mut().unwrap();
        status.gateway_url = Some("http://presidents-gateway.presidents.svc:8080".into());
        status.conditions.push(serde_json::from_value(condition("GatewayReady", "True")).unwrap());
    });
    deploy(&cluster, "chat", json!({}));
    cluster
}

fn deploy(cluster: &Cluster, name: &str, mut more: Value) {
    more["fineTuneRef"] = json!({ "name": "tune" });
    cluster.coop("deployments", json!({ "metadata": { "name": name }, "spec": more }));
}

/// The pods are of the newest revision and answer.
fn rolled_out(cluster: &Cluster) {
    let mut pods: Value = cluster.find("apps/v1", "deployments", "chat-server").unwrap();
    let generation = pods["metadata"]["generation"].clone();
    pods["status"] = json!({ "observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1 });
    cluster.put("apps/v1", "deployments", pods);
}

fn reason(cluster: &Cluster, name: &str, type_: &str) -> (String, String) {
    let status = cluster.read::<Deployment>("deployments", name).status.unwrap();
    let found = status.conditions.iter().find(|found| found.type_ == type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

#[tokio::test]
async fn it_is_ready_when_every_pod_answers_and_the_gateway_routes_and_then_silent() {
    let cluster = cluster().await;
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    assert_eq!(reason(&cluster, "chat", "Ready"), ("False".into(), "Starting".into()));
    assert_eq!(cluster.read::<Deployment>("deployments", "chat").status.unwrap().adapter_digest, None);
    rolled_out(&cluster);
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    assert_eq!(reason(&cluster, "chat", "Ready"), ("True".into(), "Serving".into()));
    let status = cluster.read::<Deployment>("deployments", "chat").status.unwrap();
    assert_eq!(status.adapter_digest, Some(Digest::of(b"adapter").to_string()));
    assert_eq!(status.upstream.as_deref(), Some("http://chat-server.presidents.svc:8000"));
    assert_eq!(status.url.as_deref(), Some("http://presidents-gateway.presidents.svc:8080/v1"));
}

#[tokio::test]
async fn a_pod_that_does_not_run_says_why_in_status() {
    let cluster = cluster().await;
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    let pods: Value = cluster.find("apps/v1", "deployments", "chat-server").unwrap();
    for (state, last, reason_told, way_out) in [
        (
            json!({ "reason": "ImagePullBackOff", "message": "no such host" }),
            json!({}),
            "ImagePullFailed",
            "chart's values",
        ),
        (
            json!({ "reason": "CrashLoopBackOff" }),
            json!({ "reason": "OOMKilled", "exitCode": 137 }),
            "CrashLoopBackOff",
            "spec.resources.limits.memory",
        ),
    ] {
        let mut pod =
            json!({ "metadata": { "name": "chat-server-x" }, "spec": pods["spec"]["template"]["spec"] });
        pod["metadata"]["labels"] = pods["spec"]["template"]["metadata"]["labels"].clone();
        let mut container =
            json!({ "name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 0 });
        container["state"] = json!({ "waiting": state });
        if last != json!({}) {
            container["lastState"] = json!({ "terminated": last });
        }
        pod["status"] = json!({ "phase": "Pending", "containerStatuses": [container] });
        cluster.put("v1", "pods", pod);
        settle!(cluster, Deployment, "deployments", "chat", reconcile);
        assert_eq!(reason(&cluster, "chat", "Ready"), ("False".into(), reason_told.into()));
        let status = cluster.read::<Deployment>("deployments", "chat").status.unwrap();
        assert!(status.conditions[0].message.contains(way_out), "{}", status.conditions[0].message);
    }
    rolled_out(&cluster);
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    assert_eq!(reason(&cluster, "chat", "ServerReady").0, "True");
}

#[tokio::test]
async fn it_waits_for_its_fine_tune_and_makes_no_pod() {
    let cluster = cluster().await;
    cluster.coop("finetunes", fine_tune(None));
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    assert_eq!(reason(&cluster, "chat", "Ready"), ("False".into(), "FineTuneNotReady".into()));
    assert!(cluster.names("apps/v1", "deployments").is_empty());
}

#[tokio::test]
async fn a_new_adapter_is_said_to_be_served_only_when_all_pods_serve_it() {
    let cluster = cluster().await;
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    rolled_out(&cluster);
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    cluster.coop("finetunes", fine_tune(Some(&Digest::of(b"next"))));
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    let served =
        |cluster: &Cluster| cluster.read::<Deployment>("deployments", "chat").status.unwrap().adapter_digest;
    assert_eq!(served(&cluster), Some(Digest::of(b"adapter").to_string()));
    assert_eq!(reason(&cluster, "chat", "ServerReady"), ("False".into(), "Starting".into()));
    rolled_out(&cluster);
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    assert_eq!(served(&cluster), Some(Digest::of(b"next").to_string()));
}

#[tokio::test]
async fn while_its_fine_tune_is_gone_the_pods_go_on_serving() {
    let cluster = cluster().await;
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    cluster.remove("cooperator.dev/v1alpha1", "finetunes", "tune");
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    assert_eq!(reason(&cluster, "chat", "Ready"), ("False".into(), "FineTuneNotFound".into()));
    assert!(cluster.find::<v1::Deployment>("apps/v1", "deployments", "chat-server").is_some());
}

#[tokio::test]
async fn a_model_name_belongs_to_the_older_deployment() {
    let cluster = cluster().await;
    deploy(&cluster, "second", json!({ "modelName": "chat" }));
    settle!(cluster, Deployment, "deployments", "second", reconcile);
    assert_eq!(reason(&cluster, "second", "Ready"), ("False".into(), "ModelNameTaken".into()));
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    assert_eq!(reason(&cluster, "chat", "Ready").1, "Starting");
}

#[tokio::test]
async fn its_pods_pass_pod_security_restricted_and_hold_no_token() {
    let cluster = cluster().await;
    settle!(cluster, Deployment, "deployments", "chat", reconcile);
    let pods: Value = cluster.find("apps/v1", "deployments", "chat-server").unwrap();
    let pod = &pods["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], json!(false));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], json!(true));
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], json!("RuntimeDefault"));
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["readOnlyRootFilesystem"], json!(true));
    assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
}
