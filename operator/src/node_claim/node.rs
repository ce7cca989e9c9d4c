//! Pure: how far the machine is as a node of the cluster.

use std::collections::BTreeMap;

use cooperator_api::names::{LABEL_VERIFIED_CLAIM, TAINT_RENTED, TAINT_UNVERIFIED};
use cooperator_api::node_claim::NodeClaim;
use cooperator_join::user_data::CONDITION_POWER_OFF;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::join::labels;
use crate::domain::units;
use crate::rent::taken_by;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It is no node.
    Absent,
    /// It is one, and cannot work yet.
    Registered,
    /// It can work.
    Initialized,
}

/// What stands between a node and its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no node.
    Absent,
    /// It is not ready, in words.
    NotReady(String),
    /// It has not what was rented, in words: its host lies.
    Lies(String),
    /// It is what it claims to be: it may be marked as verified.
    Fit,
    /// It was, and bears the mark.
    Verified,
}

impl Verdict {
    /// How far that is.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Absent => Stage::Absent,
            Self::NotReady(_) | Self::Lies(_) | Self::Fit => Stage::Registered,
            Self::Verified => Stage::Initialized,
        }
    }
}

/// Kubernetes' own, of a kubelet that leaves its addresses to others: here, to us.
const TAINT_UNADDRESSED: &str = "node.cloudprovider.kubernetes.io/uninitialized";

/// Looks at the node of a claim.
pub fn verdict(claim: &NodeClaim, node: Option<&Node>) -> Verdict {
    let Some(node) = node else { return Verdict::Absent };
    let status = node.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|found| found.type_ == "Ready");
    if ready.is_none_or(|ready| ready.status != "True") {
        let said = ready
            .and_then(|ready| ready.message.clone())
            .unwrap_or_else(|| "the kubelet has said nothing yet".into());
        return Verdict::NotReady(said);
    }
    if let Some(lie) = lie(claim, &status.allocatable.unwrap_or_default()) {
        return Verdict::Lies(lie);
    }
    if let Some(startup) = startup(claim, node) {
        return Verdict::NotReady(format!("it has the start-up taint `{startup}`"));
    }
    let marked = node.labels().get(LABEL_VERIFIED_CLAIM).map(String::as_str) == claim.uid().as_deref();
    if marked && !taints(node).iter().any(|taint| taint.key == TAINT_UNVERIFIED) {
        Verdict::Verified
    } else {
        Verdict::Fit
    }
}

/// Whether the machine has told that it is powered off: its host takes it back, and says so at best minutes before.
pub fn is_powered_off(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|found| found.type_ == CONDITION_POWER_OFF).any(|found| found.status == "True")
}

/// What it should have and has not, of devices and memory.
fn lie(claim: &NodeClaim, allocatable: &BTreeMap<String, Quantity>) -> Option<String> {
    claim.spec.resources.requests.iter().find_map(|(name, wanted)| {
        let has = allocatable.get(name).and_then(units).unwrap_or_default();
        let wants = units(wanted)?;
        (has < wants).then(|| format!("it has {name} {has}, {wants} were rented"))
    })
}

fn startup(claim: &NodeClaim, node: &Node) -> Option<String> {
    let has = |wanted: &&Taint| {
        taints(node).iter().any(|taint| taint.key == wanted.key && taint.effect == wanted.effect)
    };
    claim.spec.startup_taints.iter().find(has).map(|taint| taint.key.clone())
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default()
}

/// Whether a node that is lent is this claim's now.
pub fn is_lent_to(node: &Node, claim: &NodeClaim) -> bool {
    taken_by(node).zip(claim.uid()).is_some_and(|(name, uid)| name.is_of(&uid))
}

/// Whether a pod was made for the machine of this claim.
pub fn is_for(pod: &Pod, claim: &NodeClaim) -> bool {
    let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.as_ref());
    selector
        .and_then(|labels| labels.get(LABEL_VERIFIED_CLAIM))
        .zip(claim.uid())
        .is_some_and(|(of, uid)| *of == uid)
}

/// The patch that marks a node as verified: our labels, and one taint less. Whatever a kubelet said of its taints, it keeps
/// the one that keeps others' pods away.
pub fn mark(claim: &NodeClaim, node: &Node) -> Value {
    let over = [TAINT_UNVERIFIED, TAINT_UNADDRESSED];
    let mut kept: Vec<Taint> =
        taints(node).iter().filter(|taint| !over.contains(&taint.key.as_str())).cloned().collect();
    if !kept.iter().any(|taint| taint.key == TAINT_RENTED) {
        kept.push(rented(claim));
    }
    let mut labels = labels(claim);
    labels.extend(claim.uid().map(|uid| (LABEL_VERIFIED_CLAIM.to_owned(), uid)));
    json!({
        "metadata": { "resourceVersion": node.resource_version(), "labels": labels },
        "spec": { "taints": kept },
    })
}

/// The taint of every rented node.
pub fn rented(claim: &NodeClaim) -> Taint {
    Taint {
        key: TAINT_RENTED.into(),
        value: Some(claim.name_any()),
        effect: "NoSchedule".into(),
        time_added: None,
    }
}
