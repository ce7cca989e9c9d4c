//! Client: what a kubelet does for its node and its pod: the node is there and lives, the pod's status is told, and a deleted
//! pod goes once its container has.

use cooperator_api::node_claim::NodeClaim;
use cooperator_core::time::Timestamp;
use cooperator_kit::answer::{is_absent, is_conflict};
use cooperator_rental::Record;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::node::{self, Wanted};
use super::pod::{self, Standing};
use super::work;
use crate::domain::{Hold, has_ended};
use crate::node_claim::dereference::World;
use crate::node_claim::follow::remove;
use crate::node_claim::wish::Intention;
use crate::pipeline::{Error, Pipeline};
use crate::rent::Rent;

/// Field manager of virtual nodes.
const MANAGER: &str = "cooperator-virtual-node";

/// Brings node and pod of a claim to what its record says. True: something was written.
///
/// # Errors
/// [`Error`]; nothing is lost by calling again.
pub async fn follow(
    rent: &Rent,
    claim: &NodeClaim,
    world: &World,
    (record, intention, hold): (&Record, &Intention, Option<&Hold>),
    now: Timestamp,
) -> Result<bool, Error> {
    let pipeline = &rent.pipeline;
    let work = work::pod(claim, world);
    let standing = pod::standing(record, intention, hold); // pure
    let mut written = false;
    if let Some(pod) = work {
        written |= tell(pipeline, pod, &standing, now).await?;
    }
    let is_over = work.is_none_or(has_ended) || matches!(standing, Standing::Lost(_));
    if intention.is_over && work::is_gone(record) && is_over {
        let Some(node) = &world.node else { return Ok(written) };
        rent.pulse.forget(&node.name_any());
        return Ok(remove(pipeline, claim, node).await? || written);
    }
    if let Some(pod) = work.filter(|pod| work::leaves_at(pod).is_some() && (is_over || work::is_gone(record)))
    {
        written |= let_go(pipeline, pod).await?;
    }
    let lost = match &standing {
        Standing::Lost(why) if !work.is_some_and(has_ended) => Some(why.as_str()),
        _ => None,
    };
    let Some(kubelet) = &rent.site.kubelet else { return Ok(written) };
    let Some(wanted) = node::wanted(claim, kubelet, lost, now) else { return Ok(written) }; // pure
    Ok(keep(rent, world.node.as_ref(), &wanted, now).await? || written)
}

/// Makes the node, brings it to what it is to be, and says that it lives.
async fn keep(rent: &Rent, live: Option<&Node>, wanted: &Wanted, now: Timestamp) -> Result<bool, Error> {
    let api: Api<Node> = Api::all(rent.pipeline.client.clone());
    let write = |error| Error::write(format!("Node `{}`", wanted.name))(error);
    let apply = PatchParams::apply(MANAGER).force();
    let mut live = live.cloned();
    let mut written = false;
    if live.as_ref().is_none_or(|node| !node::is_marked(node, wanted)) {
        live = Some(api.patch(&wanted.name, &apply, &Patch::Apply(&wanted.object)).await.map_err(write)?);
        written = true;
    }
    if live.as_ref().is_none_or(|node| !node::is_told(node, wanted)) {
        let told = api.patch_status(&wanted.name, &apply, &Patch::Apply(&wanted.status)).await;
        live = Some(told.map_err(write)?);
        written = true;
    }
    if let Some(node) = live.filter(|_| rent.pulse.is_due(&wanted.name, now)) {
        renew(&rent.pipeline, &node::lease(&node, now)).await?;
        rent.pulse.beat(&wanted.name, now);
    }
    Ok(written)
}

async fn renew(pipeline: &Pipeline, lease: &Lease) -> Result<(), Error> {
    let name = lease.name_any();
    let api: Api<Lease> = Api::namespaced(pipeline.client.clone(), node::LEASES);
    let mut patch = serde_json::to_value(lease).map_err(|error| Error::Domain(error.to_string()))?;
    // The typed object leaves these out; server-side apply needs them.
    patch["apiVersion"] = "coordination.k8s.io/v1".into();
    patch["kind"] = "Lease".into();
    let renewed = api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&patch)).await;
    renewed.map(drop).map_err(Error::write(format!("Lease `{name}`")))
}

/// Tells where the pod's container stands, if that is new.
async fn tell(pipeline: &Pipeline, pod: &Pod, standing: &Standing, now: Timestamp) -> Result<bool, Error> {
    match pod::status(pod, standing, now) {
        Some(status) => write_status(pipeline, pod, &status).await,
        None => Ok(false),
    }
}

/// Writes the status of the very pod that was looked at. False: it is not that any more.
pub async fn write_status(pipeline: &Pipeline, pod: &Pod, status: &Value) -> Result<bool, Error> {
    let name = pod.name_any();
    let patch = json!({ "metadata": { "resourceVersion": pod.resource_version() }, "status": status });
    match pods(pipeline, pod).patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(Error::write(format!("Pod `{name}`"))(error)),
    }
}

/// The pod's container is gone, and so may it be.
async fn let_go(pipeline: &Pipeline, pod: &Pod) -> Result<bool, Error> {
    let name = pod.name_any();
    let exactly = Preconditions { uid: pod.uid(), resource_version: None };
    let now =
        DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }.preconditions(exactly);
    match pods(pipeline, pod).delete(&name, &now).await {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) || is_conflict(&error) => Ok(false),
        Err(error) => Err(Error::write(format!("Pod `{name}`"))(error)),
    }
}

fn pods(pipeline: &Pipeline, pod: &Pod) -> Api<Pod> {
    Api::namespaced(pipeline.client.clone(), &pod.namespace().unwrap_or_default())
}
