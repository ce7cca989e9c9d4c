//! What a pod tells of itself.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// Whether a pod has ended, as far as its status says.
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The pod that was made last.
pub fn newest<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<&'a Pod> {
    let made = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    pods.into_iter().max_by_key(|pod| (made(pod), pod.name_any()))
}
