//! What the values in a machine's script have to be.

use std::collections::BTreeSet;

use url::Url;

use super::{Artifact, MOST, Taint, UserData};

/// Longest name of a node, or value of a label, in characters.
const NAME: usize = 63;
/// Longest part of a label's key before the slash, in characters.
const PREFIX: usize = 253;
/// Labels of Kubernetes' own that a kubelet may set on its node.
const KUBELET_LABELS: [&str; 3] =
    ["node.kubernetes.io/instance-type", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"];
/// What a taint does.
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

/// Why there is no script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The API server's address is no `https` URL of a host and a port.
    #[error("the API server's address has to be https://host:port without user, path or query; got `{0}`")]
    ApiServer(String),
    /// The authority is no certificate.
    #[error("the API server's authority has to be one or more PEM blocks `CERTIFICATE`")]
    Authority,
    /// The node cannot be called that.
    #[error("a node's name has to be a DNS label of at most {NAME} characters; got `{0}`")]
    NodeName(String),
    /// A label cannot be written.
    #[error(
        "label `{0}`: the key has to be a qualified name, the value at most {NAME} letters, digits, `-_.`"
    )]
    Label(String),
    /// A label that Kubernetes lets no kubelet set.
    #[error(
        "label `{0}`: of kubernetes.io and k8s.io a kubelet may only set {open}; set it as the operator",
        open = KUBELET_LABELS.join(", ")
    )]
    Restricted(String),
    /// A taint cannot be written.
    #[error(
        "taint `{0}`: it needs a qualified key, a value like a label's, and one of {effects}",
        effects = EFFECTS.join(", ")
    )]
    Taint(String),
    /// An artifact has no usable name.
    #[error(
        "artifact `{0}`: a name has to be 1 to {NAME} lowercase letters, digits and hyphens, and there once"
    )]
    Artifact(String),
    /// An artifact lies where no machine fetches from.
    #[error("artifact `{0}`: its URL has to be https or http, without a user")]
    Url(String),
    /// The image reference has characters that none has.
    #[error("sandbox image `{0}`: a reference is letters, digits and `._-/:@`")]
    Image(String),
    /// The tunnel leads nowhere, or cannot be told from another.
    #[error("the tunnel needs a server host:port, an authority in PEM, and a port from 1024; got `{0}`")]
    Tunnel(String),
    /// The pods' addresses are no subnet.
    #[error("pod subnet `{0}`: it has to be an IPv4 subnet of /16 to /28, such as 10.88.0.0/24")]
    Subnet(String),
    /// A field of the kubelet's configuration that is ours alone.
    #[error("the kubelet's `{0}` is set by Cooperator, for safety; leave it out")]
    Protected(String),
    /// A value has a NUL, which no shell can hold.
    #[error("the value of {0} has a NUL character, which no script can hold")]
    Nul(String),
    /// The script is too long.
    #[error("the script has {0} bytes; vendors take {MOST}: shorten the URLs, labels or extra configuration")]
    TooLong(usize),
    /// The script is too long for its vendor, though most of it is fetched.
    #[error(
        "the script's first stage has {bytes} bytes, the vendor takes {most}: have fewer labels, taints or fields of the \
         kubelet's configuration, or rent from another vendor"
    )]
    StageTooLong {
        /// Its length.
        bytes: usize,
        /// What the vendor takes.
        most: usize,
    },
    /// The values cannot be packed.
    #[error("the script's values cannot be packed: {0}")]
    Packing(String),
}

/// Whether every value is what it has to be.
///
/// # Errors
/// The first that is not.
pub(super) fn all(data: &UserData) -> Result<(), Error> {
    let (server, node) = (&data.api_server, &data.node_name);
    ensure(is_api_server(server), || Error::ApiServer(server.clone()))?;
    ensure(is_authority(&data.ca_pem), || Error::Authority)?;
    ensure(is_dns_label(node), || Error::NodeName(node.clone()))?;
    ensure(is_value(&data.claim.name), || Error::Taint(data.claim.name.clone()))?;
    for (key, value) in &data.labels {
        ensure(is_key(key) && is_value(value), || Error::Label(format!("{key}={value}")))?;
        ensure(is_open(key), || Error::Restricted(key.clone()))?;
    }
    for Taint { key, value, effect } in &data.taints {
        let well = is_key(key) && is_value(value) && EFFECTS.contains(&effect.as_str());
        ensure(well, || Error::Taint(format!("{key}={value}:{effect}")))?;
    }
    let mut names = BTreeSet::new();
    for Artifact { name, url, .. } in &data.artifacts {
        ensure(is_dns_label(name) && names.insert(name), || Error::Artifact(name.clone()))?;
        ensure(is_fetched(url), || Error::Url(name.clone()))?;
    }
    ensure(is_image(&data.sandbox_image), || Error::Image(data.sandbox_image.clone()))?;
    ensure(is_subnet(&data.pod_subnet), || Error::Subnet(data.pod_subnet.clone()))?;
    if let Some(tunnel) = &data.tunnel {
        let well = is_host_port(&tunnel.server) && is_authority(&tunnel.authority_pem) && tunnel.port >= 1024;
        ensure(well, || Error::Tunnel(format!("{} port {}", tunnel.server, tunnel.port)))?;
    }
    let protected = data.protected_fields();
    match data.kubelet.keys().find(|key| protected.contains(*key)) {
        Some(key) => Err(Error::Protected(key.clone())),
        None => Ok(()),
    }
}

fn ensure(well: bool, error: impl FnOnce() -> Error) -> Result<(), Error> {
    if well { Ok(()) } else { Err(error()) }
}

fn is_api_server(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.has_host()
            && is_anonymous(&url)
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// `host:port`, and nothing besides that a URL can have.
fn is_host_port(text: &str) -> bool {
    let has_port =
        text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
    has_port && is_api_server(&format!("https://{text}"))
}

fn is_fetched(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host() && is_anonymous(url)
}

fn is_anonymous(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

fn is_authority(text: &str) -> bool {
    pem::parse_many(text).is_ok_and(|blocks| {
        !blocks.is_empty()
            && blocks.iter().all(|block| block.tag() == "CERTIFICATE" && !block.contents().is_empty())
    })
}

fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// `name` or `dns.name/name`.
fn is_key(key: &str) -> bool {
    let is_domain = |domain: &str| domain.len() <= PREFIX && domain.split('.').all(is_dns_label);
    match key.split_once('/') {
        Some((domain, name)) => is_domain(domain) && !name.is_empty() && is_value(name),
        None => !key.is_empty() && is_value(key),
    }
}

fn is_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    value.len() <= NAME
        && value.bytes().all(inner)
        && edge(value.bytes().next())
        && edge(value.bytes().last())
}

/// Whether Kubernetes lets a kubelet set a label with this key on its node.
fn is_open(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    let below =
        |root: &str| domain == root || domain.strip_suffix(root).is_some_and(|rest| rest.ends_with('.'));
    KUBELET_LABELS.contains(&key) || !(below("kubernetes.io") || below("k8s.io"))
}

fn is_image(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte))
}

fn is_subnet(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<std::net::Ipv4Addr>().is_ok()
            && bits.parse::<u8>().is_ok_and(|bits| (16..=28).contains(&bits))
    })
}
