//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command;
use crate::files;
use crate::network;
use crate::pki::{self, Authority, Subject};
use crate::processes::{self, Processes};
use crate::tools;

/// How long each part has to become ready. Builds beside it can make a machine slow.
const PATIENCE: Duration = Duration::from_secs(120);
/// What pods have asked of the API server, a line of JSON each, in the folder `log` of a cluster.
pub const AUDIT_LOG: &str = "audit.log";

/// A control plane that did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// A program did not start or did not become ready.
    #[error(transparent)]
    Process(#[from] processes::Error),
    /// A file could not be written.
    #[error(transparent)]
    Files(#[from] files::Error),
}

/// Where the API server and its etcd listen.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    /// The address clients reach the API server by.
    pub address: IpAddr,
    /// The API server's port.
    pub api: u16,
    /// etcd's port for clients, on loopback.
    pub etcd: u16,
    /// etcd's port for peers, of which there are none; it opens it all the same.
    pub etcd_peers: u16,
    /// The programs run in the cluster's network namespace; else on the host's loopback.
    pub inside: bool,
}

/// A control plane under way.
pub struct ControlPlane<'a> {
    dir: PathBuf,
    processes: &'a Processes,
    listen: Listen,
    /// The authority that signs for it.
    pub authority: Authority,
    /// The kubeconfig of an administrator.
    pub kubeconfig: PathBuf,
}

impl<'a> ControlPlane<'a> {
    /// Starts etcd and kube-apiserver and waits until it answers.
    ///
    /// # Errors
    /// When a certificate cannot be made or a program does not become ready: with the end of its log.
    pub fn start(dir: &Path, processes: &'a Processes, listen: Listen) -> Result<Self, Error> {
        let authority = Authority::create(&dir.join("pki"))?;
        let admin = authority.sign(
            "admin",
            &Subject { name: "cooperator-admin", group: Some("system:masters"), ..Subject::default() },
        )?;
        let kubeconfig = dir.join("kubeconfig");
        authority.kubeconfig(&kubeconfig, &format!("https://{}:{}", listen.address, listen.api), &admin)?;
        let plane = Self { dir: dir.to_owned(), processes, listen, authority, kubeconfig };
        plane.start_etcd()?;
        plane.start_api_server()?;
        Ok(plane)
    }

    /// Starts what acts on objects: controllers and the scheduler. An API for tests does without.
    ///
    /// # Errors
    /// When a program cannot be started.
    pub fn start_controllers(&self) -> Result<(), Error> {
        let mut manager = self.program(&tools::KUBERNETES.program("kube-controller-manager"));
        manager
            .arg(flag("kubeconfig", &self.kubeconfig))
            .arg(flag("service-account-private-key-file", &self.pki("service-accounts.key")))
            .arg(flag("root-ca-file", &self.authority.pair.certificate))
            .arg(flag("cluster-signing-cert-file", &self.authority.pair.certificate))
            .arg(flag("cluster-signing-key-file", &self.authority.pair.key))
            .args(["--use-service-account-credentials=true", "--leader-elect=false"])
            .arg(format!("--cluster-cidr={}", network::POD_SUBNET));
        self.processes.start("kube-controller-manager", &manager)?;
        let mut scheduler = self.program(&tools::KUBERNETES.program("kube-scheduler"));
        scheduler.arg(flag("kubeconfig", &self.kubeconfig)).arg("--leader-elect=false");
        self.processes.start("kube-scheduler", &scheduler)?;
        Ok(())
    }

    /// A `kubectl` that speaks to this API server as administrator.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        tools::kubectl(&self.kubeconfig)
    }

    fn start_etcd(&self) -> Result<(), Error> {
        let clients = format!("http://127.0.0.1:{}", self.listen.etcd);
        let peers = format!("http://127.0.0.1:{}", self.listen.etcd_peers);
        let mut etcd = self.program(&tools::ETCD.program("etcd"));
        etcd.arg(flag("data-dir", &self.dir.join("etcd")))
            .arg(format!("--listen-client-urls={clients}"))
            .arg(format!("--advertise-client-urls={clients}"))
            .arg(format!("--listen-peer-urls={peers}"))
            .arg(format!("--initial-advertise-peer-urls={peers}"))
            .arg(format!("--initial-cluster=default={peers}"))
            // The cluster does not outlive the machine, so its objects need not either.
            .args(["--unsafe-no-fsync=true", "--log-level=warn"]);
        self.processes.start("etcd", &etcd)?;
        Ok(())
    }

    fn start_api_server(&self) -> Result<(), Error> {
        let listen = self.listen;
        let serving = self.authority.sign(
            "apiserver",
            &Subject {
                name: "kube-apiserver",
                names: &["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
                addresses: &[listen.address, [127, 0, 0, 1].into(), [10, 96, 0, 1].into()],
                ..Subject::default()
            },
        )?;
        let tokens = self.authority.service_account_keys()?;
        let mut server = self.program(&tools::KUBERNETES.program("kube-apiserver"));
        server
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", listen.etcd))
            .arg(format!(
                "--bind-address={}",
                if listen.inside { "0.0.0.0".to_owned() } else { listen.address.to_string() }
            ))
            .arg(format!("--advertise-address={}", listen.address))
            .arg(format!("--secure-port={}", listen.api))
            .arg(format!("--service-cluster-ip-range={}", network::SERVICE_SUBNET))
            .arg(flag("cert-dir", &self.dir.join("pki")))
            .arg(flag("tls-cert-file", &serving.certificate))
            .arg(flag("tls-private-key-file", &serving.key))
            .arg(flag("client-ca-file", &self.authority.pair.certificate))
            .arg(flag("service-account-key-file", &tokens.certificate))
            .arg(flag("service-account-signing-key-file", &tokens.key))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .args(["--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction"])
            .args(["--allow-privileged=true", "--enable-bootstrap-token-auth=true"]);
        if listen.inside {
            // Called as kubeadm calls it.
            let name = "kube-apiserver-kubelet-client";
            let subject = Subject { name, group: Some("system:masters"), ..Subject::default() };
            let client = self.authority.sign("apiserver-kubelet-client", &subject)?;
            server
                .arg(flag("kubelet-client-certificate", &client.certificate))
                .arg(flag("kubelet-client-key", &client.key))
                .arg("--kubelet-preferred-address-types=InternalIP");
            let policy = self.dir.join("audit.json");
            files::write(&policy, audit_policy().to_string())?;
            server
                .arg(flag("audit-policy-file", &policy))
                // MiB. A test reads from it which rights are used; one of 100 would be put away in the midst of two hundred rentals.
                .arg("--audit-log-maxsize=4096")
                .arg(flag("audit-log-path", &self.dir.join("log").join(AUDIT_LOG)));
        } else {
            // Nothing reaches the `kubernetes` Service where there is no node, and loopback is no endpoint.
            server.arg("--endpoint-reconciler-type=none");
        }
        self.processes.start("kube-apiserver", &server)?;
        self.processes.wait("kube-apiserver", PATIENCE, || {
            let mut ready = self.kubectl();
            ready.args(["--request-timeout=2s", "get", "--raw", "/readyz"]);
            command::output("/readyz", &mut ready).map(drop).map_err(|error| error.to_string())
        })?;
        Ok(())
    }

    fn program(&self, program: &Path) -> Command {
        if self.listen.inside { network::inside(program) } else { Command::new(program) }
    }

    fn pki(&self, file: &str) -> PathBuf {
        self.dir.join("pki").join(file)
    }
}

/// Every request of a service account is noted, but for those of Kubernetes' own controllers; what it holds is not.
fn audit_policy() -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
            {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
            {"level": "None"},
        ],
    })
}

/// `--name=path`: paths need not be UTF-8.
pub(crate) fn flag(name: &str, path: &Path) -> std::ffi::OsString {
    let mut flag = std::ffi::OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}
