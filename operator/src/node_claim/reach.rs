//! Client: how the API server reaches a machine's kubelet that nothing can dial.

use cooperator_api::node_claim::NodeClaim;
use cooperator_rental::Record;
use k8s_openapi::api::core::v1::{Node, NodeAddress};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::dereference::World;
use crate::pipeline::{Error, Pipeline};
use crate::rent::Tunnel;

/// Leads to the node of a claim while its machine may run, and no longer; has the API server dial this pod for it. True: the
/// node is not what was looked at any more.
///
/// # Errors
/// [`Error::Write`]
pub async fn reach(
    pipeline: &Pipeline,
    tunnel: Option<&Tunnel>,
    claim: &NodeClaim,
    world: &World,
    record: &Record,
) -> Result<bool, Error> {
    let name = claim.status.as_ref().and_then(|status| status.node_name.as_deref());
    let (Some(tunnel), Some(name)) = (tunnel, name) else { return Ok(false) };
    let node = world.node.as_ref().filter(|_| !record.is_closed());
    tunnel.lead(name, node.and_then(port)).await;
    let Some((node, patch)) = node.and_then(|node| Some((node, addresses(node, &tunnel.addresses())?)))
    else {
        return Ok(false);
    };
    let name = node.name_any();
    let api: Api<Node> = Api::all(pipeline.client.clone());
    let patched = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map(|_| true).map_err(Error::write(format!("status of Node `{name}`")))
}

/// Where its kubelet says that it listens.
fn port(node: &Node) -> Option<u16> {
    let endpoints = node.status.as_ref()?.daemon_endpoints.as_ref()?;
    u16::try_from(endpoints.kubelet_endpoint.as_ref()?.port).ok()
}

/// The patch by which a node has these addresses. None: it has.
fn addresses(node: &Node, wanted: &[NodeAddress]) -> Option<Value> {
    let has = node.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
    (has != wanted).then(|| json!({ "status": { "addresses": wanted } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(status: &Value) -> Node {
        serde_json::from_value(json!({ "metadata": { "name": "tune-1" }, "status": status })).unwrap()
    }

    #[test]
    fn a_node_has_the_port_that_its_kubelet_tells_if_it_is_one() {
        let at = |port: i64| node(&json!({ "daemonEndpoints": { "kubeletEndpoint": { "Port": port } } }));
        assert_eq!(port(&at(20_017)), Some(20_017));
        assert_eq!(port(&at(-1)), None);
        assert_eq!(port(&node(&json!({}))), None);
    }

    #[test]
    fn addresses_are_written_once() {
        let wanted = [NodeAddress { type_: "InternalIP".into(), address: "10.1.2.3".into() }];
        let own = json!({ "addresses": [{ "type": "InternalIP", "address": "192.168.0.9" }] });
        let patch = addresses(&node(&own), &wanted).unwrap();
        assert_eq!(patch["status"]["addresses"], json!([{ "type": "InternalIP", "address": "10.1.2.3" }]));
        assert_eq!(addresses(&node(&patch["status"]), &wanted), None);
    }
}
