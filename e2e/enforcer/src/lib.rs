//! Enforces NetworkPolicies in the local cluster, by nftables in the network namespace it lives in.
//!
//! [`rules`] reads policies, namespaces and pods and decides what each pod may connect to and be reached by; [`ruleset`]
//! writes that down for nft; [`follow`] watches the objects and hands nft a whole new table, in one transaction, when the
//! text has changed. The first two are pure.
//!
//! It fails closed. A pod's traffic passes only when its address is known to be its own: what comes from or goes to any
//! other is refused. An address becomes known before the pod has a process: [`cni`], the last plugin of the node's network,
//! tells it to the enforcer and waits until the pod's rules are in the kernel; if they do not come, the pod is not
//! started. With the enforcer gone, the table stays as it was and no pod starts. A connection is judged by each packet of
//! the side that opened it, so a policy also ends connections that are older than it.
//!
//! As the API says, a pod is always reached by its own node, and pods of the node's network are not touched. Pods have
//! IPv4 addresses here; IPv6 is dropped at their interfaces, and so is a packet with an address that is not its pod's.

pub mod cni;
pub mod endpoints;
pub mod follow;
pub mod rules;
pub mod ruleset;
