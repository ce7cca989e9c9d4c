//! The whole cluster, up and down.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cgroups::Cgroup;
use crate::command;
use crate::control_plane::{self, ControlPlane, Listen};
use crate::debian;
use crate::dns;
use crate::enforcer::{self, Enforcer};
use crate::files;
use crate::images::{self, Image};
use crate::leftovers::{self, Leftovers};
use crate::machine::{self, Machine};
use crate::network;
use crate::node::{self, Node};
use crate::processes::{self, Life, Processes};
use crate::progress::Progress;
use crate::tools;

/// Every program of a cluster that is up.
const PROGRAMS: [&str; 9] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "enforcer",
    "containerd",
    "kubelet",
    "kube-proxy",
    "coredns",
];
/// File in the state folder of a cluster of which nothing is missing.
const FINISHED: &str = "finished";
/// Persistent volumes that lie ready, each a folder of the node; their size is what they say, not what they hold.
const VOLUMES: usize = 8;
/// The storage class they have; it is the default one.
pub const STORAGE_CLASS: &str = "local";

/// A cluster that could not be started or taken down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only root can.
    #[error(
        "the local cluster needs root: it makes network namespaces, cgroups and mounts; run this as root"
    )]
    NotRoot,
    /// Something of it is still there.
    #[error("the cluster is down, but this is left: {0}; run `cargo xtask down` again")]
    Left(Leftovers),
    /// There is none.
    #[error("no cluster is up in {}; start it with `cargo xtask cluster up`", .0.display())]
    Absent(PathBuf),
    /// A Debian package is missing.
    #[error(transparent)]
    Debian(#[from] debian::Error),
    /// A tool could not be built.
    #[error(transparent)]
    Tools(#[from] tools::Error),
    /// The network could not be laid.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The control plane did not start.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),
    /// The node did not start.
    #[error(transparent)]
    Node(#[from] node::Error),
    /// The enforcer of NetworkPolicies did not start.
    #[error(transparent)]
    Enforcer(#[from] enforcer::Error),
    /// The DNS server did not start.
    #[error(transparent)]
    Dns(#[from] dns::Error),
    /// A machine beside it could not be removed.
    #[error(transparent)]
    Machine(#[from] machine::Error),
    /// An image could not be built.
    #[error(transparent)]
    Images(#[from] images::Error),
    /// A program could not be stopped.
    #[error(transparent)]
    Process(#[from] processes::Error),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// A cluster that is up. It stays up when this is dropped.
#[derive(Debug, Clone)]
pub struct Cluster {
    dir: PathBuf,
    processes: Processes,
    /// The kubeconfig of an administrator; it works from the host.
    pub kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts a cluster with its state in `dir`, or returns the one that is up there. One a machine.
    /// Installs missing packages and builds missing tools first. `enforcer` is the program of that name, compiled.
    ///
    /// # Errors
    /// When this is not root, a package or build fails, or a program is not ready in time. What has started
    /// by then stays, for its logs; the next `up` begins by taking it down.
    pub fn up(dir: &Path, enforcer: &Path, progress: &Progress) -> Result<Self, Error> {
        if !nix::unistd::Uid::effective().is_root() {
            return Err(Error::NotRoot);
        }
        debian::ensure(progress)?;
        tools::ensure(&tools::ALL, progress)?;
        let _lock = lock(dir)?;
        if let Ok(cluster) = Self::open(dir) {
            return Ok(cluster);
        }
        take_down(dir)?;
        progress
            .during("Starting Kubernetes", Some(Duration::from_secs(20)), || start(dir, enforcer, progress))
    }

    /// The cluster that is up in `dir`.
    ///
    /// # Errors
    /// When one of its programs does not run or its API does not answer.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let processes = Processes::new(dir, Life::Detached);
        let cluster = Self { dir: dir.to_owned(), kubeconfig: dir.join("kubeconfig"), processes };
        let mut ready = cluster.kubectl();
        ready.args(["--request-timeout=5s", "get", "--raw", "/readyz"]);
        let all_run = PROGRAMS.iter().all(|name| cluster.processes.running(name).is_some());
        // Programs that run are no cluster yet: one that could not be finished lacks its volumes.
        if all_run && dir.join(FINISHED).exists() && command::output("/readyz", &mut ready).is_ok() {
            return Ok(cluster);
        }
        Err(Error::Absent(dir.to_owned()))
    }

    /// Takes down the cluster in `dir`, with all it made, whatever state it is in; that none is there is no error.
    ///
    /// # Errors
    /// When something of it cannot be removed: it is named.
    pub fn down(dir: &Path) -> Result<(), Error> {
        let _lock = lock(dir)?;
        take_down(dir)?;
        let left = Leftovers::find(dir);
        if left.is_empty() { Ok(()) } else { Err(Error::Left(left)) }
    }

    /// Hands an image to the node, unless it has it.
    ///
    /// # Errors
    /// When containerd refuses it.
    pub fn load(&self, image: &Image) -> Result<(), Error> {
        load(&Node::new(&self.dir, &self.processes), image)
    }

    /// Kills the node's kubelet at once, as a crash does; what runs in pods goes on. False: it did not run.
    #[must_use]
    pub fn kill_kubelet(&self) -> bool {
        self.processes.kill("kubelet")
    }

    /// Starts a kubelet that was killed again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_kubelet(&self) -> Result<(), Error> {
        Ok(Node::new(&self.dir, &self.processes).run_kubelet()?)
    }

    /// A `kubectl` that speaks to this cluster as administrator.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        tools::kubectl(&self.kubeconfig)
    }

    /// Applies manifests, as `kubectl apply --server-side` does.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub fn apply(&self, manifests: &str) -> Result<(), Error> {
        apply(self.kubectl(), manifests)
    }
}

/// One `up` or `down` at a time; the lock's file lies beside the folder, which `down` removes.
fn lock(dir: &Path) -> Result<fs::File, Error> {
    let path = dir.with_extension("lock");
    if let Some(parent) = path.parent() {
        files::create_dir(parent)?;
    }
    let file = fs::File::create(&path).map_err(files::at("create", &path))?;
    file.lock().map_err(files::at("lock", &path))?;
    Ok(file)
}

fn start(dir: &Path, enforcer: &Path, progress: &Progress) -> Result<Cluster, Error> {
    files::create_dir(dir)?;
    let processes = Processes::new(dir, Life::Detached);
    network::up()?;
    Cgroup::cluster().up()?;
    let address = network::NODE_ADDRESS.parse().unwrap_or(Ipv4Addr::LOCALHOST).into();
    let listen = Listen { address, api: 6443, etcd: 2379, etcd_peers: 2380, inside: true };
    let plane = ControlPlane::start(dir, &processes, listen)?;
    plane.start_controllers()?;
    // Before there can be a pod.
    let enforcer = Enforcer::start(dir, enforcer, &processes, &plane)?;
    let node = Node::new(dir, &processes);
    let pause = images::pause(progress)?;
    node.start_containerd(&pause.reference, &enforcer)?;
    load(&node, &pause)?;
    node.start_kubelet(&plane)?;
    dns::start(dir, &processes, &plane)?;
    apply(plane.kubectl(), &storage(dir)?)?;
    // A pod is refused until the controllers have made its namespace's service account.
    processes.wait("kube-controller-manager", Duration::from_secs(60), || {
        let mut get = plane.kubectl();
        get.args(["--request-timeout=2s", "--namespace=default", "get", "serviceaccount", "default"]);
        command::output("kubectl get serviceaccount", &mut get).map(drop).map_err(|error| error.to_string())
    })?;
    files::write(&dir.join(FINISHED), String::new())?;
    Ok(Cluster { dir: dir.to_owned(), kubeconfig: plane.kubeconfig.clone(), processes })
}

/// Every step takes what is there; none minds that there is nothing.
fn take_down(dir: &Path) -> Result<(), Error> {
    let processes = Processes::new(dir, Life::Detached);
    // Whoever could start another machine. False: there is none.
    let _ = processes.kill("cloud");
    Machine::stop_all(dir)?;
    // The kubelet first: it would start again what is killed below. etcd last: all others write to it.
    processes.stop_all(&[
        "kubelet",
        "containerd",
        "enforcer",
        "coredns",
        "kube-proxy",
        "kube-scheduler",
        "kube-controller-manager",
        "kube-apiserver",
    ])?;
    Cgroup::cluster().down()?;
    processes::end_pids(&leftovers::processes(dir));
    network::down()?;
    Node::new(dir, &processes).remove_folders();
    // No mount of the node is visible here: removing the folder touches nothing but the folder.
    Ok(files::remove(dir)?)
}

fn load(node: &Node<'_>, image: &Image) -> Result<(), Error> {
    let mut list = node.ctr()?;
    list.args(["images", "list", "--quiet"]).arg(format!("name=={}", image.reference));
    if command::output("ctr images list", &mut list)?.trim() == image.reference {
        return Ok(());
    }
    let mut import = node.ctr()?;
    import.args(["images", "import"]).arg(&image.archive);
    command::output(&format!("ctr images import {}", image.archive.display()), &mut import)?;
    Ok(())
}

fn apply(mut kubectl: Command, manifests: &str) -> Result<(), Error> {
    kubectl.args(["apply", "--server-side", "--filename", "-"]);
    let failed = |source| command::Error::Start {
        what: "kubectl apply".to_owned(),
        program: "kubectl".to_owned(),
        source,
    };
    let mut child =
        kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A kubectl that does not read to the end says why on stderr.
        drop(stdin.write_all(manifests.as_bytes()));
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(command::Error::Refused {
        what: "kubectl apply".to_owned(),
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    }
    .into())
}

/// A default storage class and volumes that lie ready: claims bind to them, no provisioner is needed.
fn storage(dir: &Path) -> Result<String, Error> {
    let mut items = vec![serde_json::json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
    })];
    for number in 0..VOLUMES {
        let path = dir.join("volumes").join(number.to_string());
        files::create_dir(&path)?;
        // Pods run as users of their own choice.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .map_err(files::at("open to all", &path))?;
        items.push(serde_json::json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": format!("local-{number}")},
            "spec": {
                "capacity": {"storage": "100Gi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
                "storageClassName": STORAGE_CLASS, "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node::NAME]}]}]}},
            },
        }));
    }
    Ok(serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}
