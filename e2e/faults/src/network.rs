//! Toxiproxy before the gates: what makes the network between an operator and its servers bad, and good again.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cooperator_cluster::processes::{Life, Processes};
use cooperator_cluster::tools::{self, TOXIPROXY};
use cooperator_cluster::{Progress, ports};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::call::{SERVERS, Server};
use crate::fault::{Fault, Kind};

/// Longest wait for the proxy to come up.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
/// Its name among the processes.
const NAME: &str = "toxiproxy";

/// A running Toxiproxy; it ends when this is dropped.
pub struct Network {
    /// Where each of [`SERVERS`] is reached through it.
    pub doors: [SocketAddr; 3],
    control: Control,
    processes: Processes,
}

/// The way to change it. Clones are the same.
#[derive(Clone)]
pub struct Control {
    http: Client,
    url: String,
}

impl Network {
    /// Starts one before these gates; builds it first if the cache lacks it.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(folder: &Path, gates: [SocketAddr; 3]) -> Result<Self> {
        tools::ensure(&[TOXIPROXY], &Progress::new())?;
        let processes = Processes::new(&folder.join(NAME), Life::Tied);
        let [port] = ports::free()?;
        let mut command = Command::new(TOXIPROXY.program("toxiproxy"));
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]).env("LOG_LEVEL", "warn");
        processes.start(NAME, &command)?;
        let http = Client::builder().timeout(PATIENCE).build()?;
        let control = Control { http, url: format!("http://127.0.0.1:{port}") };
        let mut network = Self { doors: gates, control, processes };
        network.answers().await?;
        for (door, server) in network.doors.iter_mut().zip(SERVERS) {
            *door = network.control.open(server, *door).await?;
        }
        Ok(network)
    }

    /// The way to change it.
    pub const fn control(&self) -> &Control {
        &self.control
    }

    async fn answers(&self) -> Result<()> {
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if self.control.call(Method::GET, "version", None).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("toxiproxy does not answer; its log: {}", self.processes.log(NAME).display())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.processes.kill(NAME);
    }
}

impl Control {
    /// A door to a server, at a port of its own.
    async fn open(&self, server: Server, behind: SocketAddr) -> Result<SocketAddr> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
        let wanted =
            json!({"name": server.word(), "listen": listen, "upstream": behind.to_string(), "enabled": true});
        let made = self.call(Method::POST, "proxies", Some(wanted)).await?;
        Ok(made["listen"].as_str().context("a proxy says where it listens")?.parse()?)
    }

    /// Begins a fault.
    ///
    /// # Errors
    /// When the proxy refuses.
    pub async fn begin(&self, fault: &Fault) -> Result<()> {
        let proxy = format!("proxies/{}", fault.server.word());
        let Some((type_, attributes)) = toxic(fault.kind) else {
            return self.call(Method::PATCH, &proxy, Some(json!({"enabled": false}))).await.map(drop);
        };
        let wanted = json!({
            "name": name(fault), "type": type_, "stream": fault.stream.word(), "attributes": attributes,
        });
        self.call(Method::POST, &format!("{proxy}/toxics"), Some(wanted)).await.map(drop)
    }

    /// Ends a fault that began.
    ///
    /// # Errors
    /// When the proxy refuses.
    pub async fn end(&self, fault: &Fault) -> Result<()> {
        let proxy = format!("proxies/{}", fault.server.word());
        if fault.kind == Kind::Cut {
            return self.call(Method::PATCH, &proxy, Some(json!({"enabled": true}))).await.map(drop);
        }
        self.call(Method::DELETE, &format!("{proxy}/toxics/{}", name(fault)), None).await.map(drop)
    }

    /// Ends every fault.
    ///
    /// # Errors
    /// When the proxy refuses.
    pub async fn mend(&self) -> Result<()> {
        self.call(Method::POST, "reset", None).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.http.request(method, format!("{}/{path}", self.url));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.context("toxiproxy does not answer")?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            bail!("toxiproxy refused {path} with {status}: {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// Name of a fault's toxic: no two begin at one call.
fn name(fault: &Fault) -> String {
    format!("at-{}", fault.at)
}

/// What Toxiproxy calls it; a cut is none of its toxics.
fn toxic(kind: Kind) -> Option<(&'static str, Value)> {
    Some(match kind {
        Kind::Cut => return None,
        // Nothing passes, and nobody hears so; at the end the connections are closed.
        Kind::Silence => ("timeout", json!({"timeout": 0})),
        Kind::Reset => ("reset_peer", json!({"timeout": 0})),
        Kind::Slow { kilobytes } => ("bandwidth", json!({"rate": kilobytes})),
        Kind::Late { milliseconds } => {
            ("latency", json!({"latency": milliseconds, "jitter": milliseconds / 2}))
        }
        Kind::Short { bytes } => ("limit_data", json!({"bytes": bytes})),
    })
}
