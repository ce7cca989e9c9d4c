//! Client: what a machine's node needs of us. It is marked once it is what it claims to be, and goes when its machine does.

use cooperator_api::names;
use cooperator_api::node_claim::NodeClaim;
use cooperator_kit::answer::{is_absent, is_conflict};
use cooperator_rental::Record;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};

use super::dereference::World;
use super::node::{self, Verdict};
use crate::pipeline::{Error, Pipeline};

/// Marks a node that is fit; takes away one whose machine is gone. True: the node is not what was looked at any more.
pub async fn follow(
    pipeline: &Pipeline,
    claim: &NodeClaim,
    world: &World,
    record: &Record,
    verdict: &Verdict,
) -> Result<bool, Error> {
    let Some(node) = &world.node else { return Ok(false) };
    let lives = record
        .open()
        .is_some_and(|launch| launch.ending().next().is_none_or(|machine| machine.gone_at.is_none()));
    if !lives {
        // One that was lent stays: its driver has taken off it what was ours.
        return if world.is_lent(claim) { Ok(false) } else { remove(pipeline, claim, node).await };
    }
    if *verdict == Verdict::Fit && record.kept().is_some() {
        patch(pipeline, node, &node::mark(claim, node)).await?;
        return Ok(true);
    }
    Ok(false)
}

async fn patch(pipeline: &Pipeline, node: &Node, patch: &serde_json::Value) -> Result<(), Error> {
    let name = node.name_any();
    let api: Api<Node> = Api::all(pipeline.client.clone());
    let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(Error::write(format!("Node `{name}`")))
}

/// The very node that was looked at, and only one that was made for this claim.
pub async fn remove(pipeline: &Pipeline, claim: &NodeClaim, node: &Node) -> Result<bool, Error> {
    if node.labels().get(names::LABEL_NODE_CLAIM) != Some(&claim.name_any()) {
        return Ok(false);
    }
    let name = node.name_any();
    let api: Api<Node> = Api::all(pipeline.client.clone());
    let exactly = Preconditions { uid: node.uid(), resource_version: None };
    match api.delete(&name, &DeleteParams::default().preconditions(exactly)).await {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) || is_conflict(&error) => Ok(true),
        Err(error) => Err(Error::write(format!("Node `{name}`"))(error)),
    }
}
