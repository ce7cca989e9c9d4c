//! Machines for rent beside the local cluster: a local cloud, and a mirror of what they fetch at their first start.

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use cooperator_cluster::command::command;
use cooperator_cluster::file_server::{Kind, Served, image_name};
use cooperator_cluster::images::{self, Image};
use cooperator_cluster::network::{HOST_ADDRESS, NODE_ADDRESS, POD_SUBNET};
use cooperator_cluster::processes::{Life, Processes};
use cooperator_cluster::{Progress, files, paths};
use serde_json::{Value, json};

use crate::workspace::Programs;

/// Ports of the cloud and of the mirror, on the host's end of the cluster's cable.
const PORTS: (u16, u16) = (8600, 8601);
/// Where members' machines are reached.
const SSH: u16 = 22;
/// Ports of the node at which machines reach the operator, object storage, and the operator's end of tunnels.
const NODE_PORTS: (u16, u16, u16) = (30080, 30900, 30645);
/// The node's own address on the cables of its pods: what comes to its ports comes from there.
const POD_GATEWAY: &str = "10.244.0.1/32";
/// How long a program has to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the local cloud answers.
#[must_use]
pub fn cloud() -> String {
    format!("http://{HOST_ADDRESS}:{}", PORTS.0)
}

/// Starts both, unless the cloud runs: it knows what it has rented out. The mirror is started anew, since images change.
/// Returns the values with which the chart rents machines, as a file for `helm --values`.
///
/// # Errors
/// When one does not begin.
pub fn start(programs: &Programs, trainer: &Image, progress: &Progress) -> Result<Value> {
    let state = paths::cluster_state();
    let processes = Processes::new(&state, Life::Detached);
    if processes.running("cloud").is_none() {
        let market = paths::workspace().join("e2e/cloud/markets/rented.json");
        let mut cloud =
            command(programs.path("cooperator-cloud")?, ["--listen", &format!("{HOST_ADDRESS}:{}", PORTS.0)]);
        cloud.arg("--market").arg(market).arg("--cluster").arg(&state);
        processes.start("cloud", &cloud)?;
    }
    let pause = images::pause(progress)?;
    let list = state.join("mirror.json");
    // False: it did not run.
    let _ = processes.kill("mirror");
    files::remove(&list)?;
    let address = format!("{HOST_ADDRESS}:{}", PORTS.1);
    let mut mirror = command(programs.path("cooperator-mirror")?, ["--listen", &address]);
    mirror.arg("--image").arg(&pause.archive).arg("--image").arg(&trainer.archive).arg("--list").arg(&list);
    processes.start("mirror", &mirror)?;
    processes.wait(
        "mirror",
        PATIENCE,
        || if list.exists() { Ok(()) } else { Err("no list yet".to_owned()) },
    )?;
    processes.wait("cloud", PATIENCE, || {
        TcpStream::connect((HOST_ADDRESS, PORTS.0)).map(drop).map_err(|error| error.to_string())
    })?;
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let served: Vec<Served> = serde_json::from_str(&text)?;
    let url = |place: usize| served.iter().find(|file| file.name == image_name(place)).map(|file| &file.url);
    // What a host that lets containers finds at the registry.
    files::write(&state.join("images.json"), json!({trainer.reference.clone(): url(1)}).to_string())?;
    Ok(values(&served, &pause))
}

fn values(served: &[Served], pause: &Image) -> Value {
    let artifacts: Vec<Value> = served
        .iter()
        .map(|file| {
            let form = match file.kind {
                Kind::Program => "Program",
                Kind::Plugin => "Plugin",
                Kind::Image => "Image",
            };
            json!({"name": file.name, "url": file.url, "sha256": format!("sha256:{}", file.sha256), "form": form})
        })
        .collect();
    json!({"rentedNodes": {
        "enabled": true,
        "apiServer": format!("https://{NODE_ADDRESS}:6443"),
        "progressUrl": format!("http://{NODE_ADDRESS}:{}", NODE_PORTS.0),
        "storeEndpoint": format!("http://{NODE_ADDRESS}:{}", NODE_PORTS.1),
        "providerPorts": [PORTS.0, SSH],
        // Machines, and the node that passes on what comes to its ports; no pod.
        "sources": [{"cidr": "0.0.0.0/0", "except": [POD_SUBNET]}, {"cidr": POD_GATEWAY}],
        "service": {"type": "NodePort", "nodePorts": {"progress": NODE_PORTS.0, "s3": NODE_PORTS.1}},
        "containers": {"enabled": true},
        // Nothing can dial a machine of the local cloud, as behind most routers.
        "tunnel": {
            "server": format!("{NODE_ADDRESS}:{}", NODE_PORTS.2),
            "service": {"type": "NodePort", "nodePort": NODE_PORTS.2},
        },
        "artifacts": artifacts,
        "setup": {
            "sandboxImage": pause.reference,
            // All machines share this host's disk, which may be nearly full for reasons of its own.
            "kubelet": {"evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%"}},
        },
    }})
}
