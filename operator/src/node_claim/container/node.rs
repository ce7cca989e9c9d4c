//! Pure: the virtual node of a claim, and the Lease that says its operator lives.

use std::collections::BTreeMap;

use cooperator_api::names;
use cooperator_api::node_claim::{ClaimedOffer, NodeClaim};
use cooperator_core::time::{Timestamp, whole_second};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::domain::millis;
use crate::node_claim::needs::GPU;
use crate::node_claim::node::rented;
use crate::rent::Kubelet;

/// Reason of a node that takes its pod.
pub const READY: &str = "ContainerOffered";
/// Reason of a node whose host is gone.
const LOST: &str = "HostLost";
/// Namespace of every node's Lease.
pub const LEASES: &str = "kube-node-lease";
/// Seconds after which a Lease that is not renewed has run out: as kubelets have it.
const LEASE_SECONDS: i32 = 40;
/// Pods that a node takes: one is ours, and what a cluster puts on every node never runs there.
const PODS: &str = "16";

/// What a node is to be: what is applied to it, and to its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Labels and taints.
    pub object: Value,
    /// Resources, address, condition.
    pub status: Value,
}

/// The node of a claim whose offer is a container; `lost`: why its host is gone.
pub fn wanted(claim: &NodeClaim, kubelet: &Kubelet, lost: Option<&str>, now: Timestamp) -> Option<Wanted> {
    let status = claim.status.as_ref()?;
    let (name, offer) = (status.node_name.clone()?, status.offer.as_ref()?);
    let taints: Vec<_> = claim.spec.taints.iter().cloned().chain([rented(claim)]).collect();
    let head = |body: Value| {
        let mut object = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        for (field, value) in body.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        object
    };
    let object = head(json!({
        "metadata": { "name": name, "labels": labels(claim, &name, offer) }, "spec": { "taints": taints },
    }));
    let status = head(json!({ "status": {
        "capacity": resources(offer), "allocatable": resources(offer),
        "conditions": [condition(lost, now)],
        // No host name: kube-apiserver would ask for that first, and no name server knows it.
        "addresses": [{ "type": "InternalIP", "address": kubelet.address }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": kubelet.port } },
        "nodeInfo": info(),
    } }));
    Some(Wanted { name, object, status })
}

fn labels(claim: &NodeClaim, name: &str, offer: &ClaimedOffer) -> BTreeMap<&'static str, String> {
    let mut labels: BTreeMap<&'static str, String> = [
        ("kubernetes.io/hostname", name.to_owned()),
        ("kubernetes.io/os", "linux".to_owned()),
        ("kubernetes.io/arch", "amd64".to_owned()),
        // What others have agreed on for nodes without a kubelet: load balancers and daemons leave them out.
        ("type", "virtual-kubelet".to_owned()),
        ("node.kubernetes.io/exclude-from-external-load-balancers", "true".to_owned()),
        (names::LABEL_SHAPE, "container".to_owned()),
        (names::LABEL_NODE_CLAIM, claim.name_any()),
        (names::LABEL_NODE_CLAIM_NAMESPACE, claim.namespace().unwrap_or_default()),
        (names::LABEL_NODE_POOL, claim.spec.node_pool_ref.name.clone()),
        (names::LABEL_VERIFIED_CLAIM, claim.uid().unwrap_or_default()),
    ]
    .into();
    if is_label(&offer.region) {
        labels.insert("topology.kubernetes.io/region", offer.region.clone());
    }
    labels
}

/// Whether a vendor's word can be the value of a label.
fn is_label(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && is_end(text.bytes().next())
        && is_end(text.bytes().last())
}

fn resources(offer: &ClaimedOffer) -> BTreeMap<&'static str, String> {
    let mut all: BTreeMap<&'static str, String> = [
        ("cpu", format!("{}m", offer.cpu_millis)),
        ("memory", format!("{}Mi", offer.memory_mib)),
        ("ephemeral-storage", format!("{}Gi", offer.disk_gib)),
        ("pods", PODS.to_owned()),
    ]
    .into();
    if let Some(gpus) = &offer.gpus {
        all.insert(GPU, gpus.count.to_string());
    }
    all
}

fn condition(lost: Option<&str>, now: Timestamp) -> Value {
    let at = whole_second(now).to_string();
    let (status, reason, message) = match lost {
        None => ("True", READY, "a container is rented for the pod that is bound to it"),
        Some(why) => ("False", LOST, why),
    };
    json!({
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastHeartbeatTime": at, "lastTransitionTime": at,
    })
}

fn info() -> Value {
    let version = concat!("v", env!("CARGO_PKG_VERSION"), "-cooperator");
    json!({
        "architecture": "amd64", "operatingSystem": "linux", "osImage": "container", "kernelVersion": "",
        "kubeletVersion": version, "kubeProxyVersion": "", "containerRuntimeVersion": "", "machineID": "",
        "systemUUID": "", "bootID": "",
    })
}

/// Whether labels and taints of a node are all there.
pub fn is_marked(node: &Node, wanted: &Wanted) -> bool {
    let labels = wanted.object["metadata"]["labels"].as_object().into_iter().flatten();
    let mut labels = labels.filter_map(|(label, value)| Some((label, value.as_str()?)));
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let has_taint = |taint: &Value| {
        taints.iter().any(|found| {
            Some(&*found.key) == taint["key"].as_str() && found.value.as_deref() == taint["value"].as_str()
        })
    };
    labels.all(|(label, value)| node.labels().get(label).map(String::as_str) == Some(value))
        && wanted.object["spec"]["taints"].as_array().is_some_and(|taints| taints.iter().all(has_taint))
}

/// Whether a node's status says all that it is to say, times aside.
pub fn is_told(node: &Node, wanted: &Wanted) -> bool {
    let status = serde_json::to_value(&node.status).unwrap_or_default();
    let wanted = &wanted.status["status"];
    let same = |field: &str| status[field] == wanted[field];
    let ready = |status: &Value| {
        let all = status["conditions"].as_array();
        let found = all.into_iter().flatten().find(|found| found["type"] == "Ready");
        found.map(|found| (found["status"].clone(), found["reason"].clone(), found["message"].clone()))
    };
    let has = |field: &str| has(&status[field], &wanted[field]);
    ["capacity", "allocatable"].into_iter().all(has)
        && ["addresses", "daemonEndpoints"].into_iter().all(same)
        && ready(&status) == ready(wanted)
}

/// Whether the quantities are those, however the API server writes them: of `8000m` it makes `8`.
fn has(found: &Value, wanted: &Value) -> bool {
    let amount = |value: &Value| value.as_str().and_then(|text| millis(&Quantity(text.to_owned())));
    wanted
        .as_object()
        .is_some_and(|all| all.iter().all(|(name, value)| amount(value) == amount(&found[name])))
}

/// The Lease of a node, renewed now.
pub fn lease(node: &Node, now: Timestamp) -> Lease {
    let name = node.name_any();
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: name.clone(),
        uid: node.uid().unwrap_or_default(),
        ..OwnerReference::default()
    };
    Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(LEASES.into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    }
}
