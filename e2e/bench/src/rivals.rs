//! What others put before a model: nginx as the floor, since it only passes on, and LiteLLM.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use cooperator_cluster::processes::{Life, Processes};
use cooperator_cluster::{files, ports};

/// LiteLLM takes its time.
const PATIENCE: Duration = Duration::from_secs(180);
/// The key that LiteLLM asks for.
pub const LITELLM_KEY: &str = "sk-a-key-of-this-benchmark";
/// The model that LiteLLM is told of.
pub const LITELLM_MODEL: &str = "mock";

/// A server that runs until this is dropped.
pub struct Rival {
    processes: Processes,
    name: &'static str,
    /// Where it answers.
    pub address: SocketAddr,
    /// Its process id.
    pub pid: i32,
}

impl Drop for Rival {
    fn drop(&mut self) {
        drop(self.processes.stop_all(&[]));
    }
}

impl Rival {
    fn start(name: &'static str, folder: &Path, address: SocketAddr, program: &Command) -> Result<Self> {
        let processes = Processes::new(folder, Life::Tied);
        let pid = processes.start(name, program)?;
        Ok(Self { processes, name, address, pid })
    }

    async fn listening(self) -> Result<Self> {
        let began = Instant::now();
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            if began.elapsed() > PATIENCE || self.processes.running(self.name).is_none() {
                bail!("{} does not listen; its log: {}", self.name, self.processes.log(self.name).display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(self)
    }
}

/// nginx as a reverse proxy with kept connections, a worker a core, and no log: it does nothing but pass on.
///
/// # Errors
/// When it does not come up.
pub async fn nginx(program: &Path, folder: &Path, upstream: SocketAddr) -> Result<Rival> {
    let folder = folder.join("nginx");
    files::create_dir(&folder)?;
    let address = free()?;
    let config = folder.join("nginx.conf");
    files::write(&config, nginx_config(&folder, address, upstream))?;
    let mut nginx = Command::new(program);
    nginx.arg("-p").arg(&folder).arg("-c").arg(&config).args(["-e", "stderr"]);
    Rival::start("nginx", &folder, address, &nginx)?.listening().await
}

fn nginx_config(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("  {what}_temp_path {};\n", folder.join(what).display()));
    format!(
        "daemon off;\nuser root;\nworker_processes auto;\npid {pid};\nerror_log stderr warn;\n\
         events {{ worker_connections 1024; }}\nhttp {{\n  access_log off;\n{temporary}  keepalive_requests 1000000000;\n\
         \x20 upstream model {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen {address};\n    location / {{\n      proxy_pass http://model;\n\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection '';\n      proxy_buffering off;\n    }}\n  }}\n}}\n",
        pid = folder.join("pid").display(),
        temporary = temporary.concat(),
    )
}

/// LiteLLM's proxy with one worker and a key, without a database, callbacks or telemetry.
///
/// # Errors
/// When it does not come up.
pub async fn litellm(environment: &Path, folder: &Path, upstream: SocketAddr) -> Result<Rival> {
    let folder = folder.join("litellm");
    files::create_dir(&folder)?;
    let address = free()?;
    let config = folder.join("config.yaml");
    files::write(
        &config,
        format!(
            "model_list:\n- model_name: {LITELLM_MODEL}\n  litellm_params:\n    model: openai/{LITELLM_MODEL}\n\
             \x20   api_base: http://{upstream}/v1\n    api_key: none\n\
             general_settings:\n  master_key: {LITELLM_KEY}\nlitellm_settings:\n  telemetry: false\n"
        ),
    )?;
    let program: PathBuf = environment.join("bin/litellm");
    let mut litellm = Command::new(program);
    litellm.args([
        "--host",
        "127.0.0.1",
        "--port",
        &address.port().to_string(),
        "--num_workers",
        "1",
        "--config",
    ]);
    litellm.arg(&config).env("LITELLM_LOG", "ERROR").env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    Rival::start("litellm", &folder, address, &litellm)?.listening().await
}

fn free() -> Result<SocketAddr> {
    let [port] = ports::free()?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_passes_on_over_kept_connections_and_listens_on_loopback_alone() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let config = nginx_config(Path::new("/x"), address(1), address(2));
        for line in
            ["listen 127.0.0.1:1;", "server 127.0.0.1:2; keepalive 64;", "proxy_set_header Connection '';"]
        {
            assert!(config.contains(line), "{config}");
        }
    }
}
