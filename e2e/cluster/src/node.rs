//! The node: containerd, kubelet and kube-proxy, in the cluster's network namespace and a mount namespace of
//! their own.
//!
//! Their mounts (container roots, volumes, network namespaces of pods) are seen by no one else and vanish
//! with the last of the processes, however they end. In that namespace the folders they have fixed names for
//! are folders of ours, so that another containerd on the machine is not disturbed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{self, command};
use crate::control_plane::{ControlPlane, flag};
use crate::enforcer::{self, Enforcer};
use crate::files;
use crate::network;
use crate::pki::{self, Subject};
use crate::processes::{self, Processes};
use crate::tools;

/// The node's name in the cluster.
pub const NAME: &str = "node0";
/// How long the node has to become ready.
const PATIENCE: Duration = Duration::from_secs(120);
/// Folders whose names are built into containerd, its shims, CNI or the kubelet.
const FIXED: [&str; 7] = [
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];
/// Binds pairs of folders, then becomes containerd: sh -c SCRIPT sh CONFIG SOURCE TARGET ...
const ENTER: &str = r#"config=$1; shift
while [ $# -gt 0 ]; do mount --bind "$1" "$2"; shift 2; done
exec containerd --config "$config""#;

/// A node that did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program did not start or did not become ready.
    #[error(transparent)]
    Process(#[from] processes::Error),
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// The node's folder and processes.
pub struct Node<'a> {
    dir: PathBuf,
    processes: &'a Processes,
}

impl<'a> Node<'a> {
    /// The node of the cluster whose state lies in `dir`.
    #[must_use]
    pub fn new(dir: &Path, processes: &'a Processes) -> Self {
        Self { dir: dir.join("node"), processes }
    }

    /// Starts containerd and waits until it answers. `pause` is the image that holds a pod's namespaces; no pod starts
    /// before the enforcer that listens at `enforcer` has rules for it.
    ///
    /// # Errors
    /// When a file cannot be written or containerd is not ready in time.
    pub fn start_containerd(&self, pause: &str, enforcer: &Enforcer) -> Result<(), Error> {
        self.make_folders()?;
        let (config, cni) = (self.dir.join("containerd.toml"), self.dir.join("cni"));
        files::write(&config, containerd_config(pause, &cni, &enforcer.plugins))?;
        files::create_dir(&cni)?;
        files::write(&cni.join("10-coop.conflist"), cni_config(&enforcer.socket).to_string())?;
        let mut enter = network::inside("unshare");
        enter.args(["--mount", "--propagation", "private", "--", "sh", "-ec", ENTER, "sh"]).arg(&config);
        for target in FIXED {
            enter.arg(self.own(target)).arg(target);
        }
        self.processes.start("containerd", &enter)?;
        self.processes.wait("containerd", PATIENCE, || {
            // The socket is there once the namespace is made, so `ctr` cannot ask another containerd.
            if !self.own("/run/containerd").join("containerd.sock").exists() {
                return Err("its socket is not there".to_owned());
            }
            let mut version = self.ctr().map_err(|error| error.to_string())?;
            command::output("ctr version", version.arg("version"))
                .map(drop)
                .map_err(|error| error.to_string())
        })?;
        Ok(())
    }

    /// Starts kubelet and kube-proxy and waits until the node is Ready.
    ///
    /// # Errors
    /// When a file cannot be written or the node is not Ready in time: with the end of the kubelet's log.
    pub fn start_kubelet(&self, plane: &ControlPlane<'_>) -> Result<(), Error> {
        let address = network::NODE_ADDRESS.parse().map(|address| vec![address]).unwrap_or_default();
        let subject = Subject {
            name: &format!("system:node:{NAME}"),
            group: Some("system:nodes"),
            names: &[NAME],
            addresses: &address,
        };
        let pair = plane.authority.sign("kubelet", &subject)?;
        let [config, kubeconfig] = self.kubelet_files();
        plane.authority.kubeconfig(&kubeconfig, &format!("https://{}:6443", network::NODE_ADDRESS), &pair)?;
        files::write(&config, format!("{:#}", kubelet_config(&plane.authority.pair.certificate, &pair)))?;
        self.run_kubelet()?;
        self.start_proxy(plane)?;
        self.processes.wait("kubelet", PATIENCE, || {
            let mut get = plane.kubectl();
            get.args(["get", "node", NAME, "--request-timeout=2s", "--output"]);
            get.arg("jsonpath={.status.conditions[?(@.type=='Ready')].status} {.status.conditions[?(@.type=='Ready')].message}");
            let state = command::output("kubectl get node", &mut get).map_err(|error| error.to_string())?;
            if state.starts_with("True") { Ok(()) } else { Err(state) }
        })?;
        Ok(())
    }

    /// Starts the kubelet by the files that [`Self::start_kubelet`] wrote; also after it was killed.
    ///
    /// # Errors
    /// When containerd does not run, or it cannot be started.
    pub fn run_kubelet(&self) -> Result<(), Error> {
        let [config, kubeconfig] = self.kubelet_files();
        let mut kubelet = self.inside(tools::KUBERNETES.program("kubelet"))?;
        kubelet
            .arg(flag("config", &config))
            .arg(flag("kubeconfig", &kubeconfig))
            .arg(format!("--hostname-override={NAME}"))
            .arg(format!("--node-ip={}", network::NODE_ADDRESS));
        self.processes.start("kubelet", &kubelet)?;
        Ok(())
    }

    /// Its configuration, and how it reaches the API server.
    fn kubelet_files(&self) -> [PathBuf; 2] {
        ["kubelet.json", "kubelet.kubeconfig"].map(|name| self.dir.join(name))
    }

    fn start_proxy(&self, plane: &ControlPlane<'_>) -> Result<(), Error> {
        let mut proxy = network::inside(tools::KUBERNETES.program("kube-proxy"));
        proxy
            .arg(flag("kubeconfig", &plane.kubeconfig))
            .arg(format!("--hostname-override={NAME}"))
            .arg(format!("--cluster-cidr={}", network::POD_SUBNET))
            .arg("--proxy-mode=iptables")
            // These limits belong to the whole machine, and it may not be ours to set them.
            .args(["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"])
            .arg("--conntrack-tcp-timeout-close-wait=0");
        self.processes.start("kube-proxy", &proxy)?;
        Ok(())
    }

    /// A `ctr` that speaks to this containerd about the kubelet's images and containers.
    ///
    /// # Errors
    /// When containerd does not run.
    pub fn ctr(&self) -> Result<Command, Error> {
        let mut ctr = self.inside("ctr")?;
        ctr.args(["--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io"]);
        Ok(ctr)
    }

    /// A command in both of the node's namespaces.
    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command, Error> {
        let Some(pid) = self.processes.running("containerd") else {
            return Err(processes::Error::Ended {
                name: "containerd".to_owned(),
                log: self.processes.log("containerd"),
                tail: String::new(),
            }
            .into());
        };
        let mut nsenter = command("nsenter", [format!("--net=/run/netns/{}", network::NAMESPACE)]);
        nsenter.arg(format!("--mount=/proc/{pid}/ns/mnt")).arg("--").arg(program);
        Ok(nsenter)
    }

    /// Makes our folders and those they are bound to; the latter are written down first, to be undone.
    fn make_folders(&self) -> Result<(), Error> {
        let absent: Vec<&str> = FIXED.into_iter().filter(|target| !Path::new(target).exists()).collect();
        files::create_dir(&self.dir)?;
        files::write(&self.dir.join("created.json"), serde_json::json!(absent).to_string())?;
        for target in FIXED {
            files::create_dir(&self.own(target))?;
            files::create_dir(Path::new(target))?;
        }
        Ok(())
    }

    /// Removes the folders that `start_containerd` made outside of the state folder, if they are empty,
    /// as they are unless someone else has used them since.
    pub fn remove_folders(&self) {
        let text = fs::read_to_string(self.dir.join("created.json")).unwrap_or_default();
        let created: Vec<String> = serde_json::from_str(&text).unwrap_or_default();
        for folder in created.iter().filter(|folder| FIXED.contains(&folder.as_str())) {
            drop(fs::remove_dir(folder));
        }
    }

    /// The folder of ours that stands for one with a fixed name.
    fn own(&self, target: &str) -> PathBuf {
        self.dir.join("fixed").join(target.trim_start_matches('/').replace('/', "-"))
    }
}

fn containerd_config(pause: &str, cni: &Path, plugins: &Path) -> String {
    // A basic string of TOML is written like one of JSON.
    let [cni, plugins] = [cni, plugins].map(|path| serde_json::json!(path.to_string_lossy()));
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  # Without the capability CAP_SYS_RESOURCE nobody may lower an OOM score, and runc would die of trying.
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {plugins}
    conf_dir = {cni}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#
    )
}

/// Every pod has a cable of its own to the node, which routes: so all that pods send each other passes its rules, whether
/// or not the kernel can make bridges do that.
fn cni_config(socket: &Path) -> serde_json::Value {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "coop",
        "plugins": [
            {"type": "ptp", "ipMasq": true,
             "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]],
                      "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
            {"type": enforcer::PLUGIN, "socket": socket},
        ],
    })
}

fn kubelet_config(authority: &Path, pair: &pki::Pair) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "x509": {"clientCAFile": authority},
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pair.certificate,
        "tlsPrivateKeyFile": pair.key,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", crate::cgroups::NAME),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "clusterDNS": [network::NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "failSwapOn": false,
        "maxPods": 200,
        // Our images come from no registry: collected ones would be lost, however full the disk is.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    })
}
