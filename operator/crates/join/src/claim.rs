//! Whose machine it is.

use std::collections::BTreeMap;
use std::fmt;

/// The group of every token of ours. Who is in it may ask for certificates: it is bound to the ClusterRole
/// `system:node-bootstrapper`, and to nothing else.
pub const GROUP: &str = "system:bootstrappers:cooperator";
/// The namespace of the claim that something was made for.
pub const LABEL_NAMESPACE: &str = "cooperator.dev/claim-namespace";
/// Its name.
pub const LABEL_NAME: &str = "cooperator.dev/claim";
/// Its uid.
pub const LABEL_UID: &str = "cooperator.dev/claim-uid";

/// A claim, by what tells it from every other that is or was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, as Kubernetes writes it.
    pub uid: String,
}

impl Claim {
    /// The group of the claim's token alone, beside [`GROUP`].
    pub fn group(&self) -> String {
        format!("{GROUP}:{}", self.uid)
    }

    /// The labels of what was made for it outside of its namespace, where no owner reference reaches.
    pub fn labels(&self) -> BTreeMap<String, String> {
        [(LABEL_NAMESPACE, &self.namespace), (LABEL_NAME, &self.name), (LABEL_UID, &self.uid)]
            .map(|(label, value)| (label.to_owned(), value.clone()))
            .into()
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
