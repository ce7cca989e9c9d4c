//! A machine that knows nothing but its first script becomes a node, runs a pod, and leaves nothing. On the cluster that is
//! up, else beside a control plane of its own. Needs root and minutes: `cargo test --workspace --test cluster -- --ignored`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cooperator_cluster::cgroups::Cgroup;
use cooperator_cluster::command::{command, output};
use cooperator_cluster::control_plane::{ControlPlane, Listen};
use cooperator_cluster::file_server::{FileServer, Kind, node_files};
use cooperator_cluster::images::{self, Image};
use cooperator_cluster::processes::{Life, Processes};
use cooperator_cluster::{
    Cluster, Leftovers, Machine, Progress, debian, files, machine, network, paths, tools,
};
use cooperator_core::time::{Clock as _, SystemClock};
use cooperator_join::approve::Approval;
use cooperator_join::{Artifact, Claim, Decision, Expectation, Form, Token, UserData, decide, user_data};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use serde_json::{Map, Value, json};

/// How long each step may take. Builds beside it make a machine slow.
const PATIENCE: Duration = Duration::from_secs(240);
/// The machine, its node, its claim.
const NAME: &str = "joiner";

#[test]
#[ignore = "needs root, and starts a cluster unless one is up"]
fn a_machine_joins_by_its_user_data_runs_a_pod_and_leaves_nothing() {
    let home = Home::find_or_start();
    let progress = Progress::new();
    let (pause, toolbox) = (images::pause(&progress).unwrap(), images::toolbox(&progress).unwrap());
    let images = [pause.clone(), toolbox.clone()];
    let host: std::net::IpAddr = network::HOST_ADDRESS.parse().unwrap();
    let server = FileServer::start((host, 0).into(), &node_files(&images)).unwrap();
    home.clear();
    home.apply(&bootstrappers());

    let token = Token::random().unwrap();
    let expires = Token::expires(SystemClock.now());
    let secret = token.secret(&claim(), expires);
    home.apply(&serde_json::to_value(&secret).unwrap());
    let mut expectation = Expectation {
        token_id: token.id().to_owned(),
        expires,
        node_name: NAME.to_owned(),
        group: claim().group(),
        claim: claim(),
        approved: None,
    };
    for node in ["node0", "system:masters"] {
        home.asks_for_another_node_in_vain(&token, node, &expectation);
    }

    let script = home.user_data(&token, &server, &pause).render().unwrap();
    eprintln!("user-data: {} bytes", script.len());
    let (before, began) = (machine::networks(), Instant::now());
    let machine = Machine::start(&home.dir, NAME, &script).unwrap();
    let step = |what: &str| eprintln!("{what} after {:.1} s", began.elapsed().as_secs_f64());
    home.approves_its_request(&machine, &mut expectation);
    step("approved");
    home.until(&machine, "Ready", || home.node("{.status.conditions[?(@.type=='Ready')].status}") == "True");
    step("Ready");
    has_what_it_was_told(&home);
    runs_a_pod(&home, &machine, &toolbox);
    step("a pod's log read");
    asks_again_in_vain(&home, &token, &expectation);

    leaves_nothing(&machine, &before);
    home.clear();
    home.end();
}

fn claim() -> Claim {
    Claim { namespace: "art".into(), name: NAME.into(), uid: "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".into() }
}

/// Lets tokens of ours ask for certificates.
fn bootstrappers() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "join-test"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": cooperator_join::claim::GROUP}],
    })
}

fn has_what_it_was_told(home: &Home) {
    assert_eq!(home.node("{.metadata.labels.cooperator\\.dev/gpu-model}"), "none");
    let taints = home.node("{range .spec.taints[*]}{.key}={.value}:{.effect} {end}");
    assert!(taints.contains("cooperator.dev/unverified=:NoSchedule"), "{taints}");
    assert!(taints.contains(&format!("cooperator.dev/rented={NAME}:NoSchedule")), "{taints}");
    let address = Machine::find(&home.dir, NAME).unwrap().address.to_string();
    assert_eq!(home.node("{.status.addresses[?(@.type=='InternalIP')].address}"), address);
}

/// Its log is read through the API server, from it the API server is reached, and what runs is on the machine.
fn runs_a_pod(home: &Home, machine: &Machine, image: &Image) {
    let script = format!(
        "/bin/busybox hostname; /bin/busybox nc -w 5 {} 6443 </dev/null && echo reached; \
                          exec /bin/busybox sleep 3600",
        network::NODE_ADDRESS
    );
    home.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "on-joiner", "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}],
            "nodeSelector": {"kubernetes.io/hostname": NAME},
            "containers": [{
                "name": "main", "image": image.reference, "imagePullPolicy": "Never",
                "command": ["/bin/busybox", "sh", "-c", script],
                "resources": {"limits": {"memory": "64Mi", "cpu": "1"}},
            }],
        },
    }));
    home.until(machine, "the pod's log", || {
        home.try_kubectl(&["logs", "on-joiner"]).is_ok_and(|log| log == "on-joiner\nreached\n")
    });
    assert_eq!(home.kubectl(&["exec", "on-joiner", "--", "/bin/busybox", "echo", "hi"]), "hi\n");
    let ps = output("ps", machine.inside("ps").unwrap().args(["-e", "-o", "args="])).unwrap();
    assert!(ps.contains("/bin/busybox sleep 3600"), "{ps}");
}

/// A token is good for one certificate.
fn asks_again_in_vain(home: &Home, token: &Token, expectation: &Expectation) {
    let second = home.ask(token, NAME, "second");
    let decision = decide(&second, std::slice::from_ref(expectation), SystemClock.now());
    assert!(
        matches!(&decision, Decision::Deny { reason, .. } if reason.word() == "SecondCertificate"),
        "{decision:?}"
    );
}

fn leaves_nothing(machine: &Machine, networks: &[String]) {
    machine.stop().unwrap();
    machine.stop().unwrap();
    assert!(!machine.is_running() && !machine.disk().exists());
    assert!(Cgroup::machine(NAME).folders().is_empty());
    assert_eq!(machine::networks(), networks);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("/machines/"), "{mounts}");
}

/// The cluster that the machine joins.
struct Home {
    dir: PathBuf,
    kubeconfig: PathBuf,
    /// It was started for this test, and ends with it.
    ours: bool,
}

impl Home {
    fn find_or_start() -> Self {
        if let Ok(cluster) = Cluster::open(&paths::cluster_state()) {
            return Self { dir: paths::cluster_state(), kubeconfig: cluster.kubeconfig, ours: false };
        }
        let dir = PathBuf::from("/var/tmp/cooperator-machine-test");
        Cluster::down(&dir).unwrap();
        debian::ensure(&Progress::new()).unwrap();
        tools::ensure(&[tools::ETCD, tools::KUBERNETES], &Progress::new()).unwrap();
        files::create_dir(&dir).unwrap();
        network::up().unwrap();
        Cgroup::cluster().up().unwrap();
        let address = network::NODE_ADDRESS.parse().unwrap();
        let listen = Listen { address, api: 6443, etcd: 2379, etcd_peers: 2380, inside: true };
        let processes = Processes::new(&dir, Life::Detached);
        let plane = ControlPlane::start(&dir, &processes, listen).unwrap();
        plane.start_controllers().unwrap();
        let home = Self { kubeconfig: plane.kubeconfig.clone(), dir, ours: true };
        let began = Instant::now();
        while home.try_kubectl(&["get", "serviceaccount", "default"]).is_err() {
            assert!(began.elapsed() < PATIENCE, "no service account");
            std::thread::sleep(Duration::from_millis(200));
        }
        home
    }

    fn end(self) {
        if self.ours {
            Cluster::down(&self.dir).unwrap();
            let left = Leftovers::find(&self.dir);
            assert!(left.is_empty(), "{left}");
            assert!(machine::networks().is_empty());
        }
    }

    /// Removes what this test makes, also that of a run that failed.
    fn clear(&self) {
        for what in [
            "pod/on-joiner",
            "node/joiner",
            "clusterrolebinding/join-test",
            "csr/hostile-node0",
            "csr/hostile-system-masters",
            "csr/hostile-second",
        ] {
            self.kubectl(&["delete", what, "--ignore-not-found", "--force", "--grace-period=0"]);
        }
        let ours = "--selector=cooperator.dev/claim=joiner";
        self.kubectl(&["--namespace=kube-system", "delete", "secret", ours, "--ignore-not-found"]);
        if let Some(machine) = Machine::find(&self.dir, NAME) {
            machine.stop().unwrap();
        }
    }

    fn user_data(&self, token: &Token, server: &FileServer, pause: &Image) -> UserData {
        let artifacts = server.files.iter().map(|file| Artifact {
            name: file.name.clone(),
            url: file.url.parse().unwrap(),
            sha256: cooperator_core::digest::Digest::from_hex(&file.sha256).unwrap(),
            form: match file.kind {
                Kind::Program => Form::Program,
                Kind::Plugin => Form::Plugin,
                Kind::Image => Form::Image,
            },
        });
        UserData {
            api_server: format!("https://{}:6443", network::NODE_ADDRESS),
            ca_pem: std::fs::read_to_string(self.dir.join("pki/ca.crt")).unwrap(),
            token: token.clone(),
            node_name: NAME.into(),
            claim: claim(),
            labels: [("cooperator.dev/gpu-model".to_owned(), "none".to_owned())].into(),
            taints: Vec::new(),
            artifacts: artifacts.collect(),
            sandbox_image: pause.reference.clone(),
            pod_subnet: user_data::POD_SUBNET.into(),
            tunnel: None,
            kubelet: Map::from_iter([(
                "evictionHard".to_owned(),
                json!({"nodefs.available": "1%", "imagefs.available": "1%"}),
            )]),
            containerd: String::new(),
        }
    }

    /// Approves as the operator does: first written down, then approved.
    fn approves_its_request(&self, machine: &Machine, expectation: &mut Expectation) {
        self.until(machine, "its request", || {
            for csr in self.requests() {
                let decision = decide(&csr, std::slice::from_ref(expectation), SystemClock.now());
                if let Decision::Approve(Approval::First { uid, .. }) = decision {
                    expectation.approved = Some(uid);
                    self.kubectl(&["certificate", "approve", csr.metadata.name.as_deref().unwrap()]);
                    return true;
                }
            }
            false
        });
    }

    fn requests(&self) -> Vec<CertificateSigningRequest> {
        let list: Value = serde_json::from_str(&self.kubectl(&["get", "csr", "--output=json"])).unwrap();
        serde_json::from_value(list["items"].clone()).unwrap()
    }

    /// What the API server makes of a request that whoever has the token sends for the node `name`.
    fn ask(&self, token: &Token, name: &str, object: &str) -> CertificateSigningRequest {
        let (key, request) = (self.dir.join("hostile.key"), self.dir.join("hostile.csr"));
        let mut openssl = command(
            "openssl",
            ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        );
        openssl.arg("-keyout").arg(&key).arg("-out").arg(&request);
        openssl.args(["-subj", &format!("/O=system:nodes/CN=system:node:{name}")]);
        output("openssl", &mut openssl).unwrap();
        let pem = std::fs::read(&request).unwrap();
        let object = format!("hostile-{object}");
        let csr: CertificateSigningRequest = serde_json::from_value(json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": object},
            "spec": {
                "signerName": cooperator_join::approve::SIGNER, "usages": ["client auth", "digital signature"],
                "request": serde_json::to_value(k8s_openapi::ByteString(pem)).unwrap(),
            },
        }))
        .unwrap();
        let path = self.dir.join("hostile.json");
        std::fs::write(&path, serde_json::to_string(&csr).unwrap()).unwrap();
        let mut create = command(tools::KUBERNETES.program("kubectl"), ["--kubeconfig=/dev/null"]);
        create.arg(format!("--server=https://{}:6443", network::NODE_ADDRESS));
        create.arg(format!("--certificate-authority={}", self.dir.join("pki/ca.crt").display()));
        create.arg(format!("--token={}", token.reveal())).args(["create", "--filename"]).arg(&path);
        output("kubectl create", &mut create).unwrap();
        let found = self.requests().into_iter().find(|csr| csr.metadata.name.as_ref() == Some(&object));
        found.unwrap()
    }

    fn asks_for_another_node_in_vain(&self, token: &Token, node: &str, expectation: &Expectation) {
        let csr = self.ask(token, node, &node.replace(':', "-"));
        let decision = decide(&csr, std::slice::from_ref(expectation), SystemClock.now());
        assert!(
            matches!(&decision, Decision::Deny { reason, .. } if reason.word() == "NodeName"),
            "{decision:?}"
        );
        self.kubectl(&["certificate", "deny", csr.metadata.name.as_deref().unwrap()]);
    }

    /// Waits for the machine to do something; shows its console when it does not.
    fn until(&self, machine: &Machine, what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            if began.elapsed() > PATIENCE || !machine.is_running() {
                let log = |path: &Path| {
                    files::tail(&String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()), 30)
                };
                let logs = machine.disk().join("var/log/cooperator");
                panic!(
                    "no {what}\nconsole:\n{}\ncontainerd:\n{}\nkubelet:\n{}",
                    log(&machine.console()),
                    log(&logs.join("containerd.log")),
                    log(&logs.join("kubelet.log")),
                );
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// A part of the node; empty while there is none.
    fn node(&self, path: &str) -> String {
        self.try_kubectl(&["get", "node", NAME, &format!("--output=jsonpath={path}")]).unwrap_or_default()
    }

    fn apply(&self, manifest: &Value) {
        let path = self.dir.join("join-test.json");
        files::write_secret(&path, manifest.to_string()).unwrap();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "--filename", path.to_str().unwrap()]);
        files::remove(&path).unwrap();
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap()
    }

    fn try_kubectl(&self, arguments: &[&str]) -> Result<String, cooperator_cluster::command::Error> {
        output("kubectl", tools::kubectl(&self.kubeconfig).args(arguments))
    }
}
