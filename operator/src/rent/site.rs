//! How rented machines reach this installation, from outside of the cluster's network.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use cooperator_core::digest::Digest;
use cooperator_join::{Artifact, Form};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::program;
use crate::args::Args;

/// Addresses and programs that a rented machine is given.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// The API server's URL.
    pub api_server: String,
    /// The certificate authority of the API server, PEM.
    pub authority: String,
    /// What a machine fetches at its first start.
    pub artifacts: Vec<Artifact>,
    /// What is other than usual about its containerd and kubelet.
    pub setup: Setup,
    /// Where the operator stands in for the kubelets of virtual nodes; none: containers are not rented.
    pub kubelet: Option<Kubelet>,
}

/// What the API server is told of a virtual node's kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubelet {
    /// Address of this pod.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

/// How machines are set up, where that is other than usual.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Setup {
    /// Image of a pod's sandbox.
    pub sandbox_image: Option<String>,
    /// Tables of containerd's configuration, TOML.
    pub containerd: String,
    /// Fields of a KubeletConfiguration.
    pub kubelet: Map<String, Value>,
}

/// The file of `--rented-machines`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct File {
    artifacts: Vec<Fetched>,
    setup: Setup,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fetched {
    name: String,
    url: Url,
    sha256: Digest,
    form: FormName,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum FormName {
    Program,
    Programs,
    Plugin,
    Plugins,
    Image,
}

impl Site {
    /// As the flags name it, where machines reach this installation at that URL; none: it rents no machines.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it must be.
    pub fn read(args: &Args, outside_url: Option<&str>) -> Result<Option<Self>> {
        let Some(api_server) = args.rented_api_server.clone() else { return Ok(None) };
        let path = &args.rented_authority;
        let authority =
            fs::read_to_string(path).with_context(|| format!("--rented-authority {}", path.display()))?;
        let File { artifacts, setup } = match &args.rented_machines {
            None => File::default(),
            Some(path) => {
                let what = || format!("--rented-machines {}", path.display());
                let text = fs::read_to_string(path).with_context(what)?;
                serde_json::from_str(&text).with_context(what)?
            }
        };
        let artifacts = artifacts.into_iter().map(|fetched| Artifact {
            name: fetched.name,
            url: fetched.url,
            sha256: fetched.sha256,
            form: match fetched.form {
                FormName::Program => Form::Program,
                FormName::Programs => Form::Programs,
                FormName::Plugin => Form::Plugin,
                FormName::Plugins => Form::Plugins,
                FormName::Image => Form::Image,
            },
        });
        let mut artifacts: Vec<Artifact> = artifacts.collect();
        if args.rented_tunnel.is_some() && artifacts.iter().all(|artifact| artifact.name != program::NAME) {
            let base = outside_url.context("--rented-tunnel needs --rented-progress-url")?;
            artifacts.push(program::artifact(&args.rented_tunnel_program, base)?);
        }
        let address = args.pod_ip.filter(|_| args.rented_containers);
        let kubelet = address.map(|address| Kubelet { address, port: args.kubelet_listen.port() });
        Ok(Some(Self { api_server, authority, artifacts, setup, kubelet }))
    }
}
