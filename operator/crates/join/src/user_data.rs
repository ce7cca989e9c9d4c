//! The script a rented machine runs at its first start, as cloud-init takes it: user-data.
//!
//! It is a head of the machine's own assignments, every value quoted for the shell, then those of its installation, and a body
//! that is the same for all (`join.sh`): what is not the machine's own it may fetch ([`Rest`]). The body
//! fetches the programs, checks their sha256, and starts containerd and a kubelet that asks for its certificate with the
//! token. It works where systemd runs and where it does not, and finds out by itself what else differs between machines.

use std::collections::{BTreeMap, BTreeSet};

use cooperator_core::digest::Digest;
use serde_json::{Map, Value, json};
use url::Url;

use crate::claim::Claim;
use crate::token::Token;

mod check;
mod rest;
mod stage;
#[cfg(test)]
mod tests;

pub use check::Error;
pub use rest::Rest;

/// Greatest length of the script, in bytes. Of the vendors that are used, Hetzner allows the least: 32 KiB.
pub const MOST: usize = 16 << 10;
/// The image that holds a pod's namespaces, unless another is named.
pub const SANDBOX_IMAGE: &str = "registry.k8s.io/pause:3.10";
/// The addresses of a machine's pods, unless others are given; no other machine has to reach them.
pub const POD_SUBNET: &str = "10.88.0.0/24";
/// Keeps pods off a node until the operator has looked at it.
pub const TAINT_UNVERIFIED: &str = "cooperator.dev/unverified";
/// Keeps all pods off a rented node but those of its claim, whose name is the value.
pub const TAINT_RENTED: &str = "cooperator.dev/rented";
/// containerd's socket on the machine.
pub const SOCKET: &str = "/run/cooperator/containerd.sock";

/// The part that is the same for all machines.
const BODY: &str = include_str!("user_data/join.sh");
/// What runs before a machine is off.
const POWER_OFF: &str = include_str!("user_data/power_off.sh");
/// The condition of its node by which a machine tells that it is powered off.
pub const CONDITION_POWER_OFF: &str = "PowerOff";

/// What a machine has to know to become a node.
#[derive(Clone, Debug)]
pub struct UserData {
    /// The API server, as a machine on the internet reaches it: `https://host:port`.
    pub api_server: String,
    /// The certificate of the authority that signed the API server's, PEM.
    pub ca_pem: String,
    /// The machine's own token: the only secret.
    pub token: Token,
    /// What the node is to be called: a DNS name of at most 63 characters.
    pub node_name: String,
    /// The claim.
    pub claim: Claim,
    /// Labels that the kubelet sets on its node. Nothing may depend on them: a machine can lie.
    pub labels: BTreeMap<String, String>,
    /// Taints beside [`TAINT_UNVERIFIED`] and [`TAINT_RENTED`].
    pub taints: Vec<Taint>,
    /// What is fetched: `kubelet`, `containerd` with its shim, `runc`, the plugins `ptp` and `host-local`, images.
    pub artifacts: Vec<Artifact>,
    /// See [`SANDBOX_IMAGE`].
    pub sandbox_image: String,
    /// See [`POD_SUBNET`].
    pub pod_subnet: String,
    /// How the API server reaches its kubelet. None: it dials the machine's own address, port 10250.
    pub tunnel: Option<Tunnel>,
    /// More fields of a KubeletConfiguration, such as `evictionHard`; they go before ours where ours are not a matter of
    /// safety.
    pub kubelet: Map<String, Value>,
    /// More tables of containerd's configuration (version 2, TOML), such as mirrors of registries.
    pub containerd: String,
}

/// A connection that the machine opens itself, and by which its kubelet is reached: nothing has to be able to dial it. The
/// program for it, `cooperator-tunnel`, is one of the artifacts. The node's addresses are then left to whoever takes the
/// connection, and the kubelet listens on the machine alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Where the machine dials: `host:port`.
    pub server: String,
    /// The authority of the certificate that is shown there, PEM.
    pub authority_pem: String,
    /// Where the kubelet listens, and is dialled at the other end: no other machine's has this port.
    pub port: u16,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key: a qualified name.
    pub key: String,
    /// Its value; may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A file that the machine fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its name: lowercase letters, digits and hyphens; that of a program or plugin is the program's.
    pub name: String,
    /// Where it is: `https` or `http`; what comes is checked in either case.
    pub url: Url,
    /// Its sha256.
    pub sha256: Digest,
    /// What it is.
    pub form: Form,
}

/// What a fetched file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One program.
    Program,
    /// A tar archive, compressed by gzip, with programs in `bin/`: as containerd publishes its own.
    Programs,
    /// One CNI plugin.
    Plugin,
    /// A tar archive, compressed by gzip, with CNI plugins: as containernetworking publishes them.
    Plugins,
    /// An image, as `docker save` or OCI tools write it, handed to containerd: for what no registry has.
    Image,
}

impl Form {
    /// The word for it in the script.
    const fn word(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Programs => "programs",
            Self::Plugin => "plugin",
            Self::Plugins => "plugins",
            Self::Image => "image",
        }
    }
}

impl UserData {
    /// The script. The same values give the same text.
    ///
    /// # Errors
    /// When a value is not what it has to be, or the script is longer than [`MOST`].
    pub fn render(&self) -> Result<String, Error> {
        let script = self.head()? + &self.rest().render()?;
        if script.len() > MOST { Err(Error::TooLong(script.len())) } else { Ok(script) }
    }

    /// What of it is this machine's own: assignments.
    fn head(&self) -> Result<String, Error> {
        check::all(self)?;
        let labels: Vec<String> = self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut script = "#!/bin/bash\n".to_owned();
        for (name, value) in [
            ("CLAIM", self.claim.to_string()),
            ("NODE", self.node_name.clone()),
            ("LABELS", labels.join(",")),
            ("BOOTSTRAP", self.bootstrap().to_string()),
            ("KUBELET", self.kubelet_config().to_string()),
        ] {
            script.push_str(&format!("{name}={}\n", quote(name, &value)?));
        }
        if let Some(Tunnel { port, .. }) = &self.tunnel {
            script.push_str(&format!("TUNNEL_PORT={port}\n"));
        }
        Ok(script)
    }

    /// What of it is the same for every machine of the installation.
    #[must_use]
    pub fn rest(&self) -> Rest<'_> {
        let tunnel = self.tunnel.as_ref();
        Rest {
            api_server: &self.api_server,
            ca_pem: &self.ca_pem,
            artifacts: &self.artifacts,
            sandbox_image: &self.sandbox_image,
            pod_subnet: &self.pod_subnet,
            containerd: &self.containerd,
            tunnel: tunnel.map(|tunnel| (tunnel.server.as_str(), tunnel.authority_pem.as_str())),
        }
    }

    /// How the kubelet speaks to the API server until it has a certificate. JSON is YAML.
    fn bootstrap(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "join",
            "clusters": [{"name": "join", "cluster": {
                "server": self.api_server, "certificate-authority": "/etc/cooperator/ca.crt"}}],
            "users": [{"name": "join", "user": {"token": self.token.reveal()}}],
            "contexts": [{"name": "join", "context": {"cluster": "join", "user": "join"}}],
        })
    }

    fn kubelet_config(&self) -> Value {
        // Whoever rents a machine has no say in its swap.
        let mut config = Map::from_iter([("failSwapOn".to_owned(), json!(false))]);
        config.extend(self.kubelet.clone());
        if let Value::Object(ours) = self.protected() {
            config.extend(ours);
        }
        Value::Object(config)
    }

    /// What nobody may set otherwise.
    fn protected(&self) -> Value {
        let fixed = [(TAINT_UNVERIFIED, ""), (TAINT_RENTED, self.claim.name.as_str())];
        let fixed = fixed.map(|(key, value)| json!({"key": key, "value": value, "effect": "NoSchedule"}));
        let more = self
            .taints
            .iter()
            .map(|Taint { key, value, effect }| json!({"key": key, "value": value, "effect": effect}));
        let mut fields = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false}, "webhook": {"enabled": true},
                "x509": {"clientCAFile": "/etc/cooperator/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "rotateCertificates": true,
            "serverTLSBootstrap": false,
            "registerWithTaints": fixed.into_iter().chain(more).collect::<Vec<_>>(),
            "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
            "volumePluginDir": "/var/lib/cooperator/kubelet/volume-plugins",
            // A machine that is somebody's keeps nothing of what was trained there.
            "podLogsDir": "/var/log/cooperator/pods",
        });
        if let Some(Tunnel { port, .. }) = &self.tunnel {
            fields["address"] = json!("127.0.0.1");
            fields["port"] = json!(port);
        }
        fields
    }

    /// The fields of a KubeletConfiguration that [`UserData::kubelet`] may not have.
    fn protected_fields(&self) -> BTreeSet<String> {
        self.protected().as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
    }
}

/// One word for the shell, whatever is in it. `what` names the value in the error.
fn quote(what: &str, value: &str) -> Result<String, Error> {
    match shlex::try_quote(value) {
        Ok(quoted) => Ok(quoted.into_owned()),
        Err(_) => Err(Error::Nul(what.to_owned())),
    }
}
