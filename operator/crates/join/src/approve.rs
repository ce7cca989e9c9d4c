//! Which request for a certificate is approved.
//!
//! A machine's token may have one certificate: that of its claim's node, and nothing more. With it the kubelet asks anew
//! before it expires, as itself. Whatever else a token or a node of ours asks for is denied; what does not concern our
//! machines is left to others.

use std::fmt;

use cooperator_core::time::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};

use crate::claim::{Claim, GROUP};
use crate::request::{self, Subject};

/// Who signs what kubelets show the API server.
pub const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// What bootstrap tokens are called as users, before their id.
const TOKEN_USER: &str = "system:bootstrap:";
/// What nodes are called as users, before their name.
const NODE_USER: &str = "system:node:";
/// The group of all nodes.
const NODES: &str = "system:nodes";
/// Usages of a kubelet's certificate; those of an RSA key have `key encipherment` as well.
const USAGES: [&str; 2] = ["client auth", "digital signature"];
/// What only an RSA key is used for.
const RSA_USAGE: &str = "key encipherment";

/// A claim that waits for its node, or has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The id of the token its machine was given.
    pub token_id: String,
    /// When that token expires.
    pub expires: Timestamp,
    /// What its node is called. No other claim's node was ever called that.
    pub node_name: String,
    /// The group that the token alone is in: [`Claim::group`].
    pub group: String,
    /// The claim.
    pub claim: Claim,
    /// The uid of the request that was approved for the token, as written down *before* it was. None: it still waits.
    pub approved: Option<String>,
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is approved.
    Approve(Approval),
    /// It is denied.
    Deny {
        /// The claim whose token or node asked, where it is known.
        claim: Option<Claim>,
        /// Why.
        reason: Reason,
    },
    /// It is left as it is: it is decided already, or not about a machine of ours.
    Ignore,
}

/// What is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approval {
    /// The certificate that a token is good for.
    First {
        /// Whose token.
        claim: Claim,
        /// The request's uid, to be written down in [`Expectation::approved`] before it is approved.
        uid: String,
    },
    /// The next certificate of a node that has one.
    Renewal(Claim),
}

/// Why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The token belongs to no claim that is there.
    #[error("no claim waits for a node with this token")]
    NoClaim,
    /// More than one claim has the token, or the node name.
    #[error("more than one claim has this token or node name; tokens and names have to be different")]
    NotUnique,
    /// The token's user is not in the group of its claim.
    #[error("the user is not in the group {0}")]
    Group(String),
    /// The token is too old.
    #[error("the token expired at {0}")]
    Expired(Timestamp),
    /// The object has no uid; every one that an API server holds has.
    #[error("the request has no uid")]
    NoUid,
    /// The token has had its certificate.
    #[error("a certificate was approved for this token before; a token is good for one")]
    Second,
    /// The node asks for another certificate, and had none from us.
    #[error("no certificate of this node was approved that could be renewed")]
    NotJoined,
    /// Another signer is asked.
    #[error("the signer has to be {SIGNER}; got `{0}`")]
    Signer(Shown),
    /// The usages are not those of a kubelet's certificate.
    #[error(
        "the usages have to be `client auth` and `digital signature`, and `key encipherment` at most beside them; got {0}"
    )]
    Usages(Shown),
    /// The request itself is not well.
    #[error("the request is refused: {0}")]
    Request(#[from] request::Error),
    /// It names another user.
    #[error("the certificate has to be for `{NODE_USER}{expected}`; got `{got}`")]
    Name {
        /// The node's name.
        expected: String,
        /// The common name asked for.
        got: Shown,
    },
    /// It names another group.
    #[error("the organisation has to be `{NODES}` alone; got `{0}`")]
    Organization(Shown),
}

impl Reason {
    /// One word for it: the condition's reason and the metric's label.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NoClaim => "NoClaim",
            Self::NotUnique => "NotUnique",
            Self::Group(_) => "Group",
            Self::Expired(_) => "TokenExpired",
            Self::NoUid => "NoUid",
            Self::Second => "SecondCertificate",
            Self::NotJoined => "NotJoined",
            Self::Signer(_) => "Signer",
            Self::Usages(_) => "Usages",
            Self::Request(_) => "Request",
            Self::Name { .. } => "NodeName",
            Self::Organization(_) => "Organization",
        }
    }
}

/// A stranger's text, cut and escaped for a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(String);

impl Shown {
    /// Characters of it that are shown.
    const MOST: usize = 80;

    fn of(text: &str) -> Self {
        Self(text.chars().take(Self::MOST).flat_map(char::escape_debug).collect())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Decides about one request, given all claims that have, or wait for, a machine that is a node. `now` is the present
/// instant.
pub fn decide(csr: &CertificateSigningRequest, claims: &[Expectation], now: Timestamp) -> Decision {
    if is_decided(csr) {
        return Decision::Ignore;
    }
    let user = csr.spec.username.as_deref().unwrap_or_default();
    if let Some(id) = user.strip_prefix(TOKEN_USER) {
        return match only(claims.iter().filter(|claim| claim.token_id == id)) {
            Found::None if is_in(&csr.spec, GROUP) => Decision::Deny { claim: None, reason: Reason::NoClaim },
            Found::None => Decision::Ignore,
            Found::Several => Decision::Deny { claim: None, reason: Reason::NotUnique },
            Found::One(claim) => match first(csr, claim, now) {
                Ok(uid) => Decision::Approve(Approval::First { claim: claim.claim.clone(), uid }),
                Err(reason) => Decision::Deny { claim: Some(claim.claim.clone()), reason },
            },
        };
    }
    let Some(name) = user.strip_prefix(NODE_USER) else { return Decision::Ignore };
    match only(claims.iter().filter(|claim| claim.node_name == name)) {
        Found::None => Decision::Ignore,
        Found::Several => Decision::Deny { claim: None, reason: Reason::NotUnique },
        Found::One(claim) => match renewal(&csr.spec, claim) {
            Ok(()) => Decision::Approve(Approval::Renewal(claim.claim.clone())),
            Err(reason) => Decision::Deny { claim: Some(claim.claim.clone()), reason },
        },
    }
}

/// The request by a token for the certificate it is good for: its uid.
fn first(csr: &CertificateSigningRequest, claim: &Expectation, now: Timestamp) -> Result<String, Reason> {
    for group in [GROUP, &claim.group] {
        if !is_in(&csr.spec, group) {
            return Err(Reason::Group(group.to_owned()));
        }
    }
    // One that was written down and not approved, since the operator died between, is the one.
    let uid = csr.metadata.uid.as_ref().ok_or(Reason::NoUid)?;
    if claim.approved.as_ref().is_some_and(|approved| approved != uid) {
        return Err(Reason::Second);
    }
    if now >= claim.expires {
        return Err(Reason::Expired(claim.expires));
    }
    is_kubelet(&csr.spec, claim)?;
    Ok(uid.clone())
}

/// The request by a node for the next certificate of its own.
fn renewal(spec: &CertificateSigningRequestSpec, claim: &Expectation) -> Result<(), Reason> {
    if !is_in(spec, NODES) {
        return Err(Reason::Group(NODES.to_owned()));
    }
    if claim.approved.is_none() {
        return Err(Reason::NotJoined);
    }
    is_kubelet(spec, claim)
}

/// What both ask for: a kubelet's certificate for the claim's node.
fn is_kubelet(spec: &CertificateSigningRequestSpec, claim: &Expectation) -> Result<(), Reason> {
    if spec.signer_name != SIGNER {
        return Err(Reason::Signer(Shown::of(&spec.signer_name)));
    }
    let usages = spec.usages.as_deref().unwrap_or_default();
    let mut sorted: Vec<&str> =
        usages.iter().map(String::as_str).filter(|usage| *usage != RSA_USAGE).collect();
    sorted.sort_unstable();
    if sorted != USAGES || usages.len() > USAGES.len() + 1 {
        return Err(Reason::Usages(Shown::of(&usages.join(", "))));
    }
    let Subject { common_name, organization } = Subject::of_request(&spec.request.0)?;
    if common_name.strip_prefix(NODE_USER) != Some(&claim.node_name) {
        return Err(Reason::Name { expected: claim.node_name.clone(), got: Shown::of(&common_name) });
    }
    if organization != NODES {
        return Err(Reason::Organization(Shown::of(&organization)));
    }
    Ok(())
}

/// Approved, denied, failed, or signed.
fn is_decided(csr: &CertificateSigningRequest) -> bool {
    csr.status.as_ref().is_some_and(|status| {
        status.certificate.is_some()
            || status.conditions.as_ref().is_some_and(|conditions| !conditions.is_empty())
    })
}

fn is_in(spec: &CertificateSigningRequestSpec, group: &str) -> bool {
    spec.groups.as_ref().is_some_and(|groups| groups.iter().any(|is| is == group))
}

enum Found<'a> {
    None,
    One(&'a Expectation),
    Several,
}

fn only<'a>(mut claims: impl Iterator<Item = &'a Expectation>) -> Found<'a> {
    match (claims.next(), claims.next()) {
        (None, _) => Found::None,
        (Some(claim), None) => Found::One(claim),
        _ => Found::Several,
    }
}

#[cfg(test)]
mod tests;
