//! A claim whose host is a container alone: it cannot be a node, so the operator stands in for the kubelet of a virtual one.
//!
//! The node is made first and costs nothing. Once the attempt's pod is bound to it, one container is rented for that pod:
//! what a pod would be given by its kubelet, it gets over HTTPS by its run token, and nothing else of the cluster. The pod's
//! status, and the end of a deleted pod, are told here as a kubelet tells them. One claim has one pod.

mod follow;
mod launch;
mod node;
mod payload;
mod pod;
#[cfg(test)]
mod tests;
mod wish;
pub mod work;

pub use follow::{follow, write_status};
pub use launch::{place, reserve};
pub use pod::ended;
pub use wish::intention;
pub use work::{JOB, has_node, is_reserved};
