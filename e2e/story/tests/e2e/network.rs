//! What may connect to what, under the policies of chart and operator, as the local cluster enforces them.

use std::collections::BTreeMap;
use std::net::TcpListener;

use cooperator_cluster::command::{command, output};
use cooperator_cluster::network::{HOST_INTERFACE, NODE_ADDRESS};
use cooperator_story::PRESIDENTS;
use cooperator_story::cluster::Cluster;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::cluster::{SYSTEM, connect, told};
use crate::probes::{Outcome, PORT, Probe, Probes};
use crate::senators::{SENATORS, founded};

/// An address of documents, which stands for the internet's: while the test runs, it is this machine's.
const WEB: &str = "203.0.113.7";

/// What everybody of a Collective may reach besides its own tasks.
const COMMON: [&str; 2] = ["names", "object storage"];
/// All that no policy of ours guards, because anybody may call it or it is not ours.
const OPEN: [&str; 12] = [
    "names",
    "the operator's metrics",
    "kube-apiserver's Service",
    "kube-apiserver",
    "the kubelet",
    "the gateway",
    "the gateway's metrics",
    "the senators' gateway",
    "the senators' gateway's metrics",
    "a stranger's pod",
    "the web",
    "a private address",
];
/// Where clouds keep what a machine may know. Whether a stranger gets there is the machine's matter, not a policy's.
const METADATA: &str = "the metadata address";

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A pod of a Collective of this component, as its policies know it.
fn of(collective: &'static str, name: &'static str, component: &str) -> Probe {
    let part = match component {
        "server" | "gateway" => component,
        _ => "run",
    };
    let part = format!("cooperator-{part}");
    let mut all = labels(&[
        ("app.kubernetes.io/managed-by", "cooperator"),
        ("app.kubernetes.io/name", &part),
        ("app.kubernetes.io/component", component),
        ("cooperator.dev/collective", collective),
    ]);
    if component == "server" {
        all.extend(labels(&[("cooperator.dev/kind", "deployment"), ("cooperator.dev/name", PRESIDENTS)]));
    }
    Probe { namespace: collective, name, labels: all }
}

/// A pod of the release.
fn of_release(name: &'static str, component: &str) -> Probe {
    let labels = labels(&[
        ("app.kubernetes.io/name", "cooperator"),
        ("app.kubernetes.io/instance", "cooperator"),
        ("app.kubernetes.io/component", component),
    ]);
    Probe { namespace: SYSTEM, name, labels }
}

/// Who tries, and all that it may reach: whatever is not named must be refused.
fn sources() -> Vec<(Probe, Vec<&'static str>)> {
    let with = |more: &[&'static str]| [&COMMON, more].concat();
    let run = with(&["the progress URL"]);
    let web = ["kube-apiserver's Service", "kube-apiserver", "the web", "a private address"];
    vec![
        (of(PRESIDENTS, "probe-train", "train"), run.clone()),
        (of(PRESIDENTS, "probe-settle", "settle"), run.clone()),
        (of(PRESIDENTS, "probe-ingest", "ingest"), with(&["the progress URL", "the web"])),
        (of(PRESIDENTS, "probe-import", "import"), with(&["the progress URL", "the web"])),
        (of(PRESIDENTS, "probe-server", "server"), with(&[])),
        (of(PRESIDENTS, "probe-gateway", "gateway"), [with(&["the server"]), web.to_vec()].concat()),
        (of(SENATORS, "probe-train", "train"), run),
        (of(SENATORS, "probe-gateway", "gateway"), [with(&[]), web.to_vec()].concat()),
        (of_release("probe-operator", "operator"), [with(&["Garage's admin API"]), web.to_vec()].concat()),
        (of_release("probe-garage", "garage"), vec![]),
        (Probe { namespace: PRESIDENTS, name: "probe-stranger", labels: labels(&[]) }, OPEN.to_vec()),
        (Probe { namespace: "default", name: "probe-stranger", labels: labels(&[]) }, OPEN.to_vec()),
    ]
}

/// Pods that only listen: what a pod asks of itself passes no policy.
fn listeners() -> [Probe; 3] {
    [
        of(PRESIDENTS, "probe-run", "train"),
        of(SENATORS, "probe-run", "train"),
        Probe { namespace: "default", name: "probe-pod", labels: labels(&[]) },
    ]
}

/// What is tried: its name and `host:port`.
async fn targets(cluster: &Cluster, listening: &Probes) -> Vec<(&'static str, String)> {
    let [run, other_run, stranger] = listeners();
    let probe = async |probe: &Probe| format!("{}:{PORT}", listening.address(probe).await);
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), PRESIDENTS);
    let servers =
        ListParams::default().labels("app.kubernetes.io/name=cooperator-server,!cooperator.dev/probe");
    let servers = pods.list(&servers).await.unwrap().items;
    let server = servers.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.clone()).unwrap();
    let at = |service: &str, namespace: &str, port: u16| format!("{service}.{namespace}.svc:{port}");
    let node = |port: u16| format!("{NODE_ADDRESS}:{port}");
    vec![
        ("names", node(53)),
        ("object storage", at("cooperator-garage", SYSTEM, 3900)),
        ("Garage's admin API", at("cooperator-garage", SYSTEM, 3903)),
        ("the progress URL", at("cooperator-operator", SYSTEM, 8080)),
        ("the operator's metrics", at("cooperator-operator", SYSTEM, 9090)),
        ("kube-apiserver's Service", at("kubernetes", "default", 443)),
        ("kube-apiserver", node(6443)),
        ("the kubelet", node(10250)),
        ("the gateway", at("presidents-gateway", PRESIDENTS, 80)),
        ("the gateway's metrics", at("presidents-gateway", PRESIDENTS, 9090)),
        ("the server", format!("{server}:8000")),
        ("a run", probe(&run).await),
        ("the senators' gateway", at("senators-gateway", SENATORS, 80)),
        ("the senators' gateway's metrics", at("senators-gateway", SENATORS, 9090)),
        ("a run of the senators", probe(&other_run).await),
        ("a stranger's pod", probe(&stranger).await),
        (METADATA, "169.254.169.254:80".to_owned()),
        ("the web", format!("{WEB}:443")),
        ("a private address", "192.168.77.254:443".to_owned()),
    ]
}

/// Something on the web that answers, for as long as this lives.
struct Web;

impl Web {
    fn open() -> Self {
        ip("replace").unwrap();
        let listener = TcpListener::bind((WEB, 443)).unwrap();
        // It ends with the test's process; whoever connects is hung up on.
        std::thread::spawn(move || while listener.accept().is_ok() {});
        Self
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(ip("delete"));
    }
}

fn ip(action: &str) -> Result<String, cooperator_cluster::command::Error> {
    let address = format!("{WEB}/32");
    output("ip address", &mut command("ip", ["address", action, &address, "dev", HOST_INTERFACE]))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the cluster of `cargo xtask test`"]
async fn every_pod_reaches_what_its_task_needs_and_nothing_else() {
    told().await;
    founded().await;
    let cluster = connect().await;
    let _web = Web::open();
    let (sources, allowed): (Vec<Probe>, Vec<_>) = sources().into_iter().unzip();
    Probes::remove_all(&cluster).await;
    let listening = Probes::start(&cluster, listeners().to_vec()).await;
    let probes = Probes::start(&cluster, sources.clone()).await;
    let targets = targets(&cluster, &listening).await;
    let addresses: Vec<String> = targets.iter().map(|(_, address)| address.clone()).collect();
    let found = tokio::task::block_in_place(|| probes.tries(&addresses));
    Probes::remove_all(&cluster).await;

    let (mut wrong, mut counts) = (Vec::new(), [0, 0]);
    for (number, (target, _)) in targets.iter().enumerate() {
        eprintln!("{:>3}  {target}", number + 1);
    }
    for ((source, allowed), outcomes) in sources.iter().zip(&allowed).zip(&found) {
        let who = format!("{}/{}", source.namespace, source.name.trim_start_matches("probe-"));
        let mut line = format!("{who:<28}");
        for ((target, _), outcome) in targets.iter().zip(outcomes) {
            if *target == METADATA && source.labels.is_empty() {
                line += "    -";
                continue;
            }
            let passed = *outcome == Outcome::Passed;
            counts[usize::from(passed)] += 1;
            line += if passed { "  yes" } else { "   no" };
            if passed != allowed.contains(target) {
                let what = if passed { "reaches" } else { "does not reach" };
                wrong.push(format!("{who} {what} {target}"));
            }
        }
        eprintln!("{line}");
    }
    eprintln!("{} connections tried: {} passed, {} refused", counts[0] + counts[1], counts[1], counts[0]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
