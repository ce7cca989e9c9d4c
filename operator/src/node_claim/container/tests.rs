use cooperator_api::node_claim::NodeClaim;
use cooperator_contract::outcome::{FailureReason, Outcome};
use cooperator_contract::run;
use cooperator_core::time::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::node::{is_marked, is_told, wanted};
use super::payload::{Access, Refusal, payload};
use super::pod::{Standing, ended, status};
use crate::rent::Kubelet;

const ACCESS: Access<'static> = Access { job: "v1-1", token: "secret", run_file: "https://operator/file" };
const KUBELET: Kubelet =
    Kubelet { address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7)), port: 10250 };

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// The pod of an attempt, as `runs` makes it for a machine that is not trusted.
fn run_pod() -> Value {
    json!({
        "metadata": { "name": "v1-1-x", "namespace": "presidents" },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "train", "image": "trainer:1",
                "command": ["cooperator-trainer", "train", "--run-file", run::PATH],
                "env": [
                    { "name": "COOPERATOR_RUN_TOKEN",
                      "valueFrom": { "secretKeyRef": { "name": "v1-1", "key": "token" } } },
                    { "name": "A", "value": "literal" },
                ],
                "volumeMounts": [{ "name": "run", "mountPath": "/run/cooperator" }],
            }],
            "volumes": [
                { "name": "run", "configMap": { "name": "v1-1" } }, { "name": "tmp", "emptyDir": {} } ],
        },
    })
}

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

/// Why the pod is refused once `change` was made to its spec.
fn refused(change: impl FnOnce(&mut Value)) -> Refusal {
    let mut value = run_pod();
    change(&mut value["spec"]);
    payload(&pod(value), &ACCESS).err().unwrap()
}

#[test]
fn of_a_pod_its_image_arguments_literals_and_run_token_are_sent() {
    let container = payload(&pod(run_pod()), &ACCESS).unwrap();
    assert_eq!(container.image, "trainer:1");
    assert_eq!(container.arguments, ["cooperator-trainer", "train", "--run-file", "https://operator/file"]);
    let literal = ("A".to_owned(), "literal".to_owned());
    assert_eq!(container.environment, [literal, ("COOPERATOR_RUN_TOKEN".to_owned(), "secret".to_owned())]);
}

#[test]
fn nothing_of_the_cluster_is_ever_sent() {
    let volumes = [
        json!({ "name": "x", "secret": { "secretName": "v1-1" } }),
        json!({ "name": "x", "configMap": { "name": "another" } }),
        json!({ "name": "x", "projected": { "sources": [{ "serviceAccountToken": { "path": "token" } }] } }),
        json!({ "name": "x", "persistentVolumeClaim": { "claimName": "works" } }),
        json!({ "name": "x", "hostPath": { "path": "/" } }),
        json!({ "name": "x" }),
    ];
    for volume in volumes {
        let refusal = refused(|spec| spec["volumes"] = json!([volume]));
        assert_eq!(refusal, Refusal::Volume("x".into()), "{volume}");
    }
    let sources = [
        json!({ "secretKeyRef": { "name": "presidents-storage", "key": "token" } }),
        json!({ "secretKeyRef": { "name": "v1-1", "key": "another" } }),
        json!({ "configMapKeyRef": { "name": "v1-1", "key": "run.json" } }),
        json!({ "fieldRef": { "fieldPath": "status.hostIP" } }),
    ];
    for source in sources {
        let refusal =
            refused(|spec| spec["containers"][0]["env"][1] = json!({ "name": "A", "valueFrom": source }));
        assert_eq!(refusal, Refusal::Variable("A".into()), "{source}");
    }
    let renamed = refused(|spec| spec["containers"][0]["env"][0]["name"] = json!("B"));
    assert_eq!(renamed, Refusal::Variable("B".into()), "the token has one name");
    let all = refused(|spec| spec["containers"][0]["envFrom"] = json!([{ "secretRef": { "name": "v1-1" } }]));
    assert_eq!(all, Refusal::Variable("envFrom".into()));
    assert_eq!(refused(|spec| spec["automountServiceAccountToken"] = json!(true)), Refusal::ServiceAccount);
    assert_eq!(refused(|spec| spec["automountServiceAccountToken"] = Value::Null), Refusal::ServiceAccount);
}

#[test]
fn what_is_no_run_of_one_container_is_refused() {
    let one = json!({ "name": "x", "image": "x" });
    assert_eq!(refused(|spec| spec["initContainers"] = json!([one])), Refusal::Containers(2));
    assert_eq!(refused(|spec| spec["containers"] = json!([one, one])), Refusal::Containers(2));
    assert_eq!(refused(|spec| spec["hostNetwork"] = json!(true)), Refusal::HostNamespaces);
    assert_eq!(refused(|spec| spec["containers"][0]["image"] = Value::Null), Refusal::NoImage);
    assert_eq!(refused(|spec| spec["containers"][0]["command"] = json!(["sleep"])), Refusal::NoRunFile);
    assert_eq!(refused(|spec| spec["containers"][0]["env"] = json!([])), Refusal::NoToken);
}

fn claim() -> NodeClaim {
    serde_json::from_value(json!({
        "apiVersion": "cooperator.dev/v1alpha1", "kind": "NodeClaim",
        "metadata": { "name": "v1-m1", "namespace": "presidents", "uid": "uid-1" },
        "spec": { "nodePoolRef": { "name": "cheap" }, "diskGi": 40 },
        "status": {
            "nodeName": "v1-m1-0a1b-1",
            "offer": {
                "id": "a", "region": "US, Texas", "shape": "Container", "capacityType": "OnDemand",
                "cpuMillis": 8000, "memoryMib": 32768, "diskGib": 100, "pricePerHour": "0.4",
                "gpus": { "model": "rtx-4090", "count": 2, "memoryMib": 24576 },
            },
        },
    }))
    .unwrap()
}

#[test]
fn a_virtual_node_has_what_was_offered_and_keeps_others_pods_away() {
    let wanted = wanted(&claim(), &KUBELET, None, now()).unwrap();
    let labels = &wanted.object["metadata"]["labels"];
    assert_eq!(labels["node-restriction.kubernetes.io/cooperator-node-claim"], "uid-1");
    assert!(labels["topology.kubernetes.io/region"].is_null(), "a vendor's words are not always a label");
    let taint = json!({ "key": "cooperator.dev/rented", "value": "v1-m1", "effect": "NoSchedule" });
    assert_eq!(wanted.object["spec"]["taints"], json!([taint]));
    let status = &wanted.status["status"];
    let allocatable = json!({
        "cpu": "8000m", "memory": "32768Mi", "ephemeral-storage": "100Gi", "pods": "16", "nvidia.com/gpu": "2" });
    assert_eq!(status["allocatable"], allocatable);
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    assert_eq!(status["conditions"][0]["status"], "True");
}

#[test]
fn a_node_is_written_again_only_when_something_of_it_is_not_so() {
    let first = wanted(&claim(), &KUBELET, None, now()).unwrap();
    let mut live = first.object.clone();
    live["status"] = first.status["status"].clone();
    // As the API server writes them.
    live["status"]["capacity"] = json!({
        "cpu": "8", "memory": "32Gi", "ephemeral-storage": "100Gi", "pods": "16", "nvidia.com/gpu": "2" });
    let node: Node = serde_json::from_value(live).unwrap();
    let later = wanted(&claim(), &KUBELET, None, "2026-11-24T13:00:00Z".parse().unwrap()).unwrap();
    assert!(is_marked(&node, &later) && is_told(&node, &later));
    let lost = wanted(&claim(), &KUBELET, Some("Vanished"), now()).unwrap();
    assert!(is_marked(&node, &lost) && !is_told(&node, &lost));
    let moved = Kubelet { port: 10251, ..KUBELET };
    assert!(!is_told(&node, &wanted(&claim(), &moved, None, now()).unwrap()), "another operator leads");
    let mut bare = node;
    bare.spec.as_mut().unwrap().taints = None;
    assert!(!is_marked(&bare, &later));
}

fn after(pod: &Pod, status: Value) -> Pod {
    let mut value = serde_json::to_value(pod).unwrap();
    value["status"] = status;
    self::pod(value)
}

#[test]
fn a_pods_status_goes_from_creating_over_running_to_its_outcome_and_never_back() {
    let creating = Standing::Starting("it is rented".into());
    let first = status(&pod(run_pod()), &creating, now()).unwrap();
    assert_eq!(first["phase"], "Pending");
    assert_eq!(first["containerStatuses"][0]["state"]["waiting"]["reason"], "ContainerCreating");
    let pending = after(&pod(run_pod()), first);
    assert_eq!(status(&pending, &creating, now()), None, "what is said is not said again");
    let running = status(&pending, &Standing::Running(now()), now()).unwrap();
    assert_eq!(
        (&running["phase"], &running["containerStatuses"][0]["ready"]),
        (&json!("Running"), &json!(true))
    );
    let running = after(&pending, running);
    let outcome = Outcome::Failed { reason: FailureReason::Interrupted, message: "at step 7".into() };
    let end = ended(&running, &outcome, "2026-11-24T13:00:00Z".parse().unwrap()).unwrap();
    let terminated = &end["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["phase"], &terminated["exitCode"]), (&json!("Failed"), &json!(1)));
    assert_eq!(terminated["startedAt"], "2026-11-24T12:00:00Z");
    assert_eq!(terminated["finishedAt"], "2026-11-24T13:00:00Z");
    assert_eq!(terminated["message"], outcome.to_termination_message());
    let over = after(&running, end);
    assert_eq!(status(&over, &Standing::Lost("Stopped".into()), now()), None);
    assert_eq!(ended(&over, &outcome, now()), None);
}

#[test]
fn a_pod_whose_host_is_gone_failed_as_on_a_node_that_is_lost() {
    let lost = status(&pod(run_pod()), &Standing::Lost("Vanished: x".into()), now()).unwrap();
    assert_eq!((&lost["phase"], &lost["reason"]), (&json!("Failed"), &json!("NodeLost")));
    let terminated = &lost["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(terminated["reason"], "ContainerStatusUnknown");
}
