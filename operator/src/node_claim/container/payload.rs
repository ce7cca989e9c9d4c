//! Pure: what of a pod is sent to a vendor. All that leaves the cluster is named here: image, arguments, literal variables,
//! and the token of the run. A pod that needs more is refused.

use cooperator_contract::{env, run};
use cooperator_providers::Container;
use k8s_openapi::api::core::v1::{self as core, EnvVar, Pod, PodSpec, Volume};

use crate::runs::TOKEN_KEY;

/// How the run reaches what a kubelet would have mounted.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Name of the attempt's Job, and of the Secret and the ConfigMap made for it.
    pub job: &'a str,
    /// The run token.
    pub token: &'a str,
    /// Where its run file is.
    pub run_file: &'a str,
}

/// Why a pod cannot be a container on somebody's host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A vendor runs one.
    #[error("a vendor runs one container, the pod has {0}")]
    Containers(usize),
    /// There is nothing to run.
    #[error("the pod names no image")]
    NoImage,
    /// It would show the cluster to its host.
    #[error("the pod does without no token of a ServiceAccount: set automountServiceAccountToken to false")]
    ServiceAccount,
    /// There is no node to share them with.
    #[error("the pod shares namespaces of its node")]
    HostNamespaces,
    /// Secrets, ConfigMaps and disks of the cluster stay there.
    #[error("volume `{0}` is of the cluster, which a vendor's host sees nothing of")]
    Volume(String),
    /// The same for variables.
    #[error("variable `{0}` comes from the cluster, which a vendor's host sees nothing of")]
    Variable(String),
    /// It is no run.
    #[error("the pod reads no run file at {}", run::PATH)]
    NoRunFile,
    /// It proves itself by nothing.
    #[error("the pod has no run token")]
    NoToken,
}

/// What a vendor is to run for this pod.
///
/// # Errors
/// [`Refusal`] of the first that may not, or cannot, leave the cluster.
pub fn payload(pod: &Pod, access: &Access<'_>) -> Result<Container, Refusal> {
    let spec = pod.spec.as_ref().ok_or(Refusal::Containers(0))?;
    let container = only(spec)?;
    if spec.automount_service_account_token != Some(false) {
        return Err(Refusal::ServiceAccount);
    }
    if [spec.host_network, spec.host_pid, spec.host_ipc].contains(&Some(true)) {
        return Err(Refusal::HostNamespaces);
    }
    if let Some(volume) = spec.volumes.iter().flatten().find(|volume| !is_left_out(volume, access)) {
        return Err(Refusal::Volume(volume.name.clone()));
    }
    Ok(Container {
        image: container.image.clone().filter(|image| !image.is_empty()).ok_or(Refusal::NoImage)?,
        arguments: arguments(container, access)?,
        environment: environment(container, access)?,
    })
}

fn only(spec: &PodSpec) -> Result<&core::Container, Refusal> {
    let others =
        spec.init_containers.iter().flatten().count() + spec.ephemeral_containers.iter().flatten().count();
    match spec.containers.as_slice() {
        [one] if others == 0 => Ok(one),
        all => Err(Refusal::Containers(all.len() + others)),
    }
}

/// What a container has by itself, or gets in another way: an empty folder, and the run file.
fn is_left_out(volume: &Volume, access: &Access<'_>) -> bool {
    let Volume { name: _, empty_dir, config_map, .. } = volume;
    empty_dir.is_some() || config_map.as_ref().is_some_and(|map| map.name == access.job)
}

/// Its command and arguments, the run file's path replaced.
fn arguments(container: &core::Container, access: &Access<'_>) -> Result<Vec<String>, Refusal> {
    let mut all: Vec<String> =
        container.command.iter().flatten().chain(container.args.iter().flatten()).cloned().collect();
    let path = all.iter_mut().find(|argument| *argument == run::PATH).ok_or(Refusal::NoRunFile)?;
    access.run_file.clone_into(path);
    Ok(all)
}

fn environment(container: &core::Container, access: &Access<'_>) -> Result<Vec<(String, String)>, Refusal> {
    if container.env_from.iter().flatten().next().is_some() {
        return Err(Refusal::Variable("envFrom".into()));
    }
    let mut all = container
        .env
        .iter()
        .flatten()
        .map(|variable| Ok((variable.name.clone(), value(variable, access)?)))
        .collect::<Result<Vec<_>, Refusal>>()?;
    all.sort_unstable();
    let has_token = all.iter().any(|(name, _)| name == env::RUN_TOKEN);
    if has_token { Ok(all) } else { Err(Refusal::NoToken) }
}

/// What is written in the pod itself, or the token of this very run.
fn value(variable: &EnvVar, access: &Access<'_>) -> Result<String, Refusal> {
    let Some(source) = &variable.value_from else { return Ok(variable.value.clone().unwrap_or_default()) };
    let key = source.secret_key_ref.as_ref();
    let is_token = key.is_some_and(|key| key.name == access.job && key.key == TOKEN_KEY);
    if is_token && variable.name == env::RUN_TOKEN {
        return Ok(access.token.to_owned());
    }
    Err(Refusal::Variable(variable.name.clone()))
}
