//! Labels, annotations and finalizers: one place for every name that others match on.

/// Label: the Collective an object belongs to.
pub const LABEL_COLLECTIVE: &str = "cooperator.dev/collective";
/// Label: lowercase kind of the object a Job, Pod or Service was made for (`finetune`, `dataset`, ...).
pub const LABEL_KIND: &str = "cooperator.dev/kind";
/// Label: name of that object.
pub const LABEL_NAME: &str = "cooperator.dev/name";
/// Label: attempt number of a Job or Pod.
pub const LABEL_ATTEMPT: &str = "cooperator.dev/attempt";
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
