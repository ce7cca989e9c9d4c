//! The cluster: pods run, find each other by name, connect as their policies say, and nothing of it is left afterwards.
//! Needs root and minutes: `cargo test --workspace --test cluster -- --ignored`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use cooperator_cluster::command::output;
use cooperator_cluster::processes::{Life, Processes, end_pids};
use cooperator_cluster::{Cluster, Leftovers, Progress, images};

/// Asks until kube-proxy knows the Service, for 20 s at the most.
const FETCH: &str = "for i in $(/bin/busybox seq 100); do /bin/busybox wget -qO- http://$1/ && exit; \
                     /bin/busybox sleep 0.2; done; exit 1";
/// Says nothing when it is answered, else why not. (This busybox's wget dies of a time limit.)
const TRY: &str = "/bin/busybox nc -w 2 $1 8080 </dev/null 2>&1 >/dev/null; true";

#[test]
#[ignore = "needs root, and is the machine's only cluster while it runs"]
fn pods_run_connect_as_policies_say_keep_volumes_and_leave_nothing() {
    let dir = Path::new("/var/tmp/cooperator-cluster-test");
    let enforcer = Path::new(env!("CARGO_BIN_EXE_cooperator-enforcer"));
    let progress = Progress::new();
    Cluster::down(dir).unwrap();
    let cluster = Cluster::up(dir, enforcer, &progress).unwrap();
    let toolbox = images::toolbox(&progress).unwrap();
    cluster.load(&toolbox).unwrap();
    services_and_volumes(&cluster, &toolbox.reference);
    let pods = Pods { cluster: &cluster, image: &toolbox.reference };
    policies(&pods);
    changes(&pods);
    first_acts(&pods);
    without_an_enforcer(&pods, &Processes::new(dir, Life::Detached));

    // The second `up` takes down what is not whole.
    Cluster::up(dir, enforcer, &progress).unwrap();
    // The third finds the second.
    Cluster::up(dir, enforcer, &progress).unwrap();
    Cluster::down(dir).unwrap();
    let left = Leftovers::find(dir);
    assert!(left.is_empty(), "{left}");
    Cluster::down(dir).unwrap();
}

fn services_and_volumes(cluster: &Cluster, image: &str) {
    cluster.apply(&manifests(image)).unwrap();
    let kubectl = |arguments: &[&str]| output("kubectl", cluster.kubectl().args(arguments));
    kubectl(&["wait", "--for=condition=Ready", "pod/web", "pod/client", "--timeout=90s"]).unwrap();
    for name in ["web", "web.default.svc.cluster.local"] {
        assert_eq!(
            kubectl(&["exec", "client", "--", "/bin/busybox", "sh", "-c", FETCH, "sh", name]).unwrap(),
            "kept in a volume\n"
        );
    }
    assert!(kubectl(&["logs", "web"]).unwrap().contains("serving"));
}

struct Pods<'a> {
    cluster: &'a Cluster,
    image: &'a str,
}

impl Pods<'_> {
    fn kubectl(&self, arguments: &[&str]) -> String {
        output("kubectl", self.cluster.kubectl().args(arguments)).unwrap()
    }

    /// A pod `NAMESPACE/NAME` with the label `app: NAME` that listens at 8080, its port `http`, and does `first` before.
    fn start(&self, whole: &str, first: &str) {
        let (namespace, name) = whole.split_once('/').unwrap();
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "main", "image": self.image, "ports": [{"name": "http", "containerPort": 8080}],
                "command": ["/bin/busybox", "sh", "-c", format!("{first}; exec /bin/busybox httpd -f -p 8080 -h /")],
                "readinessProbe": {"httpGet": {"path": "/etc/hostname", "port": 8080}, "periodSeconds": 1},
            }]},
        });
        self.cluster.apply(&pod.to_string()).unwrap();
    }

    fn ready(&self, whole: &str) {
        let (namespace, name) = whole.split_once('/').unwrap();
        let pod = format!("pod/{name}");
        self.kubectl(&["--namespace", namespace, "wait", "--for=condition=Ready", &pod, "--timeout=90s"]);
    }

    fn address(&self, whole: &str) -> String {
        let (namespace, name) = whole.split_once('/').unwrap();
        self.kubectl(&["--namespace", namespace, "get", "pod", name, "--output=jsonpath={.status.podIP}"])
    }

    fn policy(&self, namespace: &str, name: &str, spec: &serde_json::Value) {
        let policy = serde_json::json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        });
        self.cluster.apply(&policy.to_string()).unwrap();
    }

    /// Whether one pod reaches another at 8080: waits a moment for rules that a change has made.
    fn reaches(&self, from: &str, to: &str, expected: bool) {
        let (namespace, name) = from.split_once('/').unwrap();
        let (address, began) = (self.address(to), Instant::now());
        let exec = ["--namespace", namespace, "exec", name, "--", "/bin/busybox", "sh", "-c", TRY, "sh"];
        let exec = [exec.as_slice(), &[address.as_str()]].concat();
        loop {
            let said = self.kubectl(&exec);
            if if expected { said.is_empty() } else { said.contains("No route to host") } {
                eprintln!("{from} {} {to}", if expected { "reaches" } else { "does not reach" });
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "{from} to {to}, expected {expected}: {said}");
        }
    }
}

/// Who reaches whom, as policies of every kind say.
fn policies(pods: &Pods<'_>) {
    for namespace in ["red", "blue"] {
        pods.cluster
            .apply(&format!(
                r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{namespace}"}}}}"#
            ))
            .unwrap();
    }
    let all = ["red/web", "red/client", "red/other", "red/caged", "blue/client", "blue/friend"];
    all.iter().for_each(|pod| pods.start(pod, "true"));
    all.iter().for_each(|pod| pods.ready(pod));
    let app = |name: &str| serde_json::json!({"matchLabels": {"app": name}});
    pods.reaches("red/other", "red/web", true);
    pods.policy("red", "web", &serde_json::json!({
        "podSelector": app("web"),
        "ingress": [
            {"from": [{"podSelector": app("client")}], "ports": [{"port": "http"}]},
            {
                "from": [{
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "blue"}},
                    "podSelector": app("friend"),
                }],
                "ports": [{"port": 8000, "endPort": 8100}],
            },
            {"from": [{"podSelector": app("other")}], "ports": [{"port": 9090}, {"port": 8080, "protocol": "UDP"}]},
        ],
    }));
    let block = format!("{}/32", pods.address("red/other"));
    pods.policy(
        "blue",
        "client",
        &serde_json::json!({
            "podSelector": app("client"),
            "ingress": [{"from": [{"ipBlock": {"cidr": "10.244.0.0/16", "except": [block]}}]}],
        }),
    );
    pods.policy(
        "red",
        "caged",
        &serde_json::json!({
            "podSelector": app("caged"), "policyTypes": ["Egress"],
            "egress": [{"to": [{"podSelector": app("client")}], "ports": [{"port": "http"}]}],
        }),
    );
    for (from, to, expected) in [
        ("red/client", "red/web", true),
        ("red/other", "red/web", false),
        ("blue/friend", "red/web", true),
        ("blue/client", "red/web", false),
        ("red/client", "blue/client", true),
        ("red/other", "blue/client", false),
        ("red/caged", "red/client", true),
        ("red/caged", "red/other", false),
        ("red/caged", "blue/friend", false),
        ("red/caged", "red/web", false),
        ("red/web", "red/caged", true),
        ("red/other", "blue/friend", true),
    ] {
        pods.reaches(from, to, expected);
    }
    // The kubelet asks a pod that a policy closes to all: by the node, which no policy keeps out.
    pods.ready("red/web");
}

/// A label, a policy and a pod that change, change who reaches whom.
fn changes(pods: &Pods<'_>) {
    pods.kubectl(&["--namespace", "red", "label", "--overwrite", "pod", "other", "app=client"]);
    pods.reaches("red/other", "red/web", true);
    pods.kubectl(&["--namespace", "red", "label", "--overwrite", "pod", "other", "app=other"]);
    pods.reaches("red/other", "red/web", false);
    pods.kubectl(&["--namespace", "red", "delete", "networkpolicy", "web"]);
    pods.reaches("red/other", "red/web", true);
    pods.policy("red", "web", &serde_json::json!({"podSelector": {"matchLabels": {"app": "web"}}}));
    pods.reaches("red/client", "red/web", false);
    pods.kubectl(&["--namespace", "red", "delete", "pod", "web"]);
    pods.start("red/web", "true");
    pods.ready("red/web");
    pods.reaches("red/client", "red/web", false);
}

/// The very first thing that a pod does passes, or is refused, as its policies say.
fn first_acts(pods: &Pods<'_>) {
    let (allowed, refused) = (pods.address("red/client"), pods.address("red/other"));
    pods.policy("red", "early", &serde_json::json!({
        "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["early0", "early1", "early2"]}]},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "client"}}}]}],
    }));
    for number in 0..3 {
        let ask = |address: &str| {
            format!(
                "/bin/busybox wget -q -O /dev/null http://{address}:8080/etc/hostname 2>&1 && echo passed"
            )
        };
        let pod = format!("red/early{number}");
        pods.start(&pod, &format!("{}; {}", ask(&refused), ask(&allowed)));
        pods.ready(&pod);
        let said = pods.kubectl(&["--namespace", "red", "logs", &format!("early{number}")]);
        let lines: Vec<&str> = said.lines().collect();
        assert!(matches!(lines[..], [first, "passed"] if first.contains("No route to host")), "{said}");
    }
}

/// Rules stay, and no pod starts.
fn without_an_enforcer(pods: &Pods<'_>, processes: &Processes) {
    end_pids(&[processes.running("enforcer").unwrap()]);
    pods.reaches("red/client", "red/web", false);
    pods.start("blue/late", "true");
    let said = || {
        let (what, of) = ("--output=jsonpath={.items[*].message}", "involvedObject.name=late");
        pods.kubectl(&["--namespace", "blue", "get", "events", what, "--field-selector", of])
    };
    let began = Instant::now();
    while !said().contains("the enforcer does not answer") {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", said());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(pods.address("blue/late"), "");
}

fn manifests(image: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: pages, namespace: default}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: default, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532}}
  containers:
  - name: web
    image: {image}
    command: [/bin/busybox, sh, -c, 'echo kept in a volume >/pages/index.html; echo serving; exec /bin/busybox httpd -f -p 8080 -h /pages']
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
    volumeMounts: [{{name: pages, mountPath: /pages}}]
    securityContext: {{readOnlyRootFilesystem: true}}
  volumes: [{{name: pages, persistentVolumeClaim: {{claimName: pages}}}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: default}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: default}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: client, image: {image}}}]
"#
    )
}
