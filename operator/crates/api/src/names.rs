//! Labels, annotations and finalizers: one place for every name that others match on.

/// Label: the Collective an object belongs to.
pub const LABEL_COLLECTIVE: &str = "cooperator.dev/collective";
/// Label: lowercase kind of the object a Job, Pod or Service was made for (`finetune`, `dataset`, ...).
pub const LABEL_KIND: &str = "cooperator.dev/kind";
/// Label: name of that object.
pub const LABEL_NAME: &str = "cooperator.dev/name";
/// Label: attempt number of a Job or Pod.
pub const LABEL_ATTEMPT: &str = "cooperator.dev/attempt";
/// Label of a node and of what belongs to it: the NodeClaim it was rented for.
pub const LABEL_NODE_CLAIM: &str = "cooperator.dev/node-claim";
/// Label of a node: the namespace of that NodeClaim.
pub const LABEL_NODE_CLAIM_NAMESPACE: &str = "cooperator.dev/node-claim-namespace";
/// Label of a node that was found to be what was rented: uid of its NodeClaim. A kubelet may not set labels of this prefix:
/// that it is there is the operator's word, not the machine's.
pub const LABEL_VERIFIED_CLAIM: &str = "node-restriction.kubernetes.io/cooperator-node-claim";
/// Label of a NodeClaim and of its node: the NodePool it was rented from.
pub const LABEL_NODE_POOL: &str = "cooperator.dev/node-pool";
/// Label of a node of the cluster that is lent: name of the instance that it is now.
pub const LABEL_INSTANCE: &str = "cooperator.dev/instance";
/// Annotation of such a node: namespace and name of the Provider by which it was taken.
pub const ANNOTATION_PROVIDER: &str = "cooperator.dev/provider";
/// Label of a virtual node: `container`, what its host is.
pub const LABEL_SHAPE: &str = "cooperator.dev/shape";
/// Taint of every rented node: only what tolerates strangers' machines runs there.
pub const TAINT_RENTED: &str = "cooperator.dev/rented";
/// Taint of a rented node that has not yet shown that it is what was paid for.
pub const TAINT_UNVERIFIED: &str = "cooperator.dev/unverified";
/// Recommended label, always `cooperator`.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "cooperator";
/// Annotation on a Collective: close the open settlement period early, at this RFC 3339 instant, which must be past.
pub const ANNOTATION_SETTLE_THROUGH: &str = "cooperator.dev/settle-through";
/// Finalizer of a kind whose removal must first undo something outside the cluster.
pub const FINALIZER: &str = "cooperator.dev/cleanup";
/// ClusterRole a namespace binds to the operator to let it work there (Secrets included).
pub const CLUSTER_ROLE_COLLECTIVE: &str = "cooperator-collective";
/// ClusterRole of a Collective's gateway.
pub const CLUSTER_ROLE_GATEWAY: &str = "cooperator-gateway";
/// Group of every rented machine before it is a node; the chart lets it ask for a certificate and nothing else.
pub const GROUP_BOOTSTRAP: &str = "system:bootstrappers:cooperator";
