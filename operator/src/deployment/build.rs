//! Pure: the objects that serve an adapter.

use std::collections::BTreeMap;

use cooperator_api::names;
use cooperator_contract::canonical;
use cooperator_contract::run::{self, RunFile, RunId, ServeTask, Task};
use cooperator_core::digest::Digest;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ContainerPort, PodSpec, PodTemplateSpec, Service,
    ServicePort, ServiceSpec, Volume, VolumeMount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::validate::{CONCURRENCY, QUEUE, ValidDeployment};
use crate::network::{dns, ingress, policy, towards};
use crate::pods::{self, Part, probe, scratch, texts};
use crate::runs::{Site, secure_container, secure_pod};

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
    let part = part(valid, owner.clone());
    let name = server_name(&valid.name);
    Ok(Built {
        config_map: ConfigMap {
            metadata: part.metadata(&config),
            data: Some([("run.json".to_owned(), text)].into()),
            immutable: Some(true),
            ..ConfigMap::default()
        },
        deployment: Deployment {
            metadata: part.metadata(&name),
            spec: Some(deployment_spec(valid, &part, site, &config)),
            ..Deployment::default()
        },
        service: Service {
            metadata: part.metadata(&name),
            spec: Some(ServiceSpec {
                selector: Some(part.selector()),
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
        network_policy: network_policy(valid, &part, &name, site),
    })
}

/// What the pods are.
fn part(valid: &ValidDeployment, owner: OwnerReference) -> Part {
    Part {
        namespace: valid.namespace.clone(),
        collective: valid.collective.clone(),
        kind: "deployment",
        name: valid.name.clone(),
        component: "server",
        owner,
    }
}

fn run_file(valid: &ValidDeployment, uid: &str) -> RunFile {
    RunFile {
        preflight: None,
        version: run::VERSION,
        run: RunId {
            namespace: valid.namespace.clone(),
            name: valid.name.clone(),
            uid: uid.to_owned(),
            attempt: 1,
        },
        storage: valid.bucket.location.clone(),
        storage_broker: None,
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

fn deployment_spec(valid: &ValidDeployment, part: &Part, site: &Site, config: &str) -> DeploymentSpec {
    let (tmp, tmp_mount) = scratch("tmp", "/tmp");
    DeploymentSpec {
        replicas: Some(valid.replicas),
        selector: LabelSelector { match_labels: Some(part.selector()), ..LabelSelector::default() },
        strategy: Some(DeploymentStrategy {
            type_: Some("RollingUpdate".into()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(1)),
                max_unavailable: Some(IntOrString::Int(0)),
            }),
        }),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(part.labels()), ..ObjectMeta::default() }),
            spec: Some(PodSpec {
                automount_service_account_token: Some(false),
                enable_service_links: Some(false),
                termination_grace_period_seconds: Some(DRAIN_SECONDS),
                security_context: Some(secure_pod()),
                containers: vec![container(valid, site, tmp_mount)],
                volumes: Some(vec![
                    Volume {
                        name: "run".into(),
                        config_map: Some(ConfigMapVolumeSource {
                            name: config.to_owned(),
                            ..Default::default()
                        }),
                        ..Volume::default()
                    },
                    tmp,
                ]),
                ..PodSpec::default()
            }),
        },
        ..DeploymentSpec::default()
    }
}

fn container(valid: &ValidDeployment, site: &Site, tmp: VolumeMount) -> Container {
    let run = VolumeMount {
        name: "run".into(),
        mount_path: "/run/cooperator".into(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: "server".into(),
        image: Some(site.trainer_image.clone()),
        image_pull_policy: Some(site.pull_policy.clone()),
        command: Some(vec!["/usr/bin/cooperator-server".into(), "--run-file".into(), run::PATH.into()]),
        env: Some(pods::environment(&valid.bucket.secret, site.otlp_endpoint.as_deref())),
        ports: Some(vec![ContainerPort {
            name: Some("http".into()),
            container_port: PORT,
            ..ContainerPort::default()
        }]),
        resources: Some(valid.resources.clone()),
        security_context: Some(secure_container()),
        // Weights are fetched and verified before it listens: ten minutes for slow storage.
        startup_probe: Some(probe("/readyz", PORT, 2, 300)),
        liveness_probe: Some(probe("/healthz", PORT, 10, 6)),
        readiness_probe: Some(probe("/readyz", PORT, 2, 2)),
        volume_mounts: Some(vec![run, tmp]),
        ..Container::default()
    }
}

/// In: the gateway of the same Collective. Out: names, object storage, and traces.
fn network_policy(valid: &ValidDeployment, part: &Part, name: &str, site: &Site) -> NetworkPolicy {
    let gateway: BTreeMap<String, String> = texts(&[
        ("app.kubernetes.io/component", "gateway".to_owned()),
        (names::LABEL_COLLECTIVE, valid.collective.clone()),
    ]);
    let mut out = vec![dns(), towards(&valid.bucket.location.endpoint)];
    out.extend(site.otlp_endpoint.as_deref().map(towards));
    policy(part, name, part.selector(), vec![ingress(Some(gateway), &[PORT])], out)
}
