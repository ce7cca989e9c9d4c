//! Machines that no vendor lists.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{pod, rule};

/// A machine of our own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Name, once. A DNS label of at most 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
    pub name: String,
    /// SSH: host name or IP address. 1 to 253 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = rule::host())]
    pub address: Option<String>,
    /// SSH: port, 1 to 65535. Default: 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// SSH: user that may become root without a password. 1 to 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z_][-a-z0-9_]*$')").message("must be the name of a user: lowercase letters, digits, `-` and `_`, beginning with a letter or `_`"))]
    pub user: Option<String>,
    /// SSH: its public host key, the first two words of `/etc/ssh/ssh_host_ed25519_key.pub`. Another is not talked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}$')").message("must be the first two words of `ssh-keyscan -t ed25519` after the host: ssh-ed25519 and 68 characters that begin with AAAAC3NzaC1lZDI1NTE5AAAAI"))]
    pub host_key: Option<String>,
    /// Static: name of its Node. 1 to 253 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(r"self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')").message("must be the name of a Node: lowercase letters, digits, `-` and `.`"))]
    pub node: Option<String>,
    /// What an hour of it is charged at, decimal string in `currency`, 0 to 1000000000, at most 6 decimals. Default: 0.
    #[serde(default = "zero")]
    #[schemars(length(max = 17))]
    #[x_kube(validation = rule::price())]
    pub price_per_hour: String,
    /// Its CPUs, a quantity from 1m to 1024.
    #[schemars(schema_with = "pod::cpu")]
    pub cpu: Quantity,
    /// Its memory, a quantity from 1Mi to 64Ti.
    #[schemars(schema_with = "pod::bytes")]
    pub memory: Quantity,
    /// Its GPUs. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<MachineGpus>,
}

fn zero() -> String {
    "0".into()
}

/// GPUs, all alike.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, KubeSchema)]
pub struct MachineGpus {
    /// Model, lowercase words joined by `-`, such as `rtx-4090`. 1 to 63 characters.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = rule::label())]
    pub model: String,
    /// How many, 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub count: i32,
    /// Memory of each, a quantity from 1Mi to 64Ti.
    #[schemars(schema_with = "pod::bytes")]
    pub memory: Quantity,
}
