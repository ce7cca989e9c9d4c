//! Pure: the objects that serve an adapter.

use std::collections::BTreeMap;

use cooperator_api::names;
use cooperator_contract::run::{self, RunFile, RunId, ServeTask, Task};
use cooperator_contract::{canonical, env};
use cooperator_core::digest::Digest;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, PodSpec,
    PodTemplateSpec, Probe, Service, ServicePort, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::validate::{CONCURRENCY, QUEUE, ValidDeployment};
use crate::runs::{Site, secret_variable, secure_container, secure_pod};

/// Port of a server pod and of its Service.
pub const PORT: i32 = 8000;
/// Seconds that a pod may take to finish what it is answering.
const DRAIN_SECONDS: i64 = 60;

/// Everything that serves one Deployment.
#[derive(Clone, Debug)]
pub struct Built {
    /// The run file.
    pub config_map: ConfigMap,
    /// The pods.
    pub deployment: Deployment,
    /// Their address.
    pub service: Service,
    /// Who may reach them, and what they may reach.
    pub network_policy: NetworkPolicy,
}

/// Name of the Service and of the pods' Deployment.
pub fn server_name(name: &str) -> String {
    format!("{name}-server")
}

/// Where the gateway finds the pods.
pub fn upstream(name: &str, namespace: &str) -> String {
    format!("http://{}.{namespace}.svc:{PORT}", server_name(name))
}

/// Builds them all.
///
/// # Errors
/// Only if the run file cannot be JSON.
pub fn build(
    valid: &ValidDeployment,
    owner: &OwnerReference,
    site: &Site,
) -> Result<Built, serde_json::Error> {
    let file = run_file(valid, &owner.uid);
    let text = serde_json::to_string_pretty(&file)?;
    // A new run file is a new ConfigMap, so that pods of the old revision keep theirs while they are replaced.
    let config = format!("{}-{}", server_name(&valid.name), &Digest::of(&canonical(&file)?).hex()[..8]);
    let metadata = |name: String| ObjectMeta {
        name: Some(name),
        namespace: Some(valid.namespace.clone()),
        labels: Some(labels(valid)),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    };
    Ok(Built {
        config_map: ConfigMap {
            metadata: metadata(config.clone()),
            data: Some([("run.json".to_owned(), text)].into()),
            immutable: Some(true),
            ..ConfigMap::default()
        },
        deployment: Deployment {
            metadata: metadata(server_name(&valid.name)),
            spec: Some(deployment_spec(valid, site, &config)),
            ..Deployment::default()
        },
        service: Service {
            metadata: metadata(server_name(&valid.name)),
            spec: Some(ServiceSpec {
                selector: Some(labels(valid)),
                ports: Some(vec![ServicePort {
                    name: Some("http".into()),
                    port: PORT,
                    target_port: Some(IntOrString::String("http".into())),
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        },
        network_policy: NetworkPolicy {
            metadata: metadata(server_name(&valid.name)),
            spec: Some(network_policy(valid)),
        },
    })
}

/// Labels of the pods, and what selects them.
pub fn labels(valid: &ValidDeployment) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "cooperator-server".to_owned()),
        ("app.kubernetes.io/component", "server".to_owned()),
        (names::LABEL_MANAGED_BY, names::MANAGED_BY.to_owned()),
        (names::LABEL_COLLECTIVE, valid.collective.clone()),
        (names::LABEL_KIND, "deployment".to_owned()),
        (names::LABEL_NAME, valid.name.clone()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn run_file(valid: &ValidDeployment, uid: &str) -> RunFile {
    RunFile {
        version: run::VERSION,
        run: RunId {
            namespace: valid.namespace.clone(),
            name: valid.name.clone(),
            uid: uid.to_owned(),
            attempt: 1,
        },
        storage: valid.bucket.location.clone(),
        progress_url: None,
        traceparent: None,
        outcome_path: run::OUTCOME_PATH.into(),
        task: Task::Serve(ServeTask {
            model_name: valid.model_name.clone(),
            base_model: valid.base_model,
            adapter: Some(valid.adapter),
            listen: format!("0.0.0.0:{PORT}"),
            max_concurrency: CONCURRENCY,
            max_queue: QUEUE,
            max_input_tokens: valid.max_input_tokens,
            max_output_tokens: valid.max_output_tokens,
        }),
    }
}

fn deployment_spec(valid: &ValidDeployment, site: &Site, config: &str) -> DeploymentSpec {
    DeploymentSpec {
        replicas: Some(valid.replicas),
        selector: LabelSelector { match_labels: Some(labels(valid)), ..LabelSelector::default() },
        strategy: Some(DeploymentStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(1)),
                max_unavailable: Some(IntOrString::Int(0)),
            }),
        }),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(labels(valid)), ..ObjectMeta::default() }),
            spec: Some(PodSpec {
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                termination_grace_period_seconds: Some(DRAIN_SECONDS),
                security_context: Some(secure_pod()),
                containers: vec![container(valid, site)],
                volumes: Some(vec![
                    Volume {
                        name: "run".into(),
                        config_map: Some(ConfigMapVolumeSource {
                            name: config.to_owned(),
                            ..Default::default()
                        }),
                        ..Volume::default()
                    },
                    Volume {
                        name: "tmp".into(),
                        empty_dir: Some(EmptyDirVolumeSource::default()),
                        ..Volume::default()
                    },
                ]),
                ..PodSpec::default()
            }),
        },
        ..DeploymentSpec::default()
    }
}

fn container(valid: &ValidDeployment, site: &Site) -> Container {
    let probe = |path: &str, period: i32, failures: i32| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("http".into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        ..Probe::default()
    };
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "server".into(),
        image: Some(site.trainer_image.clone()),
        image_pull_policy: Some(site.pull_policy.clone()),
        command: Some(vec!["/usr/bin/cooperator-server".into(), "--run-file".into(), run::PATH.into()]),
        env: Some(vec![
            secret_variable(env::ACCESS_KEY_ID, &valid.bucket.secret, env::ACCESS_KEY_ID, false),
            secret_variable(env::SECRET_ACCESS_KEY, &valid.bucket.secret, env::SECRET_ACCESS_KEY, false),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some("http".into()),
            container_port: PORT,
            ..ContainerPort::default()
        }]),
        resources: Some(valid.resources.clone()),
        security_context: Some(secure_container()),
        // Weights are fetched and verified before it listens: ten minutes for slow storage.
        startup_probe: Some(probe("/readyz", 2, 300)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        volume_mounts: Some(vec![mount("run", "/run/cooperator", true), mount("tmp", "/tmp", false)]),
        ..Container::default()
    }
}

/// In: the gateway of the same Collective. Out: names, and object storage, which is no pod that a policy can name.
fn network_policy(valid: &ValidDeployment) -> NetworkPolicySpec {
    let gateway: BTreeMap<String, String> = [
        ("app.kubernetes.io/component".to_owned(), "gateway".to_owned()),
        (names::LABEL_COLLECTIVE.to_owned(), valid.collective.clone()),
    ]
    .into();
    let port = |port: i32, protocol: &str| NetworkPolicyPort {
        port: Some(IntOrString::Int(port)),
        protocol: Some(protocol.into()),
        ..NetworkPolicyPort::default()
    };
    NetworkPolicySpec {
        pod_selector: Some(LabelSelector { match_labels: Some(labels(valid)), ..LabelSelector::default() }),
        policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
        ingress: Some(vec![NetworkPolicyIngressRule {
            from: Some(vec![NetworkPolicyPeer {
                pod_selector: Some(LabelSelector { match_labels: Some(gateway), ..LabelSelector::default() }),
                ..NetworkPolicyPeer::default()
            }]),
            ports: Some(vec![port(PORT, "TCP")]),
        }]),
        egress: Some(vec![NetworkPolicyEgressRule {
            ports: Some(vec![port(53, "UDP"), port(53, "TCP"), port(valid.bucket.port(), "TCP")]),
            ..NetworkPolicyEgressRule::default()
        }]),
    }
}
