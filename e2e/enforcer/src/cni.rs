//! The last plugin of the node's network (CNI 1.0): it holds a pod until its rules are there.
//!
//! containerd calls it after the plugin that gave the pod its cable and address, and starts the pod's containers when all
//! have succeeded.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::endpoints::Claim;

/// What the enforcer answers when a pod may start.
pub const DONE: &[u8] = b"ok\n";
/// How long a pod is held; then it has failed, and the kubelet tries again.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// CNI's code for what may work later.
const TRY_AGAIN: u32 = 11;

/// What containerd writes on stdin.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    cni_version: String,
    /// Where the enforcer listens.
    socket: PathBuf,
    /// What the plugins before have done.
    prev_result: Option<Value>,
}

/// Does what containerd asks. Only a new pod is of interest: what is gone, the enforcer hears from the API server.
#[must_use]
pub fn plugin(command: &str) -> ExitCode {
    let answer = match command {
        "ADD" => read().and_then(|config| add(&config)),
        "VERSION" => Ok(json!({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]})),
        _ => return ExitCode::SUCCESS,
    };
    let (answer, code) = match answer {
        Ok(answer) => (answer, ExitCode::SUCCESS),
        Err(error) => {
            let message = format!("no network policies for this pod: {error:#}");
            (json!({"cniVersion": "1.0.0", "code": TRY_AGAIN, "msg": message}), ExitCode::FAILURE)
        }
    };
    match writeln!(io::stdout(), "{answer}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn read() -> Result<Config> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    serde_json::from_str(&text).context("what containerd configures is not understood")
}

fn add(config: &Config) -> Result<Value> {
    let previous = config.prev_result.as_ref().context("no plugin before this one gave an address")?;
    let arguments = std::env::var("CNI_ARGS").unwrap_or_default();
    for claim in claims(&arguments, previous)? {
        tell(config, &claim)?;
    }
    let mut result = previous.clone();
    result["cniVersion"] = json!(config.cni_version);
    Ok(result)
}

/// Whose the new addresses are.
fn claims(arguments: &str, previous: &Value) -> Result<Vec<Claim>> {
    let arguments: BTreeMap<&str, &str> =
        arguments.split(';').filter_map(|argument| argument.split_once('=')).collect();
    let argument = |name: &str| arguments.get(name).with_context(|| format!("CNI_ARGS has no {name}"));
    let (namespace, uid) = (argument("K8S_POD_NAMESPACE")?, argument("K8S_POD_UID")?);
    let addresses = previous["ips"].as_array().into_iter().flatten().filter_map(|ip| ip["address"].as_str());
    let addresses: Vec<Ipv4Addr> =
        addresses.filter_map(|address| address.split('/').next()?.parse().ok()).collect();
    ensure!(!addresses.is_empty(), "the plugin before this one gave no IPv4 address");
    let claim = |address| Claim { namespace: (*namespace).to_owned(), uid: (*uid).to_owned(), address };
    Ok(addresses.into_iter().map(claim).collect())
}

fn tell(config: &Config, claim: &Claim) -> Result<()> {
    let socket = &config.socket;
    let away = || format!("the enforcer does not answer at {}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(away)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    writeln!(stream, "{}", serde_json::to_string(claim)?).with_context(away)?;
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut answer).with_context(away)?;
    ensure!(answer == DONE, "the enforcer has no rules for it: see its log");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGUMENTS: &str =
        "IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=0;K8S_POD_UID=u-1";

    #[test]
    fn a_pods_ipv4_addresses_are_claimed_for_it() {
        let previous = json!({"ips": [{"address": "10.244.0.5/24"}, {"address": "fd00::5/64"}]});
        let claim = Claim { namespace: "a".into(), uid: "u-1".into(), address: Ipv4Addr::new(10, 244, 0, 5) };
        assert_eq!(claims(ARGUMENTS, &previous).unwrap(), [claim]);
    }

    #[test]
    fn a_pod_without_an_address_or_a_name_is_not_let_start() {
        let error = |arguments: &str, previous: Value| claims(arguments, &previous).unwrap_err().to_string();
        let address = json!({"ips": [{"address": "10.244.0.5/24"}]});
        assert!(error("IgnoreUnknown=1", address).ends_with("no K8S_POD_NAMESPACE"));
        assert!(error(ARGUMENTS, json!({})).ends_with("gave no IPv4 address"));
    }

    #[test]
    fn an_enforcer_that_is_not_there_is_named() {
        let config = Config {
            cni_version: "1.0.0".into(),
            socket: "/nowhere/enforcer.sock".into(),
            prev_result: Some(json!({"ips": [{"address": "10.244.0.5/24"}]})),
        };
        let claim = Claim { namespace: "a".into(), uid: "u-1".into(), address: Ipv4Addr::new(10, 244, 0, 5) };
        let error = format!("{:#}", tell(&config, &claim).unwrap_err());
        assert!(error.starts_with("the enforcer does not answer at /nowhere/enforcer.sock: "), "{error}");
    }
}
